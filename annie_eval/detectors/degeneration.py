"""Finds degenerate text in content or reasoning: words that repeat without end, or an answer given twice.

Limits are chosen so that lists, "very, very", laughter and a song's double refrain stay below them:

- a line of two words or more five times, or a shorter line five times in a row;
- the same words back to back: one word 8 times, two words 6, up to four words 5, longer phrases 4; or a phrase of five
  words or more three times when it is all there is;
- less than 30 % different words in some 200 words on end;
- one character more than 20 times in a row (digits more than 40, `!` and `?` more than 10), or nothing but it;
- signs 10 times around (full stops for a pause, ". . . .", 20 times); in a stretch without spaces up to four
  characters 10 times, longer groups 4 times;
- content that is nothing but the same text twice or more, with a sentence's end or nothing between ("Sure. Sure." is
  none: two words or four letters of a script without spaces are the least, and a refrain of three lines may be), or
  a sentence of four words twice in a row;
- content that begins again and again, each time a piece longer, as a client shows that added up what was cumulative.

A sound ("na na na", "beep beep") may come 20 times where there are other words beside it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.text import CJK, SPACELESS, WORD, word_set
from annie_eval.wire.sample import Channel, Sample

_LINES = 5
_WINDOW = 200
_DIFFERENT = 0.30

_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(f"[{WORD}]+(?:['’][{WORD}]+)*")
# Words are written as one character each, so that a pattern can look for phrases in circles.
_PHRASES = re.compile(r"(?s:(.)\1{7,}|(..)\2{5,}|(.{3,4})\3{4,}|(.{5,60})\4{3,})")
_ONLY_PHRASE = re.compile(r"(?s:(.{5,60})\1{2,})")
_RUN = re.compile(r"(?s:([^\d \t])\1{20,}|(\d)\2{40,}|([!?])\3{10,}|[ \t]{100,})")
_ONLY_RUN = re.compile(r"\s*([^\w\s])(?:\s{0,2}\1){3,}\s*")
_SOLID = re.compile(r"\S{20,}")
_CIRCLE = re.compile(r"(.{2,4}?)\1{9,}|(.{5,100}?)\2{3,}")
_CUMULATIVE = re.compile(r"\s*(?P<first>\S.{0,80}?)(?P=first)(?P<more>.{1,80}?)(?P=first)(?P=more)", re.DOTALL)
_ENDS = re.compile(r"[.!?…。！？।\n][\"'”’»」)]*\s*\Z")
_SENTENCE = re.compile(r"[^.!?…。！？।\n]+[.!?…。！？।]*")
_LETTERS = re.compile(f"[{WORD}]")
_SOLID_SCRIPT = re.compile(f"[{CJK}{SPACELESS}\uac00-\ud7a3]")
_SOUNDS = word_set(
    "na la da ha ho hee doo dum dee doh tra fa ra pa boo yeah hey oh ooh beep boop tick tock ding dong quack woof moo"
    " baa meow cheep choo vroom nom knock ring bla blah ta tum bom boom jingle"
)
_PAUSE = re.compile(r"(?:\.\s{0,2}){10,20}")
_SIGNS = re.compile(r"([^\w\s]\s{0,2}(?:[^\w\s]\s{0,2}){0,3}?)\1{9,}")


def find(sample: Sample) -> tuple[Finding, ...]:
    """The first circle in each channel of each exchange."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        channels: tuple[tuple[Channel, str | None], ...] = (
            ("content", exchange.answer.content),
            ("reasoning", exchange.answer.reasoning),
        )
        for channel, text in channels:
            if channel == "reasoning" and exchange.expect.truncated:
                continue  # a thought that the scenario has max_tokens cut is heard by nobody and ends nowhere
            circle = find_circle(text or "") if channel == "content" else next(_circles(text or ""), None)
            if circle:
                reason, start, end = circle
                shown = excerpt(text or "", start)
                findings.append(Finding("degeneration", reason, shown, channel, index, (start, end)))
    return tuple(findings)


def find_circle(text: str) -> tuple[str, int, int] | None:
    """(reason, start, end) of the first circle or second saying in a text; None if there is none."""
    return next(_circles(text), None) or _said_twice(text)


def _circles(text: str) -> Iterator[tuple[str, int, int]]:
    """(reason, start, end) of the circles found, the cheapest to look for first."""
    if len(text) < 4:
        return
    if run := _RUN.search(text) or _ONLY_RUN.fullmatch(text):
        yield f"one character repeated: {text[run.start()]!r}", *run.span()
    yield from _lines(text)
    yield from _phrases(text)
    if signs := next((signs for signs in _SIGNS.finditer(text) if not _PAUSE.fullmatch(signs.group())), None):
        yield "signs in a circle", *signs.span()
    for run in _SOLID.finditer(text):
        circle = _CIRCLE.search(run.group())
        if circle and not circle.group().isdigit() and len(set(circle.group())) > 1:
            yield "characters in a circle", run.start() + circle.start(), run.start() + circle.end()


def _lines(text: str) -> Iterator[tuple[str, int, int]]:
    counts: Counter[str] = Counter()
    previous, in_a_row = "", 0
    for match in _LINE.finditer(text):
        line = match.group().strip()
        if not line:
            continue
        in_a_row = in_a_row + 1 if line == previous else 1
        previous = line
        counts[line] += 1
        if in_a_row >= _LINES or (counts[line] >= _LINES and len(_WORD.findall(line)) > 1):
            yield f"the same line {_LINES} times", *match.span()
            return


def _phrases(text: str) -> Iterator[tuple[str, int, int]]:
    matches = list(_WORD.finditer(text))
    words = [match.group().casefold() for match in matches]
    # Private-use planes: no surrogates, and room for more words than 100 kB can hold.
    code = {word: chr(0xF0000 + number % 0x1FFF0) for number, word in enumerate(dict.fromkeys(words))}
    coded = "".join(map(code.__getitem__, words))
    circle = _PHRASES.search(coded) or _only_phrase(coded)
    if circle and not _sounds(words, circle):
        yield "the same words over and over", matches[circle.start()].start(), matches[circle.end() - 1].end()
    window = _poor_window(words)
    if window is not None:
        last = matches[window + _WINDOW - 1]
        yield f"fewer than {_DIFFERENT:.0%} different words", matches[window].start(), last.end()


def _sounds(words: list[str], circle: re.Match[str]) -> bool:
    """Whether the circle is one sound up to 20 times beside other words: "Na na na ..., Batman!"."""
    repeated = words[circle.start() : circle.end()]
    return len(set(repeated)) == 1 and repeated[0] in _SOUNDS and len(repeated) <= 20 and len(words) > len(repeated)


def _said_twice(text: str) -> tuple[str, int, int] | None:
    """Where content is said once more; None if it is not."""
    letters = list(_LETTERS.finditer(text))
    plain = "".join(letter.group().casefold() for letter in letters)
    # The least period of a text is where it is found in itself, doubled (Lyndon and Schützenberger, 1962).
    period = (plain + plain).find(plain, 1) if len(plain) == len(letters) and plain else len(plain)
    if 0 < period < len(plain):
        first, second = letters[period - 1].end(), letters[period].start()
        once, joint, times = text[letters[0].start() : first], text[first:second], len(plain) // period
        if _repeats(once, joint, times, period):
            return "the answer is said twice", second, letters[-1].end()
    sentences = list(_SENTENCE.finditer(text))
    for one, two in pairwise(sentences):
        sentence = one.group().strip().casefold()
        long = len(_WORD.findall(sentence)) > 3 or (len(sentence) > 7 and _SOLID_SCRIPT.search(sentence) is not None)
        if long and sentence == two.group().strip().casefold():
            return "the same sentence twice in a row", *two.span()
    again = _CUMULATIVE.match(text)
    if again and len(again["first"] + again["more"]) > 3 and any(map(str.isalpha, again["first"])):
        return "the answer begins again, each time a piece longer", *again.span()
    return None


def _repeats(once: str, joint: str, times: int, letters: int) -> bool:
    """Whether a text that is nothing but `once`, several times, is an answer said again, and no refrain or chant."""
    if times > 2 and joint.count("\n") == 1:
        return False
    solid = _SOLID_SCRIPT.search(once) is not None
    said = _WORD.findall(once.casefold())
    said_enough = letters >= 6 or re.search(r"\d", once) is not None
    if times > 2 and not solid and len(set(said)) < len(said) <= 6:
        return False  # "Hip hip hooray!"
    if _ENDS.search(joint):
        return letters * times >= 6 if solid and times > 2 else letters >= 4 if solid else said_enough and " " in once
    return not joint.strip() and (letters >= 8 if solid else letters >= 12 and " " in once)


def _only_phrase(coded: str) -> re.Match[str] | None:
    """A phrase said three times with nothing else around it, the last time perhaps cut off."""
    match = _ONLY_PHRASE.match(coded)
    return match if match and match.group(1).startswith(coded[match.end() :]) else None


def _poor_window(words: list[str]) -> int | None:
    """Where 200 words with too few different ones begin; None if there are none such."""
    if len(words) < _WINDOW:
        return None
    counts = Counter(words[:_WINDOW])
    for start in range(len(words) - _WINDOW + 1):
        if len(counts) < _DIFFERENT * _WINDOW:
            return start
        if start + _WINDOW < len(words):
            counts[words[start + _WINDOW]] += 1
            counts[words[start]] -= 1
            if not counts[words[start]]:
                del counts[words[start]]
    return None

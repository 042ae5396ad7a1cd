"""Edits of a prompt that keep its meaning: typing errors, case, punctuation, speech-recognition errors. Pure.

Words that carry the request (names, numbers, expected arguments) are protected: a changed name is another request, not
noise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annie_eval.profile.types import Scenario

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TOKEN = re.compile(r"\S+")
_FILLERS = ("um,", "uh,", "er,", "you know,", "like,", "I mean,", "well,", "sort of", "hmm,")
_GREETINGS = ("Hi", "Hello there,", "Good evening,", "Hey,", "Morning!", "Excuse me,", "Listen,", "Okay so")
_GREETED = re.compile(
    r"\A(?:hi|hey|hello|hallo|good (?:morning|evening|afternoon)|morning|excuse me|okay|ok)\b"
    r"(?:,? (?:there|annie))?[,.!]?\s+",
    re.IGNORECASE,
)
_POLITE = ("please", "if you would", "thanks", "when you have a moment", "there's a dear")
_LEADS = ("I was wondering,", "Quick one for you:", "Could you help me with something.", "So here's the thing.")
# Errors of speech recognition: words that sound the same.
_SOUNDALIKES = dict(
    pair
    for one, other in (
        *(("to", "two"), ("for", "four"), ("there", "their"), ("your", "you're"), ("its", "it's"), ("know", "no")),
        *(("our", "hour"), ("hear", "here"), ("right", "write"), ("by", "buy"), ("weather", "whether")),
        *(("week", "weak"), ("would", "wood"), ("where", "wear"), ("see", "sea"), ("some", "sum"), ("i", "eye")),
        *(("which", "witch"), ("been", "bean"), ("then", "than"), ("will", "wheel")),
        *(("what's", "watts"), ("and", "an"), ("did", "dead"), ("can", "kin"), ("of", "off"), ("is", "his")),
    )
    for pair in ((one, other), (other, one))
)
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {key: other for row in _ROWS for key, other in zip(row, row[1:] + row[-2], strict=True)}
_SMALL_TALK = (
    ("It is raining again.", "It is. A good day to stay in."),
    ("I burnt the toast this morning.", "That happens to the best of us."),
    ("What do you call a baby swan?", "A baby swan is called a cygnet."),
    ("My knee hurts a bit.", "I'm sorry to hear that. I hope it gets better soon."),
    ("Did you know that I used to play the trombone?", "I didn't. That sounds like a lot of fun."),
)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change: its kind, and a number that chooses the place or the variant."""

    kind: str
    at: int = 0


def _typable(text: str, kept: Collection[str]) -> list[re.Match[str]]:
    return [word for word in _WORD.finditer(text) if len(word.group()) >= 4 and word.group().casefold() not in kept]


def _on_word(change: Callable[[str, int], str]) -> Callable[[str, int, Collection[str]], str]:
    """An edit of one unprotected word of at least four letters, the `at`-th of them."""

    def edit(text: str, at: int, kept: Collection[str]) -> str:
        words = _typable(text, kept)
        if not words:
            return text
        word = words[at % len(words)]
        # A typing error is inside the word: the first letter is nearly always correct.
        place = 1 + at // len(words) % (len(word.group()) - 2)
        return text[: word.start()] + change(word.group(), place) + text[word.end() :]

    return edit


def _swap(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _slip_of_finger(word: str, at: int) -> str:
    return word[:at] + _NEIGHBOURS.get(word[at].lower(), word[at]) + word[at + 1 :]


def _soundalike(text: str, at: int, kept: Collection[str]) -> str:
    words = [
        word
        for word in _WORD.finditer(text)
        if word.group().casefold() in _SOUNDALIKES and word.group().casefold() not in kept
    ]
    if not words:
        return text
    word = words[at % len(words)]
    return text[: word.start()] + _SOUNDALIKES[word.group().casefold()] + text[word.end() :]


def _filler(text: str, at: int, kept: Collection[str]) -> str:
    gaps = [match.start() for match in _TOKEN.finditer(text)]
    gap = gaps[at % len(gaps)] if gaps else 0
    return f"{text[:gap]}{_FILLERS[at % len(_FILLERS)]} {text[gap:]}"


def _recased(change: Callable[[str], str]) -> Callable[[str, int, Collection[str]], str]:
    def edit(text: str, at: int, kept: Collection[str]) -> str:
        return _WORD.sub(lambda word: word.group() if word.group().casefold() in kept else change(word.group()), text)

    return edit


def _unpunctuated(text: str, at: int, kept: Collection[str]) -> str:
    return " ".join(re.sub(r"(?<!\d)[.,;:!?…]+|[.,;:!?…]+(?!\d)", " ", text).split())


def _greeted(text: str, at: int, kept: Collection[str]) -> str:
    return f"{_GREETINGS[at % len(_GREETINGS)]} {_GREETED.sub('', text)}"


def _repeated_word(text: str, at: int, kept: Collection[str]) -> str:
    words = _typable(text, kept)
    if not words:
        return text
    word = words[at % len(words)]
    return f"{text[: word.end()]} {word.group()}{text[word.end() :]}"


_EDITS: Mapping[str, Callable[[str, int, Collection[str]], str]] = {
    "lower case": _recased(str.lower),
    "upper case": _recased(str.upper),
    "no punctuation": _unpunctuated,
    "other mark at the end": lambda text, at, kept: text.rstrip(".!?") + ("?", "!", "...", "", "?!")[at % 5],
    "letters swapped": _on_word(_swap),
    "letter dropped": _on_word(lambda word, at: word[:at] + word[at + 1 :]),
    "letter doubled": _on_word(lambda word, at: word[:at] + word[at] + word[at:]),
    "wrong key": _on_word(_slip_of_finger),
    "misheard word": _soundalike,
    "filler word": _filler,
    "word said twice": _repeated_word,
    "other greeting": _greeted,
    "polite words": lambda text, at, kept: f"{text} {_POLITE[at % len(_POLITE)].capitalize()}.",
    "other opening": lambda text, at, kept: f"{_LEADS[at % len(_LEADS)]} {text}",
}
# These need English words or sounds and are not used for other languages.
_ENGLISH = frozenset({"misheard word", "filler word", "other greeting", "polite words", "other opening"})
HISTORY = "irrelevant history"


def kinds(language: str) -> list[str]:
    """The kinds of edits for a language (BCP 47 tag); the simplest first."""
    english = language.split("-")[0] == "en"
    return [kind for kind in (*_EDITS, HISTORY) if english or (kind not in _ENGLISH and kind != HISTORY)]


def apply(edits: Sequence[Edit], text: str, kept: Collection[str] = ()) -> str:
    """The text after all edits, in order.

    `kept` are protected words, case-folded. Raises KeyError for an unknown kind.
    """
    for edit in edits:
        if edit.kind != HISTORY:
            text = _EDITS[edit.kind](text, edit.at, kept)
    return text


def history(edits: Sequence[Edit]) -> tuple[Mapping[str, Any], ...]:
    """The irrelevant exchanges that the edits put before a prompt, as OpenAI messages."""
    messages: list[Mapping[str, Any]] = []
    for edit in edits:
        if edit.kind == HISTORY:
            remark, answered = _SMALL_TALK[edit.at % len(_SMALL_TALK)]
            messages += [{"role": "user", "content": remark}, {"role": "assistant", "content": answered}]
    return tuple(messages)


def protected(scenario: Scenario) -> frozenset[str]:
    """Case-folded words of a scenario's first prompt that carry the request.

    These are the words of its expected arguments and examples, and words with a capital inside a sentence.
    """
    turn = scenario.turns[0]
    wanted = json.dumps([dict(call.arguments) for call in turn.expect.calls or ()], ensure_ascii=False, default=str)
    for message in (turn.example or {}).get("tool_calls") or ():
        wanted += message["function"]["arguments"]
    names = re.findall(r"(?<=[\w,;] )[A-Z][^\W\d_]*(?:['’][^\W\d_]+)*", turn.user)
    named = {name for name in names if name not in ("I", "I'm", "I've", "I'll", "I'd")}
    return frozenset(word.casefold() for word in [*_WORD.findall(wanted), *named])

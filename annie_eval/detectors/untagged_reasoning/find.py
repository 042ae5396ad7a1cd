"""Finds reasoning without a tag: adds up cues, each with a measured weight, over three sentences.

Each cue of `cues` and `languages` that a stretch of three sentences holds counts once, by its weight (log odds of
thoughts against speech, measured by benchmarks/reasoning_cues.py and stored in weights.toml). Reasoning is found
where the sum reaches the threshold.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice

from annie_eval.detectors.untagged_reasoning.cues import ENGLISH, LEAD_INS, Cue
from annie_eval.detectors.untagged_reasoning.languages import LANGUAGES
from annie_eval.detectors.untagged_reasoning.weights import THRESHOLD, TOPICAL, weights

CUES: tuple[Cue, ...] = (*ENGLISH, *LANGUAGES)
# The cues of `asked_cues`.
ASKED = ("quotes the question", "offered tool")
# Sentences that are judged together.
WINDOW = 3

_BOUNDARY = re.compile(r"(?<=[.!?…:।])[\"'”’)\]}*_]{0,4}\s+|(?<=[。！？])|\n+|(?<=>)")
# What may stand between the end of a sentence, or of the text's beginning, and the matter of the next.
_BEGINNING = re.compile(
    rf"(?:\A|[.!?…:।][\"'”’)\]}}*_]{{0,4}}\s|[。！？\n>])(?:[\s*_#\"“”'(\[{{•-]|\d{{1,2}}[.)]|{LEAD_INS}){{0,12}}\Z",
    re.IGNORECASE,
)
_OPENING = re.compile(rf"\A(?:[\s*_#\"“”'(\[{{•-]|\d{{1,2}}[.)]|{LEAD_INS}){{0,12}}\Z", re.IGNORECASE)
# A letter or a notice that is read out may well be about a user: "O usuário pediu um recibo, diz o aviso."
_READS_OUT = re.compile(
    r"\b(?:diz|dice|dit|says|sagt|schreibt|zegt) (?:\w{1,5}[ '’]|\w{1,3}['’])?(?:aviso|avviso|carta|nota|bilhete"
    r"|letrero|cartel|mensaje|mensagem|lettera|lettre|affiche|mot|note|panneau|brief|zettel|schild|nachricht|hinweis|letter|notice"
    r"|sign|message|e-?mail|bericht|sheet|form|book|card|label|manual|teacher|exam)\b"
    r"|\b(?:steht|staat|stoi|napisano|jest napisane|написано|сказано|говорится) (?:auf|in|im|am|op|na|w|в|на)\b"
    r"|(?:信|通知|邮件|短信|告示)[里上]?[说写]|と書いて|라고 (?:적혀|쓰여|써)",
    re.IGNORECASE,
)
# Who asks about tools, functions or users is answered in these words.
_ASKS_ABOUT = re.compile(r"\b(?:tools?|functions?|parameters?|arguments?|users?|prompts?)\b", re.IGNORECASE)
# What a cue is about. Where the question names it, an answer does, too.
_MATTER = re.compile(
    r"\b(user|tool|function|parameter|argument|prompt|request|question|task|plan|goal|step|sentence|reply|answer|format"
    r"|tone|strategy|intent|check|analysis|thought|word)(?:s\b|\b)",
    re.IGNORECASE,
)
# A name of a tool that the question has ("Do you know get_time?") is no cue either.
_NAME = re.compile(r"\b[A-Za-z]{2,20}(?:_[A-Za-z0-9]{1,20}){1,5}\b|\b[A-Z][a-z]{1,15}(?:[A-Z][a-z]{1,15}){1,6}\b")
_LOOK_BACK = 60
# A shorter question is a word that anybody may quote.
_LEAST_QUOTED = 10
# A hint is looked for where its first letters, so many of them, are in the text.
_GRAM = 3
# In a longer text this is asked of its letters alone, which is faster.
_LONG = 10_000
# So many places of a cue are kept, and so many tried, in one text: a thought hides behind no more of the same.
_MOST = 200
_TRIED = 5000


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a cue was seen: start and end in the text, and the number of the sentence."""

    cue: Cue
    start: int
    end: int
    sentence: int


@dataclass(frozen=True, slots=True)
class Prose:
    """Where reasoning was recognised, and by which cues. `start` and `end` are indices into the text."""

    reason: str
    start: int
    end: int
    score: float


def find_prose(
    text: str, *, question: str = "", tools: tuple[str, ...] = (), about_thinking: bool = False
) -> Prose | None:
    """The stretch of a text that reads most like reasoning, or None where none reaches the threshold.

    Args:
        question: what the user said; a thought repeats it in quotation marks.
        tools: names of the tools that were offered.
        about_thinking: the user asked about thinking, tags or tools, so that more evidence is wanted, as it is where
            the question names tools, functions or users, and where the answer says what a letter or a notice says.
    """
    weight = weights()
    found = hits(text, question, tools)
    if named := {matter.lower() for matter in _MATTER.findall(question)}:
        found = [hit for hit in found if hit.cue.name in ASKED or not named & _matters(text, hit)]
    if tools_named := _NAME.findall(question):
        found = [hit for hit in found if not any(name in text[hit.start : hit.end] for name in tools_named)]
    best = best_stretch(found, weight)
    if best is None or best[0] < THRESHOLD:
        return None
    if best[0] < TOPICAL and (about_thinking or _ASKS_ABOUT.search(question) or _READS_OUT.search(text)):
        return None
    score, seen = best
    telling = sorted((hit for hit in seen if weight[hit.cue.name] > 0), key=lambda hit: -weight[hit.cue.name])
    reasons = ", ".join(dict.fromkeys(hit.cue.shows for hit in telling))
    return Prose(
        f"{reasons} ({score:.1f} of {THRESHOLD:.1f})",
        min(h.start for h in telling),
        max(h.end for h in telling),
        score,
    )


def _matters(text: str, hit: Hit) -> set[str]:
    return {matter.lower() for matter in _MATTER.findall(text[hit.start : hit.end])}


def best_stretch(found: Sequence[Hit], weight: Mapping[str, float]) -> tuple[float, list[Hit]] | None:
    """The highest sum of weights over `WINDOW` sentences, each reason counted once, and the hits that make it."""
    best: tuple[float, list[Hit]] | None = None
    ordered = sorted(found, key=lambda hit: hit.sentence)
    for first, hit in enumerate(ordered):
        if first and ordered[first - 1].sentence == hit.sentence:
            continue
        seen: dict[str, Hit] = {}
        for other in ordered[first:]:
            if other.sentence >= hit.sentence + WINDOW:
                break
            seen.setdefault(other.cue.name, other)
        heaviest: dict[str, Hit] = {}
        for one in sorted(seen.values(), key=lambda one: weight[one.cue.name]):
            heaviest[one.cue.shows] = one
        score = sum(weight[one.cue.name] for one in heaviest.values())
        if best is None or score > best[0]:
            best = score, list(heaviest.values())
    return best


def hits(text: str, question: str = "", tools: tuple[str, ...] = ()) -> list[Hit]:
    """Every place where a cue is seen, at most `_MOST` of each."""
    places: list[tuple[Cue, int, int]] = []
    lowered = text.lower()
    asked = [cue for cue in asked_cues(question, tools) if any(hint in lowered for hint in cue.hints)]
    for cue in (*_hinted_cues(lowered), *asked):
        spans = (match.span() for match in islice(_compiled(cue.pattern).finditer(text), _TRIED))
        if cue.where != "inside":
            spans = (span for span in spans if _begins(text, span[0], cue.where == "opening"))
        places += [(cue, *span) for span in islice(spans, _MOST)]
    if not places:
        return []
    ends = [boundary.end() for boundary in _BOUNDARY.finditer(text)]
    return [Hit(cue, start, end, bisect_right(ends, start)) for cue, start, end in places]


@cache
def _index() -> tuple[dict[str, list[tuple[str, int]]], frozenset[int]]:
    """(hints and the number of their cue, by the hint's first letters; those with none or an empty one)."""
    by_start: dict[str, list[tuple[str, int]]] = {}
    for number, cue in enumerate(CUES):
        for hint in cue.hints:
            by_start.setdefault(hint[:_GRAM], []).append((hint, number))
    return by_start, frozenset(number for number, cue in enumerate(CUES) if not all(cue.hints or ("",)))


def _hinted_cues(lowered: str) -> list[Cue]:
    """The cues of which a text in small letters holds a hint of each kind, in their order."""
    by_start, without = _index()
    if len(lowered) > _LONG:
        letters = frozenset(lowered)
        grams = {gram for gram in by_start if letters.issuperset(gram)}
    else:
        starts = range(len(lowered))
        grams = {lowered[at : at + length] for length in range(1, _GRAM + 1) for at in starts}
    numbers = {
        number for gram in grams & by_start.keys() for hint, number in by_start[gram] if hint in lowered
    } | without
    return [
        cue
        for cue in map(CUES.__getitem__, sorted(numbers))
        if not cue.also or any(hint in lowered for hint in cue.also)
    ]


@lru_cache(maxsize=64)
def asked_cues(question: str, tools: tuple[str, ...]) -> tuple[Cue, ...]:
    """Cues that what was asked makes: its words in quotation marks, and the names of tools that are no plain words."""
    made = []
    asked = question.strip(" \n.?!")
    if len(asked) >= _LEAST_QUOTED:
        pattern = r"[\"“”'«„「]\s?" + re.escape(asked)
        made.append(Cue(ASKED[0], "repeats what the user said", "inside", (asked.lower(),), pattern))
    named = [name for name in tools if not (name.isalpha() and name[1:].islower())]
    if named:
        pattern = rf"(?<![\w./])(?:{'|'.join(map(re.escape, named))})(?!\w)"
        made.append(Cue(ASKED[1], "plans a call", "inside", tuple(name.lower() for name in named), pattern))
    return tuple(made)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _begins(text: str, place: int, opening: bool) -> bool:
    """Whether a sentence, or the answer itself, begins at a place: only ornaments and lead-ins come before."""
    before = text[max(0, place - _LOOK_BACK) : place]
    if opening:
        return place <= _LOOK_BACK and _OPENING.match(before) is not None
    if place > _LOOK_BACK:
        before = "x" + before  # no beginning of the text
    return _BEGINNING.search(before) is not None

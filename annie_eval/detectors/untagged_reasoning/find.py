"""Find reasoning that carries no tag: "Okay, the user wants ...", "Thinking Process:", "We need to respond ...".

The text is cut into sentences, each without its ornaments (`**`, `1.`) and lead-ins ("Okay, so"), and held against
the rules of `prose_rules`. "The user manual says", "Let me check that for you" and "First, I need to know which city
you mean" stay speech.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from annie_eval.detectors.untagged_reasoning.rule import Rule
from annie_eval.detectors.untagged_reasoning.rules import LEAD_INS, RULES, WEAK


@dataclass(frozen=True, slots=True)
class Prose:
    """Where reasoning was recognised, and what it does there. `start` and `end` are indices into the text."""

    reason: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    start: int


_BOUNDARY = re.compile(r"(?<=[.!?…:।])[\"'”’)\]*_]{0,4}\s+|(?<=[。！？：])|\n+|(?<=>)")
_ORNAMENT = re.compile(r"[\s*_#>\d.\"“”'(•-]*")
_LEAD_IN = re.compile(LEAD_INS, re.IGNORECASE)
# A rule looks at no more of a sentence than this, so that its cost has a bound.
_LOOK = 300


def find_prose(text: str, *, about_thinking: bool = False) -> Prose | None:
    """The first sign of untagged reasoning in a text, or None.

    Args:
        about_thinking: the user asked about thinking or tags; signs that a fair answer may show are left out.
    """
    lowered = text.casefold()
    rules = [rule for rule in RULES if (rule.topical or not about_thinking) and _hinted(rule, lowered)]
    weak = [] if about_thinking else [rule for rule in WEAK if _hinted(rule, lowered)]
    if not rules and len(weak) < 3:
        return None
    bare = _sentences(text, lead_ins=False) if rules else []
    for rule in rules:
        if found := _first(rule, bare):
            return found
    whole = _sentences(text, lead_ins=True) if len(weak) >= 3 else []
    seen = [found for rule in weak if (found := _first(rule, whole))]
    if len({found.reason for found in seen}) >= 3 or len(seen) >= 4:
        earliest = min(seen, key=lambda found: found.start)
        return Prose("thinks aloud", earliest.start, earliest.end)
    return None


def _hinted(rule: Rule, lowered: str) -> bool:
    return any(hint in lowered for hint in rule.hints)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _first(rule: Rule, sentences: list[_Sentence]) -> Prose | None:
    pattern = _compiled(rule.pattern)
    for sentence in sentences[:1] if rule.where == "opening" else sentences:
        look = pattern.search if rule.where == "inside" else pattern.match
        if match := look(sentence.text):
            return Prose(rule.reason, sentence.start + match.start(), sentence.start + match.end())
    return None


def _sentences(text: str, *, lead_ins: bool) -> list[_Sentence]:
    sentences: list[_Sentence] = []
    start = 0
    for boundary in [*_BOUNDARY.finditer(text), None]:
        end = len(text) if boundary is None else boundary.start()
        begin = _begin(text, start, end, lead_ins)
        # "Okay. The user wants" opens with its second sentence: a lead-in alone is none.
        if begin < end and (lead_ins or not _LEAD_IN.fullmatch(text[begin : min(end, begin + _LOOK)] + " ")):
            sentences.append(_Sentence(text[begin : min(end, begin + _LOOK)], begin))
        start = len(text) if boundary is None else boundary.end()
    return sentences


def _begin(text: str, start: int, end: int, lead_ins: bool) -> int:
    """Where the matter of a sentence begins, behind its ornaments and, unless they are wanted, its lead-ins."""
    while True:
        ornament = _ORNAMENT.match(text, start, end)
        begin = ornament.end() if ornament else start
        lead = None if lead_ins else _LEAD_IN.match(text, begin, end)
        if lead is None or lead.end() >= end:
            return begin
        start = lead.end()

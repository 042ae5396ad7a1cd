"""Finds whether a name is that of another person who shares a part of it: "Ann Lee", where "Harper Lee" is right."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annie_eval.detectors.english.matter import COMMON, OPENERS
from annie_eval.text import WORD, word_set, words

_BEFORE = re.compile(rf"(?<![{WORD}'’])((?:(?-i:[A-ZÀ-Þ])[{WORD}.-]*\s+)+)\Z")
_BEHIND = re.compile(rf"\s+((?-i:[A-ZÀ-Þ])[{WORD}]+)")
# What may stand before a last name with a capital and is no first name.
_TITLES = word_set(
    "mr mrs ms miss dr sir dame lord lady king queen saint st prince princess captain commander colonel general"
    " professor president doctor author writer novelist poet painter artist astronaut british english american old"
    " young good dear poor our say try put write ask"
)


_REST_OF_IT = re.compile(rf"(?:\s+(?:(?:da|de|di|del|von|van|of)\s+)?(?-i:[A-ZÀ-Þ])[{WORD}-]+){{1,3}}")
_FIRST_OF_IT = re.compile(rf"(?<=[{WORD},:;]\s)(?:(?-i:[A-ZÀ-Þ])(?:\.|[{WORD}-]+)\s+){{1,2}}\Z")


def whole_name(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """Return the span of the name that the phrase at a span is a part of: "Einstein" in "by Albert Einstein"."""
    if not text[span[0]].isupper():
        return span
    first, rest = _FIRST_OF_IT.search(text, max(0, span[0] - 60), span[0]), _REST_OF_IT.match(text, span[1])
    return first.start() if first else span[0], rest.end() if rest else span[1]


def namesake(text: str, span: tuple[int, int], accepted: Sequence[str], question: str) -> bool:
    """Return whether the phrase at a span, asked who, is a part of a name of which the other part is wrong.

    The first name is wrong if an accepted phrase has another, a last name behind the phrase if no accepted one has it.
    """
    asked = words(question)
    if "who" not in asked:
        return False
    known = {word for phrase in accepted for word in words(phrase)}
    said = words(text[span[0] : span[1]])
    fuller = any(words(phrase)[-len(said) :] == said and len(words(phrase)) > len(said) for phrase in accepted)
    before = _BEFORE.search(text, max(0, span[0] - 60), span[0])
    told = words(before[1]) if before else []
    small = {*COMMON, *OPENERS, *asked}
    first = {word for word in told if not (word in small or word in _TITLES or word.endswith("ly"))}
    if fuller and first and first.isdisjoint(known):
        return True
    behind = _BEHIND.match(text, span[1])
    return behind is not None and set(words(behind[1])).isdisjoint(known | small)

"""Finds whether a name is that of another person who shares a part of it: "Ann Lee", where "Harper Lee" is right."""

from __future__ import annotations

import re
from collections.abc import Sequence

from annie_eval.detectors.english.matter import COMMON, OPENERS
from annie_eval.text import WORD, word_set, words

_BEFORE = re.compile(rf"((?:(?-i:[A-ZÀ-Þ])[{WORD}'’.-]*\s+)+)\Z")
_BEHIND = re.compile(rf"\s+((?-i:[A-ZÀ-Þ])[{WORD}]+)")
# What may stand before a last name with a capital and is no first name.
_TITLES = word_set(
    "mr mrs ms miss dr sir dame lord lady king queen saint st prince princess captain commander colonel general"
    " professor president doctor author writer novelist poet painter artist astronaut british english american old"
    " young good dear poor our say try put write ask"
)


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
    first = {word for word in told if not word.endswith("ly")} - COMMON - OPENERS - _TITLES - set(asked)
    if fuller and first and first.isdisjoint(known):
        return True
    behind = _BEHIND.match(text, span[1])
    return behind is not None and set(words(behind[1])).isdisjoint({*known, *COMMON, *OPENERS, *asked})

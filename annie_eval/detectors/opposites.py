"""Finds the opposite property stated in the place of the one that was asked for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from annie_eval.detectors.english.relations import OPPOSITES
from annie_eval.text import word_set, words

if TYPE_CHECKING:
    from annie_eval.profile.types import AnswerExpectation

_PARTS_OF_TIME = re.compile(r"[.,;:!?\n—–]+(?!\d)|\b(?:and|but|while|when|after|before)\b", re.IGNORECASE)
_ABOUT_OPPOSITES = word_set("opposite opposites contrary reverse antonym")


def opposite(content: str, expected: AnswerExpectation, question: str) -> tuple[int, int] | None:
    """Where an answer speaks of the opposite of what was asked: "It began in 1945", asked when it ended."""
    if not expected.any_of and expected.number is None:
        return None
    asked = set(words(question))
    number = () if expected.number is None else (f"{expected.number:g}",)
    right = {word for phrase in (*expected.any_of, *expected.all_of, *number) for word in words(phrase)}
    if asked & _ABOUT_OPPOSITES:
        return None
    for one, other in OPPOSITES:
        for wanted, opposite in ((one, other), (other, one)):
            if not asked & wanted or asked & opposite:
                continue
            parts = [set(words(part)) for part in _PARTS_OF_TIME.split(content)]
            said = [part for part in parts if right & part]
            if said and all(part & opposite - right and not part & wanted and "than" not in part for part in said):
                return 0, len(content)
    return None

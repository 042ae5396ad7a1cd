"""Finds numbers that measure something else than the answer: bounds, differences, what is saved, what is too many."""

from __future__ import annotations

import re

from annie_eval.detectors.english.matter import COMMON
from annie_eval.text import words

_SAVED = re.compile(
    r"\b(?:sav(?:e|es|ed|ing)|spared?|spares|discount|knocks?|knocked|takes? off|uses up|used up)\b", re.IGNORECASE
)
_DIFFERENCE = re.compile(
    r"(?:\s+[^\W\d]+)?\s+(?:off|(?:less|fewer|more|younger|older|longer|shorter|higher|lower)\b(?! (?:are|is"
    r"|than\W))|short|(?:less|fewer|more) than)\b",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(
    r"(?:\s+[^\W\d]+)?\s+(?:(?:is|are|would be|was|were|will be) )?(?:too (?:few|many|much|little|short|long"
    r"|low|high|far|small|big|large)|not enough|(?:is|are)n['’]t enough)\b",
    re.IGNORECASE,
)
_NOT_QUITE = re.compile(
    r"\b(?:at least|at most|up to|under|over|above|below|almost|nearly|close to|(?:just|a (?:bit|little)) short of"
    r"|not quite|approaching)"
    r" (?:about )?[$€£]?\Z",
    re.IGNORECASE,
)
_SOMEBODY_WOULD = re.compile(
    r"\b(?!(?:it|that|this|you|he|she|they|we|i|there|answer|total|result)\b)\w+ would (?!(?:be|correct|win)\b)"
    r"[^,;:]*\Z",
    re.IGNORECASE,
)


def saved(before: str, question: str) -> bool:
    """Return whether the clause that ends `before` a number says what is saved, and nobody asked for that."""
    found = _SAVED.search(re.split(r"[,;:—–]", before)[-1])
    return found is not None and not set(words(found.group())) & set(words(question))


def is_difference(text: str, end: int) -> bool:
    """Return whether the number that ends at `end` says by how much: "six years younger", "20 off"."""
    return _DIFFERENCE.match(text, end) is not None


def too_many(text: str, end: int) -> bool:
    """Return whether the number that ends at `end` is called too many or not enough."""
    return _TOO_MANY.match(text, end) is not None


def bounded(before: str, question: str) -> bool:
    """Return whether the text `before` a number says that it is nearly so many, or more, or less.

    Where the question speaks so too ("I go up four steps", "at least how many"), it is no bound.
    """
    found = _NOT_QUITE.search(before)
    return found is not None and (set(words(found.group())) - COMMON).isdisjoint(words(question))


def somebody_would(before: str) -> bool:
    """Return whether the text `before` a number says what somebody would answer: "a careless pupil would ..."."""
    return _SOMEBODY_WOULD.search(before) is not None

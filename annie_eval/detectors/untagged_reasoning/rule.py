"""One sign by which untagged reasoning is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """One sign of reasoning.

    Attributes:
        reason: what it shows.
        hints: lower-case substrings, one of which the text must hold before the pattern is tried at all.
        pattern: regular expression, case ignored; a sentence is given to it without ornaments and "Okay, so".
        where: `opening` only at the start of the answer; `start` of any sentence; `inside` any sentence.
        topical: it also holds where the user asked about thinking or tags.
    """

    reason: str
    hints: tuple[str, ...]
    pattern: str
    where: Literal["opening", "start", "inside"] = "start"
    topical: bool = True

"""Computes the weights of the cues of untagged reasoning (log odds of thoughts against speech) from counts.toml.

The rate of a cue among thoughts is the mean of two: among other models' thoughts and among short leaks written for
measuring (for languages without a corpus of thoughts, the second alone). Its rate among speech is that among lines of
human and assistant speech, plus a tenth of that among plain sentences written to be mistaken, which are far likelier
here than in a home, and a tenth of that among answers of models, of which a few are thoughts. Half a count is added.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# docs/detectors.md gives the reasons for this value.
THRESHOLD = 5.5
# If the user asked about thinking, tags or tools, a good answer names them too.
TOPICAL = 7.5
OTHER = "other: "

_COUNTS = Path(__file__).with_name("counts.toml")
_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of texts in which a cue is found, or the number of all texts.

    Attributes:
        thoughts: beginnings (three sentences) of models' thoughts before any tool result.
        speech: lines of human and assistant speech.
        answers: answers of models without a tag or a call; not all have been read by a person.
        leaks, plain: probes of benchmarks/detector_sets/reasoning_probes.jsonl that contain a thought, or only look
            like one; the leaks of a cue for other languages are those in other languages.
    """

    thoughts: int
    speech: int
    answers: int
    leaks: int
    plain: int


def log_odds(seen: Counts, of: Counts, *, other: bool) -> float:
    """Return the weight (natural logarithm) of a cue that was `seen` this often in sets `of` this many texts."""
    among_thoughts = (seen.thoughts + 0.5) / (of.thoughts + 1)
    among_leaks = (seen.leaks + 0.5) / (of.leaks + 1)
    rate = among_leaks if other else (among_thoughts + among_leaks) / 2
    doubtful = seen.plain / (of.plain + 1) + seen.answers / (of.answers + 1)
    return math.log(rate / ((seen.speech + 0.5) / (of.speech + 1) + _SHARE * doubtful))


@cache
def weights() -> Mapping[str, float]:
    """Return the weight of each cue by name."""
    stored = tomllib.loads(_COUNTS.read_text(encoding="utf-8"))
    return {name: float(row["weight"]) for name, row in stored["cues"].items()}

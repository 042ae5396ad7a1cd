"""How long a detector takes for 1 MB of one unit repeated: its time must be linear in the length."""

from __future__ import annotations

import time
from collections.abc import Sequence

from detector_sets.judging import sample_of
from detector_sets.rows import Item, said

from annie_eval.detectors import detect

MEGABYTE = 1_000_000
# Each starts something that a pattern may look for the end of.
UNITS = (
    *"abA0 \n\t.,:;!?'\"`*_#<>[](){}|/\\&=-~$%@^+",
    *"é。、「▁Ġ◁あ中аकا\u200b\ufffd",
    "<|",
    "</",
    "< ",
    "[ ",
    "&lt;",
    "a.",
    "a ",
    "a, ",
    "I ",
    "I need ",
    "the user ",
    "user: ",
    "- ",
    "1. ",
    "**a",
    '{"name":',
    "think",
    "think>",
    "im_",
    "(a ",
    "\\u003c",
)


def slowest(detectors: Sequence[str], *, size: int = MEGABYTE) -> list[tuple[str, float, str]]:
    """For each detector the seconds for its worst text of `size` characters, and the unit it is made of."""
    rows = []
    for detector in detectors:
        times = [(_seconds(detector, unit, size), unit) for unit in UNITS]
        seconds, unit = max(times)
        rows.append((detector, seconds, unit))
    return rows


def _seconds(detector: str, unit: str, size: int) -> float:
    sample = sample_of(Item("", "nothing", said((unit * (size // len(unit) + 1))[:size]), (detector,)))
    started = time.perf_counter()
    detect(detector, sample)
    return time.perf_counter() - started

"""How long a detector takes for 1 MB of one unit repeated: its time must be linear in the length."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from annie_eval.detectors import detect
from benchmarks.detector_sets.judging import sample_of
from benchmarks.detector_sets.rows import Item, answer_line

MEGABYTE = 1_000_000
_SAMPLE = 30_000
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


def slowest(detectors: Sequence[str], *, processes: int) -> list[tuple[str, float, str]]:
    """For each detector the seconds for its worst text of 1 MB, and the unit it is made of.

    The three units that are worst at 30 kB are tried at 1 MB: what grows faster than its text shows at both.
    """
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_worst, detectors))


def _worst(detector: str) -> tuple[str, float, str]:
    suspects = sorted(UNITS, key=lambda unit: _seconds(detector, unit, _SAMPLE), reverse=True)[:3]
    seconds, unit = max((_seconds(detector, unit, MEGABYTE), unit) for unit in suspects)
    return detector, seconds, unit


def _seconds(detector: str, unit: str, size: int) -> float:
    sample = sample_of(Item("", "nothing", answer_line((unit * (size // len(unit) + 1))[:size]), (detector,)))
    started = time.process_time()
    detect(detector, sample)
    return time.process_time() - started

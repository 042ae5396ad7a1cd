"""Compares timings of two runs: the ratio of medians with its interval, against the noise of one server. Pure.

Two runs of the same server also differ: another time of day, another temperature, other load on the machine. A second
run of the blessed server (an A/A run) shows how much. Without it, only the difference of the two halves of the blessed
run is known, and the noise floor is set higher.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annie_eval.gates.verdicts import ComparisonVerdict
from annie_eval.regression.result import TimingPair
from annie_eval.stats import medians

# confidence of every interval, like for the timing gates: few false alarms over many rows and nights
CONFIDENCE = 0.998
LEAST_AA, LEAST_SPLIT = 1.05, 1.15  # minimum of the noise floor
MARGIN = 0.10  # acceptable slow-down above the noise floor
LEAST_MS = 5.0  # an inaudible delay in milliseconds, which a busy machine may add to any answer
LEAST_N = 8  # minimum number of measurements of each run; fewer have no useful interval
_SHOWN = frozenset({"ttft_under_load", "decode_under_load"})  # measured under load: shown, not judged


@dataclass(frozen=True, slots=True)
class Noise:
    """The largest slow-down by chance, by row, and whether it comes from an A/A run or from two halves of a run."""

    floors: Mapping[str, float]
    aa: bool


def taken(rows: Mapping[str, Sequence[float]]) -> bool:
    """Whether a run has timings of a quiet server, which can be compared."""
    return any(len(values) >= LEAST_N for row, values in rows.items() if row not in _SHOWN)


def is_rate(row: str) -> bool:
    """Whether larger values are better."""
    return row.startswith("decode")


def noise(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]] | None) -> Noise:
    """The noise floor of two runs of the same server, or of the halves of one run.

    It is the end of the ratio's interval that is further from 1, in either direction.
    """
    floors = {}
    for row, values in first.items():
        half = len(values) // 2
        one, other = (values[:half], values[half:]) if second is None else (values, second.get(row, ()))
        if min(len(one), len(other)) >= LEAST_N // (2 if second is None else 1):
            low, high = _ratio(row, one, other)[1]
            worst = math.exp(max(abs(math.log(low)), abs(math.log(high))))
            floors[row] = max(worst, LEAST_SPLIT if second is None else LEAST_AA)
    return Noise(floors, second is not None)


def compare_timings(
    before: Mapping[str, Sequence[float]], now: Mapping[str, Sequence[float]], known: Noise
) -> list[TimingPair]:
    """Compare every row that both runs have measured often enough."""
    found = []
    for row in before:
        old, new = before[row], now.get(row, ())
        if min(len(old), len(new)) < LEAST_N:
            continue
        ratio, interval = _ratio(row, old, new)
        floor = known.floors.get(row, LEAST_SPLIT)
        later = 0.0 if is_rate(row) else medians.median(new) - medians.median(old)
        verdict, detail = _verdict(interval, floor, is_rate(row) or later > LEAST_MS)
        found.append(
            TimingPair(
                name=row,
                verdict=verdict,
                unit="tok/s" if is_rate(row) else "ms",
                before=medians.median(old),
                now=medians.median(new),
                n_before=len(old),
                n_now=len(new),
                ratio=ratio,
                interval=interval,
                noise=floor,
                judged=row not in _SHOWN,
                detail=detail,
            )
        )
    return found


def _ratio(row: str, old: Sequence[float], new: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """How much slower `new` is, with an exact bootstrap interval."""
    top, bottom = (old, new) if is_rate(row) else (new, old)
    ratio, low, high = medians.median_ratio_interval(_thinned(top), _thinned(bottom), CONFIDENCE)
    return ratio, (low, high)


def _thinned(values: Sequence[float], most: int = 121) -> Sequence[float]:
    """At most `most` values, evenly spaced in sorted order: the exact interval of more takes seconds and gains
    nothing.
    """
    if len(values) <= most:
        return values
    ordered = sorted(values)
    return [ordered[round(i * (len(ordered) - 1) / (most - 1))] for i in range(most)]


def _verdict(interval: tuple[float, float], floor: float, matters: bool) -> tuple[ComparisonVerdict, str]:
    low, high = interval
    if not matters:
        return "PASS", ""
    if low > floor:
        return "FAIL", f"at least {low:.2f} times as slow, where chance explains {floor:.2f}"
    if high <= floor * (1 + MARGIN):
        return "PASS", ""
    return "INCONCLUSIVE", f"up to {high:.2f} times as slow cannot be ruled out"

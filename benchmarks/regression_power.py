"""Computes the power of the comparison with a baseline: prints the tables of docs/statistics.md.

The computation is exact: every outcome of a gate, weighted by its probability. Both models answer each scenario once
and independently. If most answers are the same (greedy decoding, the same weights) the power is higher.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from functools import cache

from annie_eval.regression.compare import ALPHA
from annie_eval.report.operating_curves import chance
from annie_eval.stats import binomial
from annie_eval.stats.paired import default_margin, noninferiority
from annie_eval.text import aligned

GATES = 8
SIZES = (5, 10, 15, 25, 60, 120, 240)
LOSSES = ((1.0, 0.9), (1.0, 0.8), (1.0, 0.5), (0.98, 0.95), (0.98, 0.9), (0.98, 0.8), (0.9, 0.8), (0.9, 0.6))
_NOTHING = 1e-8  # outcomes with smaller probability are left out


def outcomes(n: int, before: float, now: float) -> Iterator[tuple[int, int, float]]:
    """(worse, better, probability) of n scenarios, for models with these true pass rates."""
    worse, better = before * (1 - now), now * (1 - before)
    for b in range(n + 1):
        first = _binomial(b, n, worse)
        if first < _NOTHING:
            continue
        for c in range(n - b + 1):
            weight = first * _binomial(c, n - b, better / (1 - worse) if worse < 1 else 0.0)
            if weight >= _NOTHING:
                yield b, c, weight


def _binomial(k: int, n: int, rate: float) -> float:
    if rate <= 0.0 or rate >= 1.0:
        return float(k == (0 if rate <= 0.0 else n))
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(rate) + (n - k) * math.log1p(-rate))


def found(n: int, before: float, now: float, gates: int = GATES) -> float:
    """The probability of FAIL of one gate with n scenarios at the default margin, if other gates are unchanged."""
    return sum(weight for worse, better, weight in outcomes(n, before, now) if _fails(worse, better, gates))


@cache
def _fails(worse: int, better: int, gates: int) -> bool:
    return gates * binomial.mcnemar(worse, better) <= ALPHA  # the threshold of the smallest p in Holm's procedure


def passed(n: int, rate: float, gates: int = GATES) -> float:
    """The probability of PASS of an unchanged gate at the default margin."""
    margin, total = default_margin(n, ALPHA), 0.0
    least, at = 0, -1  # number of better scenarios that prove, with `at` worse ones, that the loss is below the margin
    for worse, better, weight in outcomes(n, rate, rate):
        if worse != at:
            at = worse
            while least <= n - worse and noninferiority(worse, least, n, margin) > ALPHA:
                least += 1
        if better >= least and not _fails(worse, better, gates):
            total += weight
    return total


def lines(losses: Sequence[tuple[float, float]] = LOSSES, sizes: Sequence[int] = SIZES) -> list[str]:
    """Two tables: losses, which should FAIL, and no change, which should PASS."""
    rows = [["pass rate", *(f"n={n}" for n in sizes)]]
    for before, now in losses:
        rows.append([f"{100 * before:g}% -> {100 * now:g}%", *(chance(found(n, before, now)) for n in sizes)])
    same = [["pass rate", *(f"n={n}" for n in sizes)]]
    for rate in (1.0, 0.98, 0.9):
        same.append([f"{100 * rate:g}%, no change", *(chance(passed(n, rate)) for n in sizes)])
    margins = ["margin", *(f"{100 * default_margin(n, ALPHA):.0f}%" for n in sizes)]
    return [
        f"chance of FAIL for one gate of {GATES} that got worse, by scenarios in it",
        *aligned(rows),
        "",
        "chance of PASS for a gate that did not change, at the default margin",
        *aligned([*same, margins]),
    ]


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")

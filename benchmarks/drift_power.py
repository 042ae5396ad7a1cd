"""Simulates how often drift over 90 nights is detected, and how often there is a false alarm (fixed seed).

    python benchmarks/drift_power.py [--histories 300]

The limit is that of a profile with eight gates and one timing: a ninth of the total false-alarm rate for each.
"""

from __future__ import annotations

import argparse
import random

from annie_eval.stats import trend

SERIES = 9
CASES = (
    (5, 0.99, 0.99),
    (15, 0.97, 0.97),
    (25, 0.99, 0.99),
    (60, 0.95, 0.95),
    (10, 0.95, 0.75),
    (15, 0.97, 0.85),
    (25, 0.99, 0.92),
    (25, 0.95, 0.90),
    (60, 0.97, 0.90),
)


def share(n: int, first: float, last: float, histories: int) -> float:
    """Share of histories with an alarm; the pass rate changes linearly from `first` to `last`."""
    draw = random.Random(f"{n} {first} {last}")
    rates = [first + (last - first) * night / (trend.NIGHTS - 1) for night in range(trend.NIGHTS)]
    seen = 0
    for _ in range(histories):
        badness = [-float(sum(draw.random() < rate for _ in range(n))) for rate in rates]
        seen += trend.alarm(badness, trend.SPENT / SERIES) is not None
    return seen / histories


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--histories", type=int, default=300, metavar="N")
    histories = parser.parse_args().histories
    print(f"samples  pass rate over 90 nights  alarm in so many of {histories} histories")
    for n, first, last in CASES:
        rate = f"{100 * first:g}%, no drift" if first == last else f"{100 * first:g}% -> {100 * last:g}%"
        print(f"{n:<8} {rate:<25} {100 * share(n, first, last, histories):.1f}%")


if __name__ == "__main__":
    main()

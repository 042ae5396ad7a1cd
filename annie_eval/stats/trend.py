"""A rank test for a trend that is applied every night, with a false-alarm rate over all nights.

Mann and Kendall's statistic counts, over all pairs of nights, how often the later one is worse less how often it is
better (Mann 1945, Econometrica 13; Kendall 1955). It needs no idea of how a night's numbers are spread, so it serves
pass counts and timings alike. With a fixed limit a look every night would give far too many false alarms. As long as
nothing drifts, the rank of a night among those before it is uniform and independent of the past (Renyi 1962), so the
chance of ever crossing a limit is a sum that a machine can do. `limit` finds the limit for a wanted chance.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

NIGHTS = 90
"""Nights for which the false-alarm rate is stated; of a longer series the latest are looked at."""
FALSE_ALARM = 0.05
"""Chance of any alarm in NIGHTS nights without a change, over all series of a history together: no more than this."""
SPENT = 0.04
"""What the limits are set for. The rest is room for nights that are not quite independent of their neighbours."""
_FAR = 6.0  # standard deviations below which a path cannot come back in time to matter


def kendall(values: Sequence[float]) -> tuple[int, float]:
    """Mann-Kendall's S (later higher less later lower, over all pairs) and its variance, ties taken into account.

    As in `scipy.stats.kendalltau` of the values against their order. O(n^2).
    """
    n = len(values)
    s = sum((values[j] > values[i]) - (values[j] < values[i]) for i in range(n) for j in range(i + 1, n))
    return s, _variance(values)


def _variance(values: Iterable[float]) -> float:
    counts = Counter(values).values()
    n = sum(counts)
    tied = sum(k * (k - 1) * (2 * k + 5) for k in counts)
    return (n * (n - 1) * (2 * n + 5) - tied) / 18


def score(badness: Sequence[float]) -> float:
    """S in standard deviations, above 0 where it gets worse; 0 where all nights are alike."""
    s, variance = kendall(badness)
    return s / math.sqrt(variance) if variance > 0 else 0.0


@cache
def crossing(limit: float, nights: int = NIGHTS) -> float:
    """The exact chance that S, in standard deviations, reaches `limit` at any of the first `nights` nights.

    For independent nights of any one continuous distribution: by dynamic programming over the number of pairs whose
    later night is worse, which grows each night by a uniform number below the count of nights before.
    """
    alive, crossed = [1.0], 0.0  # chance of each count of worse pairs, from `base` on, that has not crossed yet
    base = 0
    for n in range(2, nights + 1):
        # A sum over a window of n, as the difference of two cumulative sums.
        sums = [0.0]
        for chance in alive:
            sums.append(sums[-1] + chance)
        size = len(alive)
        grown = [(sums[min(i + 1, size)] - sums[max(0, i + 1 - n)]) / n for i in range(size + n - 1)]
        deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
        middle = n * (n - 1) / 4  # S = 2 (count - middle)
        top = math.ceil(middle + limit * deviation / 2 - 1e-9) - base
        if top < len(grown):
            crossed += sum(grown[max(0, top) :])
            del grown[max(0, top) :]
        bottom = max(0, math.floor(middle - _FAR * deviation / 2) - base)
        if bottom:
            grown[: bottom + 1] = [sum(grown[: bottom + 1])]
            base += bottom
        alive = grown
    return crossed


@cache
def limit(chance: float, nights: int = NIGHTS) -> float:
    """The least limit, in standard deviations to a thousandth, that `crossing` stays within `chance` for.

    Raises:
        ValueError: chance outside (0, 1).
    """
    if not 0.0 < chance < 1.0:
        raise ValueError(f"chance must lie strictly between 0 and 1, got {chance!r}")
    low, high = 0.0, 12.0
    while high - low > 0.001:
        middle = (low + high) / 2
        low, high = (low, middle) if crossing(middle, nights) <= chance else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class Alarm:
    """A series that got worse: index of the night that crossed the limit, and the score of the latest night.

    Attributes:
        score: S of the latest night's window in standard deviations; above `limit` at `at`.
        start: index of the first night of the window that crossed.
    """

    at: int
    start: int
    score: float
    limit: float


def alarm(badness: Sequence[float], chance: float) -> Alarm | None:
    """The first night on which a series is seen to get worse; None if none is.

    Args:
        badness: one number a night, oldest first; higher is worse.
        chance: of a false alarm in NIGHTS nights.
    """
    bound = limit(chance)
    first: int | None = None
    window: deque[float] = deque()
    s, latest = 0, 0.0
    for at, value in enumerate(badness):
        s += sum((value > old) - (value < old) for old in window)
        window.append(value)
        if len(window) > NIGHTS:
            gone = window.popleft()
            s -= sum((later > gone) - (later < gone) for later in window)
        variance = _variance(window)
        latest = s / math.sqrt(variance) if variance > 0 else 0.0
        if first is None and latest >= bound:
            first = at
    return None if first is None else Alarm(first, max(0, first + 1 - NIGHTS), latest, bound)

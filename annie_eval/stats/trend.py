"""A rank test for a trend, repeated every night, with a false-alarm rate for all nights together.

Mann and Kendall's statistic is, over all pairs of nights, the number of pairs whose later night is worse minus those
whose later night is better (Mann 1945, Econometrica 13; Kendall 1955). It assumes no distribution, so it works for
pass counts and timings. A fixed limit, tested every night, would give far too many false alarms. If nothing drifts,
the rank of a night among those before it is uniform and independent of the past (Renyi 1962), so the probability of
ever crossing a limit can be computed. `limit` finds the limit for a given probability.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

NIGHTS = 90
"""Number of nights for which the false-alarm rate holds; of a longer series the latest are used."""
FALSE_ALARM = 0.05
"""Maximum probability of any alarm in NIGHTS nights without a change, over all series of a history together."""
SPENT = 0.04
"""The probability that limits are computed for. The difference allows for nights that are not quite independent."""
_FAR = 6.0  # standard deviations below which a path cannot reach the limit in time


def kendall(values: Sequence[float]) -> tuple[int, float]:
    """Mann-Kendall's S (pairs with the later one higher, minus those with it lower) and its variance, corrected for
    ties.

    Like `scipy.stats.kendalltau` of the values and their order. O(n^2).
    """
    n = len(values)
    s = sum((values[j] > values[i]) - (values[j] < values[i]) for i in range(n) for j in range(i + 1, n))
    return s, _variance(values)


def _variance(values: Iterable[float]) -> float:
    counts = Counter(values).values()
    n = sum(counts)
    tied = sum(k * (k - 1) * (2 * k + 5) for k in counts)
    return (n * (n - 1) * (2 * n + 5) - tied) / 18


@cache
def crossing(limit: float, nights: int = NIGHTS) -> float:
    """The exact probability that S, in standard deviations, reaches `limit` on any of the first `nights` nights.

    For independent nights of any continuous distribution, by dynamic programming over the number of pairs whose later
    night is worse. Each night adds a uniform number from 0 to the number of earlier nights.
    """
    # probability of each number of worse pairs, from `base` on, without having crossed the limit
    alive, crossed = [1.0], 0.0
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
    """The smallest limit, in standard deviations to a thousandth, for which `crossing` is at most `chance`.

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
        score: S of the latest night's window in standard deviations; it was above `limit` at `at`.
        start: index of the first night of the window that crossed.
    """

    at: int
    start: int
    score: float
    limit: float


def alarm(badness: Sequence[float], chance: float) -> Alarm | None:
    """The first night with an alarm that a series gets worse; None if there is none.

    Args:
        badness: one number per night, oldest first; higher is worse.
        chance: probability of a false alarm in NIGHTS nights.
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

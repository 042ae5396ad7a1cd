"""Turns timing statistics into PASS, FAIL or INCONCLUSIVE, and decides when to stop measuring. Pure.

A verdict depends on an interval: PASS if all of it meets the limit, FAIL if none of it does; otherwise more samples
are taken, up to a maximum, and then it is INCONCLUSIVE. Testing repeatedly with a 95 % interval would be wrong far
more often than 5 % of the time, so there are few tests and the interval is wide enough for all of them together. With
an odd number of samples the bootstrap interval of the median ends at two of the samples, so "the interval is below the
limit" means "at least r of n samples are": a binomial probability with an exact value (`wrong_verdict_rate`) for any
distribution of the noise, including stragglers. It is 0.9 % if the median equals the limit, and less otherwise. This
holds for independent samples; if consecutive samples are correlated, the interval is widened as if there were fewer
(`median_in_order`).
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from annie_eval.profile.types import Verdict
from annie_eval.stats import binomial, medians

LOOKS = (15, 21, 31, 41, 61)
"""Sample counts at which a median is judged; the last is the cap. All odd, see above."""
GROUP_LOOKS = (11, 15, 21, 31)
"""Numbers of samples per context length at which slopes and ratios over several lengths are judged."""
FURTHER_LOOKS = (61, 121, 241, 481)
"""More of them for the shape of TTFT, where they take no time (`measure.FURTHER_S`): a small model on a large card
starts in milliseconds, and its noise is as large."""
CONCAVE = -0.25
"""A quadratic term surely below this share says that a prompt's later tokens cost less than its first. Attention makes
them cost more; a server may count them and not read them. Nothing is decided where the term may lie on either side."""
GROWS = 0.25
"""If the first slope is certainly above this share of the last one, TTFT has no floor: it would hardly grow there."""
STREAM_LOOKS = (60, 120, 180)
"""Numbers of requests at which a share with concurrent streams is judged."""
CONFIDENCE = 0.998
P95_NEEDS = 72
"""Least values for a 95th percentile whose 95 % interval has an upper end: 0.95^72 < 2.5 % (order statistics)."""

Groups = Mapping[float, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, its interval at `CONFIDENCE`, and its number of samples."""

    value: float
    low: float
    high: float
    n: int

    def against(self, limit: float, *, at_most: bool) -> Verdict:
        """PASS if the complete interval meets the limit, FAIL if none of it does, else INCONCLUSIVE."""
        if (self.high <= limit) if at_most else (self.low >= limit):
            return "PASS"
        return "FAIL" if (self.low > limit if at_most else self.high < limit) else "INCONCLUSIVE"


def next_look(n: int, looks: Sequence[int]) -> int | None:
    """The next number of samples at which to judge; None if the maximum is reached."""
    return next((look for look in looks if look > n), None)


def median_of(values: Sequence[float]) -> Estimate:
    """The median with its exact bootstrap interval."""
    low, high = medians.median_interval(values, CONFIDENCE)
    return Estimate(medians.median(values), low, high, len(values))


def widening(values: Sequence[float]) -> float:
    """The factor by which an interval must grow because consecutive samples are correlated; 1 if they are not.

    sqrt((1 + r) / (1 - r)) for a first-order autoregressive series (Bartlett 1946), with r the lag-1 autocorrelation
    of the ranks, corrected for its bias of about (1 + 3 r) / n (Kendall 1954). Applied only if r exceeds 1.64 /
    sqrt(n) (one-sided 5 %), so only one of twenty series of independent samples is affected.
    """
    n, s = len(values), sorted(values)
    # Mean ranks, centred, so that equal values give no correlation.
    rank = [(bisect.bisect_left(s, value) + bisect.bisect_right(s, value) - n) / 2 for value in values]
    spread = sum(r * r for r in rank)
    alike = sum(a * b for a, b in itertools.pairwise(rank)) / spread if spread else 0.0
    if n < LOOKS[0] or alike < 1.64 / math.sqrt(n):
        return 1.0
    alike = min(0.95, alike + (1 + 3 * alike) / n)
    return math.sqrt((1 + alike) / (1 - alike))


def median_in_order(values: Sequence[float]) -> Estimate:
    """The median of samples in time order; its interval is extended by the number of ranks that follows from
    `widening`.

    If there are no more ranks, it is extended beyond the extremes in proportion, but not below zero: times and rates.
    """
    plain, factor = median_of(values), widening(values)
    if factor == 1.0:
        return plain
    n, s = len(values), sorted(values)
    middle = (n - 1) / 2
    reach = (middle - bisect.bisect_left(s, plain.low)) * factor
    if reach <= middle:
        return Estimate(plain.value, s[math.floor(middle - reach)], s[math.ceil(middle + reach)], n)
    beyond = reach / middle
    low = max(0.0, plain.value - (plain.value - s[0]) * beyond)
    return Estimate(plain.value, low, plain.value + (s[-1] - plain.value) * beyond, n)


def share_of(good: int, n: int) -> Estimate:
    """A share with its exact interval (Clopper & Pearson 1934), each side at 99.5 %.

    A wider interval would need over a hundred samples to prove 90 %, and a share is tested only a few times.
    """
    low, high = binomial.clopper_pearson(good, n, 0.99)
    return Estimate(good / n if n else 0.0, low, high, n)


def slope_of(groups: Groups) -> Estimate:
    """Theil-Sen slope over all (x, value), in value per x; robust against many stragglers."""
    x, y = _flat(groups)
    line = medians.theil_sen(x, y, CONFIDENCE)
    return Estimate(line.slope, line.low, line.high, len(x))


def ratio_of(groups: Groups) -> Estimate:
    """Median at the largest x over the median at the smallest."""
    last, first = groups[max(groups)], groups[min(groups)]
    ratio, low, high = medians.median_ratio_interval(last, first, CONFIDENCE)
    return Estimate(ratio, low, high, min(len(last), len(first)))


@dataclass(frozen=True, slots=True)
class Shape:
    """Whether a curve is linear.

    Attributes:
        excess: the share of the quadratic term of a + b x + c x^2 in the value at the largest x.
        since: the smallest x of the curve used for it.
        late: the same share over only the three largest x.
    """

    verdict: Verdict
    excess: Estimate
    since: float
    late: Estimate


def shape_of(groups: Groups, limit: float | None) -> Shape:
    """Whether TTFT is linear in the prompt. Needs three different x.

    ERROR if the curve significantly flattens (`CONCAVE`), FAIL if it significantly bends upwards by more than `limit`,
    PASS if it significantly does neither; no PASS without a limit. A very short prompt takes as long as launching the
    kernels, whatever its length. Such a floor bends the curve upwards without a quadratic cost. So a curve that bends
    upwards is linear from the length on from which it does not, if the shorter lengths are on a floor: not below the
    line of the rest. It fails only if a floor cannot be the cause, see `_no_floor`.
    """
    xs = sorted(groups)
    curves = [xs[i:] for i in sorted({0, min(1, len(xs) - 3), len(xs) - 3})]
    bends = _bends(groups, curves)
    found, late = bends.shares, bends.shares[-1]
    whole = Shape("INCONCLUSIVE", found[0], xs[0], late)
    if whole.excess.high < CONCAVE:
        return replace(whole, verdict="ERROR")
    if limit is None or whole.excess.low < CONCAVE or late.value < CONCAVE:
        return whole
    median_at = {x: medians.median(groups[x]) for x in xs}
    for curve, excess in zip(curves, found, strict=True):
        if excess.low >= CONCAVE and excess.high <= limit and (curve[0] == xs[0] or _on_a_floor(median_at)):
            return Shape("PASS", excess, curve[0], late)
    bent = all(excess.low > limit for excess in found[:2])
    return replace(whole, verdict="FAIL") if bent and _no_floor(bends, xs, limit) else whole


def _on_a_floor(median_at: Mapping[float, float]) -> bool:
    """Whether no shorter x is more than 10 % below the line through the first two of the last three."""
    a, b = sorted(median_at)[-3:-1]
    slope = (median_at[b] - median_at[a]) / (b - a)
    return all(y >= 0.9 * (median_at[a] - slope * (a - x)) for x, y in median_at.items() if x < a)


def _no_floor(bends: _Bends, xs: Sequence[float], limit: float) -> bool:
    """Whether a floor cannot be the cause of an upward bend.

    Either the curve significantly grows from its shortest x on (so there is no floor) and bends upwards at the end. Or
    it significantly bends upwards over the three longest x, and either significantly grows before them, or grows more
    than in proportion between the last two, which a curve that leaves a floor does not.
    """
    if bends.start.low > GROWS and bends.shares[-1].value > limit:
        return True
    r = xs[-2] / xs[-1]
    steep = bends.last.low > 1 / (r * (1 - limit) + r * r * limit)
    return bends.shares[-1].low > limit and (bends.early.low > GROWS or steep)


@dataclass(frozen=True, slots=True)
class _Bends:
    """`Shape.excess` of several curves, and values that identify a floor.

    These are the slopes from the first x to the second and to the third last, divided by the slope at the end, and the
    last value divided by the one before.
    """

    shares: Sequence[Estimate]
    start: Estimate
    early: Estimate
    last: Estimate


def _bends(groups: Groups, curves: Sequence[Sequence[float]], resamples: int = 2000) -> _Bends:
    """Compute all values from the same resamples; curves are given by their x.

    Least squares on the medians, weighted by 1 / median^2 because noise grows with the value; interval by a percentile
    bootstrap with a fixed seed, which draws complete rounds.
    """
    xs = sorted(groups)
    n = min(map(len, groups.values()))

    def share(curve: Sequence[float], median_at: Mapping[float, float]) -> float:
        a, b, c = _parabola(curve, [median_at[x] for x in curve])
        end = curve[-1]
        return c * end * end / (a + b * end + c * end * end)

    def growth(upto: float, median_at: Mapping[float, float]) -> float:
        if upto == xs[0]:
            return 0.0
        first, last = ((median_at[b] - median_at[a]) / (b - a) for a, b in ((xs[0], upto), xs[-2:]))
        return first / last if last > 0 else 0.0

    asked: list[Callable[[Mapping[float, float]], float]] = [functools.partial(share, curve) for curve in curves]
    asked += [functools.partial(growth, xs[1]), functools.partial(growth, xs[-3])]
    asked.append(lambda median_at: median_at[xs[-1]] / median_at[xs[-2]])
    true = {x: medians.median(groups[x]) for x in xs}
    drawn = [
        dict(zip(xs, median_at, strict=True)) for median_at in _resampled_medians([groups[x] for x in xs], resamples)
    ]
    tail = (1.0 - CONFIDENCE) / 2
    found = []
    for of in asked:
        values = sorted(map(of, drawn))
        low, high = values[math.floor(tail * resamples)], values[math.ceil((1 - tail) * resamples) - 1]
        found.append(Estimate(of(true), low, high, n))
    return _Bends(found[:-3], *found[-3:])


def _resampled_medians(columns: Sequence[Sequence[float]], resamples: int) -> list[list[float]]:
    """The median of each column, for each bootstrap resample.

    If all columns have the same length, the values of one round were measured at about the same time, and complete
    rounds are drawn, so that noise of a round counts once. Otherwise each column is drawn independently.
    """
    draw = random.Random(0)
    rounds = [columns] if len({len(column) for column in columns}) == 1 else [[column] for column in columns]
    blocks = []
    for block in rounds:
        n = len(block[0])
        # For each column the ranks of its values, and the sorted values.
        orders = [sorted(range(n), key=column.__getitem__) for column in block]
        blocks.append((n, [(order, [column[i] for i in order]) for order, column in zip(orders, block, strict=True)]))
    found = []
    for _ in range(resamples):
        row: list[float] = []
        for n, ordered in blocks:
            times = [0] * n
            for i in draw.choices(range(n), k=n):
                times[i] += 1
            for order, values in ordered:
                upto = list(itertools.accumulate([times[i] for i in order]))
                upper = values[bisect.bisect_right(upto, n // 2)]
                row.append(upper if n % 2 else (values[bisect.bisect_right(upto, n // 2 - 1)] + upper) / 2)
        found.append(row)
    return found


def percentile(values: Sequence[float], q: float) -> float | None:
    """The nearest-rank percentile; None if there are fewer than `P95_NEEDS` values."""
    if len(values) < P95_NEEDS:
        return None
    return sorted(values)[math.ceil(q * len(values)) - 1]


def _flat(groups: Groups) -> tuple[list[float], list[float]]:
    pairs = [(x, value) for x in sorted(groups) for value in groups[x]]
    return [x for x, _ in pairs], [value for _, value in pairs]


def _parabola(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float, float]:
    """(a, b, c) of y = a + b x + c x^2 by least squares with weights 1/y^2: normal equations, Cramer's rule."""
    scale = max(xs)
    m = [[0.0] * 3 for _ in range(3)]
    v = [0.0] * 3
    for x, y in zip(xs, ys, strict=True):
        powers = (1.0, x / scale, (x / scale) ** 2)
        for i in range(3):
            v[i] += powers[i] / y
            for j in range(3):
                m[i][j] += powers[i] * powers[j] / (y * y)

    def det(rows: Sequence[Sequence[float]]) -> float:
        (a, b, c), (d, e, f), (g, h, i) = rows
        return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)

    whole = det(m)
    found = [
        det([[v[i] if j == column else m[i][j] for j in range(3)] for i in range(3)]) / whole for column in (0, 1, 2)
    ]
    return found[0], found[1] / scale, found[2] / scale**2

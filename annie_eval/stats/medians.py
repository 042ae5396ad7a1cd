"""Medians, their ratios and slopes, with intervals from the exact bootstrap distribution (without random draws)."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

from annie_eval.stats.binomial import binomial_tail
from annie_eval.stats.distributions import check_open, check_values, normal_quantile


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError for no values or non-finite ones."""
    check_values("median", values, 1)
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _bootstrap_medians(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """All medians that resampling can give, ascending, with their cumulative probabilities.

    A resample of n has its r-th value at or below the i-th of the sample with probability P(Bin(n, i/n) >= r); for
    even n the two middle values are needed together, and their joint distribution is multinomial. Pairs with
    a probability below 1e-30 are left out.
    """
    n, x = len(values), sorted(values)
    half = n // 2
    if n % 2:
        return x, [binomial_tail(half + 1, n, i / n) for i in range(1, n + 1)]
    weights: dict[float, float] = {}
    # C(n, n/2) (at i or below)^(n/2) (at j or above)^(n/2), each factor scaled by 2 so that neither power underflows.
    scale = math.exp(math.lgamma(n + 1) - 2 * math.lgamma(half + 1) - n * math.log(2))
    power = [(2 * i / n) ** half for i in range(n + 1)]
    for i in range(n):
        below = scale * (power[i + 1] - power[i])
        both = binomial_tail(half, n, (i + 1) / n) - binomial_tail(half, n, i / n) - below * power[n - 1 - i]
        weights[x[i]] = weights.get(x[i], 0.0) + max(0.0, both)
        for j in range(i + 1, n):
            weight = below * (power[n - j] - power[n - 1 - j])
            if weight > 1e-30:
                middle = (x[i] + x[j]) / 2
                weights[middle] = weights.get(middle, 0.0) + weight
    medians, cumulative, total = sorted(weights), [], 0.0
    for value in medians:
        total += weights[value]
        cumulative.append(total)
    return medians, cumulative


def _quantile_of(medians: Sequence[float], cumulative: Sequence[float], q: float) -> float:
    # A small tolerance, so that rounding errors do not miss a cumulative probability of exactly q.
    return medians[min(bisect.bisect_left(cumulative, q - 1e-12), len(medians) - 1)]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median (Efron 1979), from the exact bootstrap distribution.

    The median's bootstrap distribution is known in closed form (Efron 1979, section 3; Maritz & Jarrett 1978), so
    there are no random draws and no seed: the result is the limit of infinitely many resamples. One value gives an
    interval of zero width; the coverage is reliable from about 10 values on.

    Raises:
        ValueError: no values, a value that is not finite, or confidence outside (0, 1).
    """
    check_values("median_interval", values, 1)
    check_open("confidence", confidence)
    medians, cumulative = _bootstrap_medians(values)
    tail = (1.0 - confidence) / 2.0
    return _quantile_of(medians, cumulative, tail), _quantile_of(medians, cumulative, 1.0 - tail)


def median_ratio_interval(
    first: Sequence[float], second: Sequence[float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """(median of the first / median of the second, low, high), for two independent samples.

    The interval is the percentile bootstrap of the ratio, from the two exact bootstrap distributions.

    Raises:
        ValueError: a value that is not positive and finite, no values, or confidence outside (0, 1).
    """
    check_values("first", first, 1)
    check_values("second", second, 1)
    if min(first) <= 0 or min(second) <= 0:
        raise ValueError("a ratio of medians needs positive values")
    check_open("confidence", confidence)
    tops, top_cumulative = _bootstrap_medians(first)
    bottoms, bottom_cumulative = _bootstrap_medians(second)
    steps = [p - q for p, q in zip(bottom_cumulative, [0.0, *bottom_cumulative], strict=False)]

    def quantile(q: float) -> float:
        low, high = tops[0] / bottoms[-1], tops[-1] / bottoms[0]
        while high - low > 1e-12 * high:
            middle = 0.5 * (low + high)
            reached = 0.0
            for bottom, weight in zip(bottoms, steps, strict=True):
                below = bisect.bisect_right(tops, middle * bottom)
                reached += weight * top_cumulative[below - 1] if below else 0.0
            low, high = (low, middle) if reached >= q - 1e-12 else (middle, high)
        return high

    tail = (1.0 - confidence) / 2.0
    return median(first) / median(second), quantile(tail), quantile(1.0 - tail)


@dataclass(frozen=True, slots=True)
class Slope:
    """The slope of a line, with its interval low..high."""

    slope: float
    low: float
    high: float


def theil_sen(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Slope:
    """Median of the slopes of all pairs of points with different x, and Sen's interval (Sen 1968, JASA 63).

    Up to 29 % of the points may be arbitrarily wrong. The interval is between the order statistics of the slopes
    that Kendall's statistic, in its normal approximation with corrections for ties, allows; it is scipy's
    `theilslopes`, except that ties without variance give an interval of zero width (scipy: NaN). O(n^2)
    time and memory.

    Raises:
        ValueError: different lengths, under two points, all x equal, or values that are not finite.
    """
    check_values("x", x, 2)
    check_values("y", y, 2)
    check_open("confidence", confidence)
    if len(x) != len(y):
        raise ValueError(f"x and y must have the same length, got {len(x)} and {len(y)}")
    n = len(x)
    slopes = sorted((y[j] - y[i]) / (x[j] - x[i]) for i in range(n) for j in range(i + 1, n) if x[i] != x[j])
    if not slopes:
        raise ValueError("all x are equal: no slope is defined")

    def ties(values: Sequence[float]) -> int:
        counts = [values.count(value) for value in set(values)]
        return sum(k * (k - 1) * (2 * k + 5) for k in counts)

    variance = (n * (n - 1) * (2 * n + 5) - ties(x) - ties(y)) / 18
    reach = normal_quantile((1.0 + confidence) / 2.0) * math.sqrt(max(0.0, variance))
    low = max(round((len(slopes) - reach) / 2) - 1, 0)
    high = min(round((len(slopes) + reach) / 2), len(slopes) - 1)
    return Slope(median(slopes), slopes[low], slopes[high])

"""Small-sample statistics for gates on counts and on timings: exact where exactness is affordable.

Standard library only, and nothing random: every function returns the same number on every machine. Counts are
judged with the binomial distribution itself (no normal approximation decides anything); medians are judged with the
complete bootstrap distribution, summed instead of drawn.

Accuracy: `beta_cdf` is within 1e-11 of the true value, relative, for parameters up to 1e4, within 1e-9 for such up to
1e5 (the logarithms of large factorials cancel), and so is everything built on it; the tests hold it against scipy.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def _check_counts(passed: int, n: int) -> None:
    if n < 0 or not 0 <= passed <= n:
        raise ValueError(f"counts must satisfy 0 <= passed <= n, got passed={passed}, n={n}")


def _check_open(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")


def _check_values(name: str, values: Sequence[float], least: int) -> None:
    if len(values) < least:
        raise ValueError(f"{name} needs at least {least} value(s), got {len(values)}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{name} holds a value that is not finite")


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), the CDF of Beta(a, b).

    Continued fraction DLMF 8.17.22, evaluated by Lentz's method (Thompson & Barnett 1986) on the side where it
    converges fast, x < (a + 1) / (a + b + 2); the other side by I_x(a, b) = 1 - I_{1-x}(b, a).

    Raises:
        ValueError: a or b not positive and finite, or x outside [0, 1].
    """
    if not (a > 0 and b > 0 and math.isfinite(a) and math.isfinite(b)):
        raise ValueError(f"beta parameters must be positive and finite, got a={a!r}, b={b!r}")
    if not 0.0 <= x <= 1.0:
        raise ValueError(f"x must lie in [0, 1], got {x!r}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_series(math.log1p(-x), math.log(x), 1.0 - x, b, a)
    return _beta_series(math.log(x), math.log1p(-x), x, a, b)


def _beta_series(log_x: float, log_y: float, x: float, a: float, b: float) -> float:
    """x^a (1-x)^b / (a B(a, b)) over the continued fraction; log_x and log_y are the logarithms of x and 1 - x."""
    tiny = 1e-300
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(1, 100_000):
        m, odd = divmod(step, 2)
        if odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + term * d or tiny)
        c = 1.0 + term / c or tiny
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.exp(a * log_x + b * log_y - _log_beta(a, b)) / (a * fraction)


def beta_quantile(q: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = q, by Newton's method on logarithms, kept inside a bracket that only shrinks.

    Raises:
        ValueError: q not strictly between 0 and 1, or a or b not positive.
    """
    _check_open("q", q)
    if q > 0.5:
        return 1.0 - beta_quantile(1.0 - q, b, a)
    low, high = 0.0, 1.0
    x = a / (a + b)
    for _ in range(200):
        cdf = beta_cdf(x, a, b)
        if cdf < q:
            low = x
        else:
            high = x
        following = 0.5 * (low + high)
        if cdf > 0.0:
            # In the lower tail the CDF is close to a power of x, so that log against log is close to a line.
            density = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b))
            step = math.log(q / cdf) * cdf / (x * density) if density > 0.0 else math.inf
            newton = x * math.exp(step) if abs(step) < 50 else following
            if low < newton < high:
                following = newton
        if abs(following - x) <= 1e-15 * x:
            return following
        x = following
    return x


def binomial_tail(k: int, n: int, rate: float) -> float:
    """P(X >= k) for X ~ Binomial(n, rate): how often a k-of-n gate passes a model with that true pass rate.

    1 where k <= 0, 0 where k > n. Identity with the beta CDF: I_rate(k, n - k + 1).
    """
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate must lie in [0, 1], got {rate!r}")
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return beta_cdf(rate, k, n - k + 1)


def lower_bound(passed: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact lower confidence bound on a rate (Clopper & Pearson 1934).

    The smallest rate under which `passed` or more of n still has probability 1 - confidence. 0 where passed == 0,
    n == 0 included.
    """
    _check_counts(passed, n)
    _check_open("confidence", confidence)
    if passed == 0:
        return 0.0
    return beta_quantile(1.0 - confidence, passed, n - passed + 1)


def upper_bound(passed: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper confidence bound on a rate; 1 where passed == n. Mirror of `lower_bound`."""
    _check_counts(passed, n)
    return 1.0 - lower_bound(n - passed, n, confidence)


def clopper_pearson(passed: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval on a rate: the one-sided bounds, each at (1 + confidence) / 2.

    Covers the true rate with at least the stated confidence, always (Clopper & Pearson 1934, Biometrika 26).
    (0, 1) where n == 0.
    """
    _check_counts(passed, n)
    _check_open("confidence", confidence)
    side = (1.0 + confidence) / 2.0
    return lower_bound(passed, n, side), upper_bound(passed, n, side)


def wilson(passed: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided score interval on a rate (Wilson 1927, JASA 22): narrower, and right only on average.

    (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) with p = passed / n; ends exactly at 0 or 1 where passed
    is 0 or n; (0, 1) where n == 0. For comparison with other tools; no gate decides by it.
    """
    _check_counts(passed, n)
    _check_open("confidence", confidence)
    if n == 0:
        return 0.0, 1.0
    z = _normal_quantile((1.0 + confidence) / 2.0)
    p = passed / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return 0.0 if passed == 0 else centre - half, 1.0 if passed == n else centre + half


def rules_out(misses: int, n: int, confidence: float = 0.95) -> float:
    """The miss rate above which `misses` in n would be too lucky to believe: one-sided exact upper bound.

    rules_out(0, 25) is 0.113: "0/25 rules out rates above 11.3 %", and no smaller one. 1 where n == 0.
    """
    return upper_bound(misses, n, confidence)


def samples_to_rule_out(rate: float, confidence: float = 0.95, misses: int = 0) -> int:
    """The least n at which `misses` misses rule out a miss rate of `rate`: P(X <= misses | n, rate) <= 1 - confidence.

    samples_to_rule_out(0.05) is 59. For misses == 0 this is log(1 - confidence) / log(1 - rate), rounded up.
    """
    _check_open("rate", rate)
    _check_open("confidence", confidence)
    if misses < 0:
        raise ValueError(f"misses must not be negative, got {misses}")

    def enough(n: int) -> bool:
        return (
            1.0 - rate <= 1.0 - confidence
            if n == 0
            else beta_cdf(1.0 - rate, n - misses, misses + 1) <= 1 - confidence
        )

    high = misses + 1
    while not enough(high):
        high *= 2
    low = max(misses, high // 2)
    return bisect.bisect_left(range(low + 1, high + 1), True, key=enough) + low + 1


def operating_curve(required: int, n: int, rates: Iterable[float]) -> list[tuple[float, float]]:
    """(true pass rate, probability that a gate of `required` out of n passes it), for each rate."""
    _check_counts(required, n)
    return [(rate, binomial_tail(required, n, rate)) for rate in rates]


def pass_hat_k(passed: int, n: int, k: int) -> float:
    """pass^k: the chance that k repeats all pass, unbiased from n repeats: C(passed, k) / C(n, k).

    Yao et al. 2024 (tau-bench, arXiv 2406.12045). 0 where passed < k.
    """
    _check_counts(passed, n)
    if not 1 <= k <= n:
        raise ValueError(f"k must satisfy 1 <= k <= n, got k={k}, n={n}")
    return math.comb(passed, k) / math.comb(n, k)


def mcnemar(worse: int, better: int) -> float:
    """One-sided exact McNemar test: p-value for "the candidate is worse", over the samples on which two runs differ.

    `worse` samples passed before and miss now, `better` the other way; under no difference worse ~ Bin(worse +
    better, 1/2), p = P(X >= worse) (McNemar 1947, Psychometrika 12, in its exact form). 1 where nothing differs.
    """
    if worse < 0 or better < 0:
        raise ValueError(f"counts must not be negative, got worse={worse}, better={better}")
    return binomial_tail(worse, worse + better, 0.5)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given: reject where adjusted <= alpha, and the chance of any
    false rejection stays <= alpha, however the tests depend on each other (Holm 1979, Scand. J. Statist. 6).
    """
    if not all(0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p-values must lie in [0, 1], got {list(p_values)!r}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones. Raises ValueError for none or for non-finite ones."""
    _check_values("median", values, 1)
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _bootstrap_medians(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Every median that resampling can give, ascending, with its cumulative probability.

    A resample of n has its r-th value at or below the i-th of the sample with probability P(Bin(n, i/n) >= r); for
    even n the two middle values are needed together, and their joint distribution is multinomial. Pairs that no
    machine would draw in the age of the universe (below 1e-30) are left out.
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
    # A hair's breadth of slack: a cumulative probability of exactly q must not be missed by a rounding error.
    return medians[min(bisect.bisect_left(cumulative, q - 1e-12), len(medians) - 1)]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the median (Efron 1979), from the exact bootstrap distribution.

    The median's bootstrap distribution is known in closed form (Efron 1979, section 3; Maritz & Jarrett 1978), so
    nothing is drawn and there is no seed: the result is the limit of infinitely many resamples. One value gives an
    interval of no width; use 10 or more before you believe the coverage.

    Raises:
        ValueError: no values, a value that is not finite, or confidence outside (0, 1).
    """
    _check_values("median_interval", values, 1)
    _check_open("confidence", confidence)
    medians, cumulative = _bootstrap_medians(values)
    tail = (1.0 - confidence) / 2.0
    return _quantile_of(medians, cumulative, tail), _quantile_of(medians, cumulative, 1.0 - tail)


def median_order_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of the median between two order statistics (Thompson 1936, Ann. Math. Statist. 7).

    (x_(r), x_(n-r+1)) with the largest r for which P(Bin(n, 1/2) < r) <= (1 - confidence) / 2: covers at least as
    often as stated, for any continuous distribution. (-inf, inf) where n is too small for any pair to do so (n < 6
    at 95 %).
    """
    _check_values("median_order_interval", values, 1)
    _check_open("confidence", confidence)
    n, x = len(values), sorted(values)
    rank = 0
    while 2 * (rank + 1) <= n and binomial_tail(n - rank, n, 0.5) <= (1.0 - confidence) / 2.0:
        rank += 1
    return (x[rank - 1], x[n - rank]) if rank else (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Ratio of two medians with its interval, and what that says about a margin.

    Attributes:
        ratio: median of the first over median of the second.
        low, high: interval at confidence 1 - 2 alpha, which is what two one-sided tests at alpha look at.
        equivalent: the interval lies within the margin: any difference is smaller than matters.
        different: the interval lies wholly outside the margin. Neither: not enough evidence.
    """

    ratio: float
    low: float
    high: float
    equivalent: bool
    different: bool


def median_ratio_tost(
    first: Sequence[float], second: Sequence[float], margin: float, alpha: float = 0.05
) -> Equivalence:
    """Two one-sided tests for the ratio of two independent medians (Schuirmann 1987) within 1/(1+margin)..1+margin.

    The interval is the percentile bootstrap of the ratio at 1 - 2 alpha, from the two exact bootstrap distributions.

    Raises:
        ValueError: a value that is not positive and finite, no values, margin <= 0, or alpha outside (0, 0.5).
    """
    _check_values("first", first, 1)
    _check_values("second", second, 1)
    if min(first) <= 0 or min(second) <= 0:
        raise ValueError("a ratio of medians needs positive values")
    if not (margin > 0 and math.isfinite(margin)):
        raise ValueError(f"margin must be positive and finite, got {margin!r}")
    _check_open("2 * alpha", 2 * alpha)
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

    low, high = quantile(alpha), quantile(1.0 - alpha)
    within = 1 / (1 + margin) <= low and high <= 1 + margin
    outside = high < 1 / (1 + margin) or low > 1 + margin
    return Equivalence(median(first) / median(second), low, high, within, outside)


@dataclass(frozen=True, slots=True)
class Slope:
    """A line y = intercept + slope * x, with the interval low..high of the slope."""

    slope: float
    intercept: float
    low: float
    high: float


def theil_sen(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Slope:
    """Median of the slopes of all pairs of points with different x, and Sen's interval (Sen 1968, JASA 63).

    Up to 29 % of the points may be arbitrarily wrong. The interval is between the order statistics of the slopes
    that Kendall's statistic, in its normal approximation with corrections for ties, allows; it is scipy's
    `theilslopes`, except that ties which leave no variance give no width (scipy: NaN). Intercept: median(y) - slope
    * median(x). O(n^2) time and memory.

    Raises:
        ValueError: different lengths, under two points, all x equal, or values that are not finite.
    """
    _check_values("x", x, 2)
    _check_values("y", y, 2)
    _check_open("confidence", confidence)
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
    reach = _normal_quantile((1.0 + confidence) / 2.0) * math.sqrt(max(0.0, variance))
    low = max(round((len(slopes) - reach) / 2) - 1, 0)
    high = min(round((len(slopes) + reach) / 2), len(slopes) - 1)
    slope = median(slopes)
    return Slope(slope, median(y) - slope * median(x), slopes[low], slopes[high])


def _normal_quantile(q: float) -> float:
    from statistics import NormalDist  # pulls in decimal and fractions, which pytest's start-up need not pay for

    return NormalDist().inv_cdf(q)

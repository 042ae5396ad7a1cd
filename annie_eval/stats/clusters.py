"""Bounds on a pass rate if prompts are sent more than once: each prompt is a cluster of samples. Pure.

Samples of one prompt are correlated, so n of them are less evidence than n prompts. The bounds use each prompt's share
of passed samples, x_1 ... x_m in [0, 1]. Prompts are assumed to be independent; nothing is assumed about the samples
of one prompt, or about how the pass rates of prompts differ.

The lower bound is the quantile of a weighted mean with random weights: the mean of 0, x_1, ..., x_m under weights that
are uniform on the simplex (Dirichlet with parameters 1). Sources: Gaffke 2005, "Three test statistics for a
nonparametric one-sided hypothesis on the mean of a nonnegative variable"; Learned-Miller & Thomas 2020, arXiv
1905.06208. If every share is 0 or 1 it is Clopper and Pearson's exact bound. Otherwise its coverage is proven for
some cases and conjectured for all; `benchmarks/evidence_error_rates.py` measures it. A further success never lowers
it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from annie_eval.stats import binomial
from annie_eval.stats.distributions import check_open

_STEP, _LEAST, _MOST = 0.25, -34.0, 40.0  # step of log s in the integral of `_mass_below`
_NEGLIGIBLE = 40.0  # exp(-40)


def lower_bound(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> float:
    """One-sided lower confidence bound on the mean pass rate of prompts; 0 if nothing passed.

    Args:
        passed: number of passed samples, by prompt.
        sizes: number of samples, by prompt; at least 1 each.

    Raises:
        ValueError: inconsistent counts, no prompt, or a confidence outside (0, 1).
    """
    _check(passed, sizes)
    check_open("confidence", confidence)
    shares = Counter(k / n for k, n in zip(passed, sizes, strict=True))
    if set(shares) <= {0.0, 1.0}:
        return binomial.lower_bound(shares[1.0], len(sizes), confidence)
    shares[0.0] += 1
    low, high = 0.0, max(shares)
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        if _mass_below(shares, middle) < 1.0 - confidence:
            low = middle
        else:
            high = middle
    return low


def upper_bound(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> float:
    """One-sided upper confidence bound on the mean pass rate of prompts; 1 if everything passed."""
    _check(passed, sizes)
    missed = [n - k for k, n in zip(passed, sizes, strict=True)]
    return 1.0 - lower_bound(missed, sizes, confidence)


def interval(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval on the mean pass rate of prompts; Clopper and Pearson's if each prompt has one sample."""
    side = (1.0 + confidence) / 2.0
    return lower_bound(passed, sizes, side), upper_bound(passed, sizes, side)


def pass_hat_k(passed: Sequence[int], sizes: Sequence[int], k: int) -> float:
    """pass^k over prompts: the mean over prompts of the probability that k repeats all pass.

    Each prompt's estimate is unbiased (`binomial.pass_hat_k`; Yao et al. 2024, arXiv 2406.12045). Prompts with fewer
    than k repeats are left out.

    Raises:
        ValueError: no prompt has k repeats.
    """
    chances = [binomial.pass_hat_k(c, n, k) for c, n in zip(passed, sizes, strict=True) if n >= k]
    if not chances:
        raise ValueError(f"no prompt has {k} repeats")
    return math.fsum(chances) / len(chances)


def _check(passed: Sequence[int], sizes: Sequence[int]) -> None:
    if len(passed) != len(sizes) or not sizes:
        raise ValueError(f"needs as many counts as sizes, at least one, got {len(passed)} and {len(sizes)}")
    if any(not 0 <= k <= n or n < 1 for k, n in zip(passed, sizes, strict=True)):
        raise ValueError("counts must satisfy 0 <= passed <= size, size >= 1, in each cluster")


def _mass_below(values: Mapping[float, int], at: float) -> float:
    """P(mean of the values under uniform random weights <= at); the values with their multiplicities.

    The weights are exponential variables over their sum, so that the event is sum (v - at) E_v <= 0, a sum of scaled
    gamma variables. Its probability is an integral of its characteristic function (Imhof 1961, Biometrika 48), here
    over log s by the trapezoidal rule, whose error is below 1e-12 at this step because the integrand is analytic.
    """
    scales = [(value - at, count) for value, count in values.items() if value != at]
    total = 0.0
    for step in range(int((_MOST - _LEAST) / _STEP)):
        s = math.exp(_LEAST + step * _STEP)
        decay = sum(count * math.log1p((c * s) ** 2) for c, count in scales) / 2.0
        if decay > _NEGLIGIBLE:
            break
        total += math.sin(sum(count * math.atan(c * s) for c, count in scales)) * math.exp(-decay)
    return 0.5 - total * _STEP / math.pi

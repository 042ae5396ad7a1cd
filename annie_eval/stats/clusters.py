"""Intervals on a pass rate where samples come in clusters, such as repeats of one prompt. Pure.

The samples of a scenario pass and miss together, so that n of them say less than n scenarios would. An interval
that forgot this would be too narrow; these count what the samples are worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from annie_eval.stats import binomial, distributions


def effective_size(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> float:
    """How many independent samples a clustered sample is worth, for an interval on the pass rate.

    n / deff, with deff = v / (p (1 - p) / n) and the variance of the ratio estimator between m clusters,
    v = m / (m - 1) * sum (k_c - p n_c)^2 / n^2, and reduced for the degrees of freedom that m clusters leave:
    times (t_{n-1} / t_{m-1})^2 (Korn & Graubard 1998, Survey Methodology 24). At most n. Where nothing or everything
    passed, no variance can be seen, and the clusters themselves are all that is counted: m.

    Args:
        passed: samples that passed, by cluster.
        sizes: samples, by cluster; at least 1 each.

    Raises:
        ValueError: counts that do not fit, or no cluster.
    """
    if len(passed) != len(sizes) or not sizes:
        raise ValueError(f"needs as many counts as sizes, at least one, got {len(passed)} and {len(sizes)}")
    if any(not 0 <= k <= n or n < 1 for k, n in zip(passed, sizes, strict=True)):
        raise ValueError("counts must satisfy 0 <= passed <= size, size >= 1, in each cluster")
    n, m, k = sum(sizes), len(sizes), sum(passed)
    if n == m:
        return float(n)
    rate = k / n
    if k in (0, n) or m == 1:
        return float(m)
    between = sum((k_c - rate * n_c) ** 2 for k_c, n_c in zip(passed, sizes, strict=True))
    variance = m / (m - 1) * between / n**2
    if variance == 0.0:
        return float(n)
    side = (1.0 + confidence) / 2.0
    freedom = (t_quantile(side, n - 1) / t_quantile(side, m - 1)) ** 2
    return min(float(n), rate * (1.0 - rate) / variance * freedom)


def t_quantile(q: float, freedom: float) -> float:
    """Quantile of Student's t: from I_x(freedom / 2, 1 / 2) = 2 (1 - q) with x = freedom / (freedom + t^2)."""
    if q < 0.5:
        return -t_quantile(1.0 - q, freedom)
    if q == 0.5:
        return 0.0
    x = distributions.beta_quantile(2.0 * (1.0 - q), freedom / 2.0, 0.5)
    return math.sqrt(freedom * (1.0 - x) / x)


def interval(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval on the pass rate: Clopper & Pearson's, at the effective size.

    The exact one where every cluster has one sample.
    """
    side = (1.0 + confidence) / 2.0
    return lower_bound(passed, sizes, side), upper_bound(passed, sizes, side)


def lower_bound(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> float:
    """One-sided lower confidence bound on the pass rate; 0 where nothing passed."""
    size = effective_size(passed, sizes, 2 * confidence - 1 if confidence > 0.5 else confidence)
    worth = size * sum(passed) / sum(sizes)
    if sum(passed) == 0:
        return 0.0
    return distributions.beta_quantile(1.0 - confidence, worth, size - worth + 1.0)


def upper_bound(passed: Sequence[int], sizes: Sequence[int], confidence: float = 0.95) -> float:
    """One-sided upper confidence bound on the pass rate; 1 where everything passed."""
    missed = [n - k for k, n in zip(passed, sizes, strict=True)]
    return 1.0 - lower_bound(missed, sizes, confidence)


def pass_hat_k(passed: Sequence[int], sizes: Sequence[int], k: int) -> float:
    """pass^k over prompts: the mean over prompts of the chance that k repeats of it all pass.

    Each prompt's is unbiased (`stats.pass_hat_k`; Yao et al. 2024, arXiv 2406.12045). Prompts with fewer than k
    repeats are left out.

    Raises:
        ValueError: no prompt has k repeats.
    """
    chances = [binomial.pass_hat_k(c, n, k) for c, n in zip(passed, sizes, strict=True) if n >= k]
    if not chances:
        raise ValueError(f"no prompt has {k} repeats")
    return math.fsum(chances) / len(chances)

"""Exact statistics of numbers of passes: bounds on a rate, tests, power.

Only the standard library, and nothing random: every function returns the same number on every machine. All use the
binomial distribution itself, not a normal approximation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from annie_eval.stats.distributions import beta_cdf, beta_quantile, check_counts, check_open


def binomial_tail(k: int, n: int, rate: float) -> float:
    """P(X >= k) for X ~ Binomial(n, rate): how often a k-of-n gate passes a model with that true pass rate.

    1 if k <= 0, 0 if k > n. Identity with the beta CDF: I_rate(k, n - k + 1).
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

    The smallest rate for which `passed` or more of n still has probability 1 - confidence. 0 if passed == 0, also for
    n == 0.
    """
    check_counts(passed, n)
    check_open("confidence", confidence)
    if passed == 0:
        return 0.0
    return beta_quantile(1.0 - confidence, passed, n - passed + 1)


def upper_bound(passed: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper confidence bound on a rate; 1 if passed == n. Mirror of `lower_bound`."""
    check_counts(passed, n)
    return 1.0 - lower_bound(n - passed, n, confidence)


def clopper_pearson(passed: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval on a rate: the one-sided bounds, each at (1 + confidence) / 2.

    Covers the true rate with at least the stated confidence, always (Clopper & Pearson 1934, Biometrika 26).
    (0, 1) if n == 0.
    """
    check_counts(passed, n)
    check_open("confidence", confidence)
    side = (1.0 + confidence) / 2.0
    return lower_bound(passed, n, side), upper_bound(passed, n, side)


def rules_out(misses: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper bound on the miss rate: higher rates are ruled out by `misses` in n.

    rules_out(0, 25) is 0.113: "0/25 rules out rates above 11.3 %", and no smaller one. 1 if n == 0.
    """
    return upper_bound(misses, n, confidence)


def pass_hat_k(passed: int, n: int, k: int) -> float:
    """pass^k: the probability that k repeats all pass, estimated without bias from n repeats: C(passed, k) / C(n, k).

    Yao et al. 2024 (tau-bench, arXiv 2406.12045). 0 if passed < k.
    """
    check_counts(passed, n)
    if not 1 <= k <= n:
        raise ValueError(f"k must satisfy 1 <= k <= n, got k={k}, n={n}")
    return math.comb(passed, k) / math.comb(n, k)


def mcnemar(worse: int, better: int) -> float:
    """One-sided exact McNemar test: p-value for "the candidate is worse", over the samples on which two runs differ.

    `worse` samples passed before and fail now, `better` the reverse. If there is no difference, worse ~ Bin(worse +
    better, 1/2), p = P(X >= worse) (McNemar 1947, Psychometrika 12, in its exact form). 1 if nothing differs.
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

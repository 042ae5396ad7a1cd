"""A confidence sequence for a pass rate: an interval that is valid after every round, so that sampling may stop early.

An ordinary 95 % interval is correct 95 % of the time if it is computed once. If it is computed after every round and
sampling stops when it looks good, it is correct far less often. A confidence sequence is correct at all rounds
together, so stopping by it does not increase the error rate (Ville 1939; Robbins 1970, Ann. Math. Statist. 41; Howard
et al. 2021, Ann. Statist. 49).

It is valid although prompts differ, because a round sends each prompt once. If the prompts' pass rates p_s have mean
p, then for any alternative q the likelihood ratio of a round is a product of factors 1 + c (x_s - p) with c = (q - p)
/ (p (1 - p)), whose expectation, prod (1 + c (p_s - p)), is at most (1 + c mean(p_s - p))^m = 1 by the inequality of
the means. So the mixture over q is a supermartingale from round to round, whatever the p_s are. It is evaluated only
after complete rounds.

An observation x need not be 0 or 1. If a prompt has several samples in one round, x is its share of passed samples,
whatever their correlation: (q/p)^x ((1-q)/(1-p))^(1-x) is convex in x, so that its expectation is at most what it
would be for an x of 0 or 1 with the same mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from annie_eval.stats import binomial

Side = Literal["above", "below"]

# Jeffreys' prior: the mixture that loses least near 0 and 1, where pass rates of gates are.
_PRIOR = 0.5
# Quantile of the normal distribution: 5 % are beyond it on each side.
_FUTILE = 1.645


def log_evidence(passed: float, n: int, rate: float) -> float:
    """Logarithm of the evidence against a pass rate (a test martingale).

    log B(k + 1/2, n - k + 1/2) - log B(1/2, 1/2) - k log rate - (n - k) log(1 - rate). Under that rate its
    exponential exceeds 1 / alpha, at any look, with probability at most alpha. k is a sum of observations in [0, 1].

    Raises:
        ValueError: inconsistent counts, or a rate that is not strictly between 0 and 1.
    """
    if not 0 <= passed <= n:
        raise ValueError(f"counts must satisfy 0 <= passed <= n, got passed={passed}, n={n}")
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate must lie strictly between 0 and 1, got {rate!r}")
    missed = n - passed
    mixed = math.lgamma(passed + _PRIOR) + math.lgamma(missed + _PRIOR) - math.lgamma(n + 2 * _PRIOR)
    return mixed - math.log(math.pi) - passed * math.log(rate) - missed * math.log1p(-rate)


def interval(passed: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The confidence sequence's interval of the pass rate after n samples: all rates that are not refuted.

    (0, 1) if n is 0. All intervals of a run are correct together with the stated confidence.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence!r}")
    if n == 0:
        return 0.0, 1.0
    limit, best = -math.log1p(-confidence), passed / n

    def end(refuted: float, open_: float) -> float:
        # The evidence falls up to passed / n and rises after it, so each end of the interval is one root.
        for _ in range(200):
            middle = 0.5 * (refuted + open_)
            if middle in (refuted, open_):
                break
            if log_evidence(passed, n, middle) >= limit:
                refuted = middle
            else:
                open_ = middle
        return refuted

    return 0.0 if passed == 0 else end(0.0, best), 1.0 if passed == n else end(1.0, best)


def decides(passed: float, n: int, threshold: float, confidence: float = 0.95) -> Side | None:
    """On which side of a threshold the pass rate is; None while undecided.

    The probability of a wrong decision at any round of a run is at most 1 - confidence. For a rate of exactly the
    threshold this is the probability of any decision.
    """
    if n == 0 or log_evidence(passed, n, threshold) < -math.log1p(-confidence):
        return None
    return "above" if passed > threshold * n else "below"


def hopeless(passed: float, n: int, most: int, threshold: float, confidence: float = 0.95) -> bool:
    """Whether continuing to `most` samples is unlikely to decide: the predicted probability is below 10 %.

    The predicted final share of passes has mean p = passed / n and variance p (1 - p) (1 / n - 1 / most), in
    the normal approximation (predictive power; Spiegelhalter et al. 1986, Control. Clin. Trials 7). Stopping
    without a decision does not increase the error rate.
    """
    if n == 0 or n >= most:
        return n >= most > 0
    share = (passed + _PRIOR) / (n + 2 * _PRIOR)
    reach = _FUTILE * math.sqrt(share * (1.0 - share) * (1.0 / n - 1.0 / most))
    ends = (max(0.0, share - reach), min(1.0, share + reach))
    return all(decides(round(end * most), most, threshold, confidence) is None for end in ends)


@dataclass(frozen=True, slots=True)
class Operating:
    """The outcome of sequential sampling for one true pass rate.

    Attributes:
        above, below: probability of each decision by the last round; the rest is undecided.
        mean: mean number of samples, including undecided runs.
    """

    rate: float
    above: float
    below: float
    mean: float


def operating(threshold: float, prompts: int, rounds: int, rate: float, confidence: float = 0.95) -> Operating:
    """Exact probabilities of each decision and the mean sample size, from the distribution of counts after each round.

    All prompts have the same `rate` here; if they differ, the error rates still hold.
    """
    step = [_mass(prompts, k, rate) for k in range(prompts + 1)]
    open_ = {0: 1.0}
    above = below = mean = 0.0
    for turn in range(1, rounds + 1):
        if not open_:
            break
        mean += prompts * math.fsum(open_.values())
        after: dict[int, float] = {}
        for count, chance in open_.items():
            for more, weight in enumerate(step):
                after[count + more] = after.get(count + more, 0.0) + chance * weight
        open_ = {}
        for count, chance in after.items():
            side = decides(count, turn * prompts, threshold, confidence)
            if side == "above":
                above += chance
            elif side == "below":
                below += chance
            elif not hopeless(count, turn * prompts, rounds * prompts, threshold, confidence):
                open_[count] = chance
    return Operating(rate, above, below, mean)


def _mass(n: int, k: int, rate: float) -> float:
    if rate in (0.0, 1.0):
        return float(k == n * rate)
    return math.comb(n, k) * math.exp(k * math.log(rate) + (n - k) * math.log1p(-rate))


@cache
def fixed_size(threshold: float, rate: float, confidence: float = 0.95, power: float = 0.9) -> int:
    """The smallest fixed number of samples with which an exact interval excludes a threshold with probability `power`.

    At this number and at each of the next nine, because the power is not monotonic in the number.

    The interval is Clopper & Pearson's at `confidence`, computed once. For comparison with `operating(...).mean`.

    Raises:
        ValueError: the rate equals the threshold, so no number suffices.
    """
    if rate == threshold:
        raise ValueError("no number of samples tells a rate from itself")
    mirrored = rate < threshold
    if mirrored:
        rate, threshold = 1.0 - rate, 1.0 - threshold
    n = 1
    steady = 0
    while steady < 10:
        steady = steady + 1 if _power(n, threshold, rate, confidence) >= power else 0
        n += 1
    return n - steady


def _power(n: int, threshold: float, rate: float, confidence: float) -> float:
    side = (1.0 - confidence) / 2.0
    low, high = 0, n + 1  # the smallest count whose interval is above the threshold
    while low < high:
        middle = (low + high) // 2
        if binomial.binomial_tail(middle, n, threshold) <= side:
            high = middle
        else:
            low = middle + 1
    return binomial.binomial_tail(low, n, rate)


def table(threshold: float, prompts: int, rounds: int, rates: Sequence[float]) -> list[tuple[Operating, int | None]]:
    """For each rate the result of `operating`, and the fixed sample size with the same power.

    The size is None if a decision would be wrong (the rate is the threshold) or is very unlikely.
    """
    rows: list[tuple[Operating, int | None]] = []
    for rate in rates:
        found = operating(threshold, prompts, rounds, rate)
        power = found.above if rate > threshold else found.below
        # Beyond this the fixed size grows without bound.
        power = min(power, 0.999)
        rows.append((found, fixed_size(threshold, rate, power=power) if rate != threshold and power > 0.1 else None))
    return rows

"""A confidence sequence for a pass rate: an interval that holds at every look, so that asking may stop early.

An interval at 95 % is right 95 % of the time if it is looked at once. Who looks after every round and stops when it
pleases him is right far less often. A confidence sequence is right at all looks together, so that stopping by it
costs nothing in error (Ville 1939; Robbins 1970, Ann. Math. Statist. 41; Howard et al. 2021, Ann. Statist. 49).

What makes it valid where prompts differ: a round asks each prompt once. If the prompts' pass rates p_s have mean p,
then for any alternative q the likelihood ratio of a round is a product of factors 1 + c (x_s - p) with c = (q - p) /
(p (1 - p)), whose expectation, prod (1 + c (p_s - p)), is at most (1 + c mean(p_s - p))^m = 1 by the inequality of
the means. So the mixture over q is a supermartingale from round to round, whatever the p_s are. It is looked at only
where a round is complete.

An observation x need not be 0 or 1. Where a prompt is sent in several ways in one round, x is its share of passed
samples, however those hang together: (q/p)^x ((1-q)/(1-p))^(1-x) is convex in x, so that its expectation is at most
what it would be for an x of 0 or 1 with the same mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from annie_eval.stats import binomial

Side = Literal["above", "below"]

# Jeffreys' prior: the mixture that loses least at the ends, where gates are.
_PRIOR = 0.5
# A twentieth lies beyond so many standard deviations on either side.
_FUTILE = 1.645


def log_evidence(passed: float, n: int, rate: float) -> float:
    """Logarithm of the evidence against a pass rate: the betting score of whoever doubts it.

    log B(k + 1/2, n - k + 1/2) - log B(1/2, 1/2) - k log rate - (n - k) log(1 - rate). Under that rate its
    exponential exceeds 1 / alpha, at any look, with probability at most alpha. k is a sum of observations in [0, 1].

    Raises:
        ValueError: counts that do not fit, or a rate that is not strictly between 0 and 1.
    """
    if not 0 <= passed <= n:
        raise ValueError(f"counts must satisfy 0 <= passed <= n, got passed={passed}, n={n}")
    if not 0.0 < rate < 1.0:
        raise ValueError(f"rate must lie strictly between 0 and 1, got {rate!r}")
    missed = n - passed
    mixed = math.lgamma(passed + _PRIOR) + math.lgamma(missed + _PRIOR) - math.lgamma(n + 2 * _PRIOR)
    return mixed - math.log(math.pi) - passed * math.log(rate) - missed * math.log1p(-rate)


def interval(passed: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The confidence sequence's interval on the pass rate after n samples: rates that are not yet refuted.

    (0, 1) where n is 0. All the intervals of a run hold together with the stated confidence.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence!r}")
    if n == 0:
        return 0.0, 1.0
    limit, best = -math.log1p(-confidence), passed / n

    def end(refuted: float, open_: float) -> float:
        # The evidence falls towards passed / n and rises from there, so that each end is one root.
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
    """On which side of a threshold the pass rate lies; None while the evidence does not say.

    The chance that any look of a run says the wrong side is at most 1 - confidence; at a rate of exactly the
    threshold it is the chance that any look says a side at all.
    """
    if n == 0 or log_evidence(passed, n, threshold) < -math.log1p(-confidence):
        return None
    return "above" if passed > threshold * n else "below"


def hopeless(passed: float, n: int, most: int, threshold: float, confidence: float = 0.95) -> bool:
    """Whether going on to `most` samples would hardly decide: its predicted chance is below a tenth.

    The share that will have passed in the end has mean p = passed / n and variance p (1 - p) (1 / n - 1 / most), in
    the normal approximation (predictive power; Spiegelhalter et al. 1986, Control. Clin. Trials 7). Giving up can
    only turn a decision into none, so that it takes nothing from the error rate.
    """
    if n == 0 or n >= most:
        return n >= most > 0
    share = (passed + _PRIOR) / (n + 2 * _PRIOR)
    reach = _FUTILE * math.sqrt(share * (1.0 - share) * (1.0 / n - 1.0 / most))
    ends = (max(0.0, share - reach), min(1.0, share + reach))
    return all(decides(round(end * most), most, threshold, confidence) is None for end in ends)


@dataclass(frozen=True, slots=True)
class Operating:
    """What looking after every round leads to, for one true pass rate.

    Attributes:
        above, below: the chance of either decision by the last round; what is left stays undecided.
        mean: mean number of samples, those of runs that gave up included.
    """

    rate: float
    above: float
    below: float
    mean: float


def operating(threshold: float, prompts: int, rounds: int, rate: float, confidence: float = 0.95) -> Operating:
    """The chances of each end and the mean sample size, exactly: the distribution of the counts, round by round.

    Every prompt is taken to pass with the same `rate`; prompts that differ are decided no less safely.
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
    """The least number of samples, set beforehand, at which an exact interval excludes a threshold with `power`.

    The interval is Clopper & Pearson's at `confidence`, looked at once. What `operating(...).mean` is compared with.

    Raises:
        ValueError: the rate is the threshold, so that no number suffices.
    """
    if rate == threshold:
        raise ValueError("no number of samples tells a rate from itself")
    mirrored = rate < threshold
    if mirrored:
        rate, threshold = 1.0 - rate, 1.0 - threshold
    n = 1
    # The power wobbles with n; the least n from which it does not fall below for a while is what a planner takes.
    steady = 0
    while steady < 10:
        steady = steady + 1 if _power(n, threshold, rate, confidence) >= power else 0
        n += 1
    return n - steady


def _power(n: int, threshold: float, rate: float, confidence: float) -> float:
    side = (1.0 - confidence) / 2.0
    low, high = 0, n + 1  # the least count whose interval lies above the threshold
    while low < high:
        middle = (low + high) // 2
        if binomial.binomial_tail(middle, n, threshold) <= side:
            high = middle
        else:
            low = middle + 1
    return binomial.binomial_tail(low, n, rate)


def table(threshold: float, prompts: int, rounds: int, rates: Sequence[float]) -> list[tuple[Operating, int | None]]:
    """For each rate what `operating` says, and the fixed size that decides it as surely.

    None where a decision would be wrong (the rate is the threshold) or hardly ever comes.
    """
    rows: list[tuple[Operating, int | None]] = []
    for rate in rates:
        found = operating(threshold, prompts, rounds, rate)
        power = found.above if rate > threshold else found.below
        # Beyond this the fixed size grows without bound, and no planner asks for it.
        power = min(power, 0.999)
        rows.append((found, fixed_size(threshold, rate, power=power) if rate != threshold and power > 0.1 else None))
    return rows

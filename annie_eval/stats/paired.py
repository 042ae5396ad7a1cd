"""Exact tests for pairs and two-by-two tables: worse than before, not worse by a margin, different pass rates.

Only the standard library and nothing random, like `stats.binomial`. A pair is a scenario that two runs have answered:
worse (passed before, fails now), better (the reverse) or equal.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache

from annie_eval.stats.binomial import binomial_tail, mcnemar

LEAST_MARGIN = 0.10

_GRID = 48  # values of the nuisance parameter at which a p-value is maximised, before the best one is refined
_NOTHING = 1e-13  # probability mass that a p-value may leave out


def sign_flip(differences: Sequence[int]) -> float:
    """One-sided exact p-value for "the candidate is worse", with samples of one scenario kept together.

    `differences` has, for each scenario, the number of its samples that got worse minus those that got better. If
    there is no difference, each scenario's sign is random; p is the probability of a sum at least as large as the
    observed one (Fisher's randomisation test, in the form for clustered pairs of Durkalski et al. 2003, Statist. Med.
    22). If every scenario has one sample it equals `stats.mcnemar`.
    """
    sizes = [abs(each) for each in differences if each]
    if all(size == 1 for size in sizes):
        worse = sum(1 for each in differences if each > 0)
        return mcnemar(worse, len(sizes) - worse)
    ways = {0: 1}
    for size in sizes:
        grown: dict[int, int] = {}
        for total, count in ways.items():
            for signed in (total + size, total - size):
                grown[signed] = grown.get(signed, 0) + count
        ways = grown
    seen = sum(differences)
    as_large = sum(count for total, count in ways.items() if total >= seen)
    return float(as_large / 2 ** len(sizes))


def lowest(counts: Sequence[Sequence[int]]) -> float:
    """One-sided exact p-value for "the first of several runs has lower counts".

    If there is no difference the runs are exchangeable: given a scenario's counts, each is the first run's with equal
    probability. p is the probability of a sum over scenarios at most as large as the first run's: an exact stratified
    permutation test. With two runs it is `sign_flip`.

    Args:
        counts: for each scenario one count per run, the first run's first; runs without the scenario are left out.

    Raises:
        ValueError: a scenario without counts.
    """
    if any(not each for each in counts):
        raise ValueError("each scenario needs the first run's count")
    most = sum(each[0] for each in counts)
    chances = [1.0] + [0.0] * most  # probability of each sum over the scenarios so far
    for each in counts:
        kinds = [(value, times / len(each)) for value, times in Counter(each).items() if value <= most]
        chances = [sum(chances[k - value] * share for value, share in kinds if value <= k) for k in range(most + 1)]
    return min(1.0, sum(chances))


def tango(worse: int, better: int, n: int, margin: float) -> float:
    """Score statistic for "the pass rate fell by `margin`" (Tango 1998, Statist.

    Med. 17). Small values are evidence against it.

    (worse - better - n margin) / sqrt(n (2 q + margin (1 - margin))), q the maximum-likelihood rate of "better" under
    that hypothesis. Approximately standard normal; `noninferiority` uses it only to order outcomes.

    Raises:
        ValueError: counts that exceed n, or a margin outside (0, 1).
    """
    if n < 1 or worse < 0 or better < 0 or worse + better > n:
        raise ValueError(f"counts must fit: worse={worse}, better={better}, n={n}")
    if not 0.0 < margin < 1.0:
        raise ValueError(f"margin must lie strictly between 0 and 1, got {margin!r}")
    a = 2.0 * n
    b = -worse - better + (2 * n - worse + better) * margin
    c = -better * margin * (1 - margin)
    rate = max(0.0, (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a))
    return (worse - better - n * margin) / math.sqrt(n * (2 * rate + margin * (1 - margin)))


@lru_cache(maxsize=65536)
def noninferiority(worse: int, better: int, n: int, margin: float) -> float:
    """Exact p-value of the hypothesis "the pass rate fell by `margin` or more", from n pairs.

    A small value refutes it.

    The exact unconditional test: the probability of an outcome at least as favourable by `tango`, at the true loss
    `margin`, maximised over the rate of changed pairs (Hsueh, Liu & Chen 2001, Biometrics 57). Its error rate is at
    most the stated one for every n.

    Raises:
        ValueError: like `tango`.
    """
    reach = tango(worse, better, n, margin) + 1e-12
    floors: list[int] = []  # for each number of worse pairs, the minimum number of better ones that is as favourable
    least = 0
    for count in range(n + 1):
        while least <= n - count and tango(count, least, n, margin) > reach:
            least += 1
        if least > n - count:
            break
        floors.append(least)
    if not floors:
        return 0.0

    def chance(q: float) -> float:
        lost = min(1.0, margin + q)
        total, log_lost, log_kept = 0.0, math.log(lost), math.log1p(-lost) if lost < 1.0 else -math.inf
        peak = n * lost
        for count, floor in enumerate(floors):
            kept = 0.0 if count == n else (n - count) * log_kept
            weight = math.exp(
                math.lgamma(n + 1) - math.lgamma(count + 1) - math.lgamma(n - count + 1) + count * log_lost + kept
            )
            if weight < _NOTHING:
                if count > peak:
                    break
                continue
            total += weight * binomial_tail(floor, n - count, min(1.0, q / (1 - lost)) if lost < 1.0 else 0.0)
        return total

    top = (1.0 - margin) / 2.0
    # Finer near 0, where the maximum usually is.
    tried = [top * (step / _GRID) ** 2 for step in range(_GRID + 1)]
    values = [chance(q) for q in tried]
    best = max(range(len(tried)), key=values.__getitem__)
    low, high = tried[max(0, best - 1)], tried[min(_GRID, best + 1)]
    found = values[best]
    for _ in range(12):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        left, right = chance(first), chance(second)
        found = max(found, left, right)
        low, high = (low, second) if left > right else (first, high)
    return min(1.0, found)


@cache
def default_margin(n: int, alpha: float = 0.05) -> float:
    """The margin of a gate that sets none: `LEAST_MARGIN`, or the smallest that n unchanged pairs can prove, if
    larger.

    With a smaller margin even n of n unchanged pairs would be INCONCLUSIVE: 5 pairs prove 45 %, 10 prove 26 %, 29 or
    more prove 10 %. 1 if n is 0.
    """
    if n < 1:
        return 1.0
    if noninferiority(0, 0, n, LEAST_MARGIN) <= alpha:
        return LEAST_MARGIN
    low, high = LEAST_MARGIN, 1.0 - 1e-9
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if noninferiority(0, 0, n, middle) <= alpha else (middle, high)
    return high


def pairs_to_decide(
    worse: int, better: int, n: int, margin: float | None, tests: int, alpha: float, most: int = 1000
) -> tuple[int, bool] | None:
    """About how many pairs decide a comparison if pairs go on changing at the rate seen, and whether it then passes.

    It is decided by a loss of the margin that is ruled out, or by a proven one (McNemar, at `alpha / tests`). None if
    not even `most` pairs decide it.

    Args:
        margin: the gate's own margin, below which a proven loss passes; None for the default one.
    """

    def passes(times: int) -> bool | None:
        lost, won, pairs = times * worse, times * better, times * n
        limit = default_margin(pairs, alpha) if margin is None else margin
        held = lost - won < pairs * limit and noninferiority(lost, won, pairs, limit) <= alpha
        proven = tests * mcnemar(lost, won) <= alpha
        return (held and not (proven and margin is None)) if held or proven else None

    low, high = 1, 2
    while passes(high) is None:
        low, high = high, 2 * high
        if high * n > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) is None else (low, middle)
    return high * n, bool(passes(high))


def fisher(passed: int, n: int, other_passed: int, other_n: int) -> float:
    """Two-sided exact p-value for "two servers have the same pass rate" (Fisher 1934).

    1 if one has no samples. Equal to scipy.stats.fisher_exact.

    Raises:
        ValueError: more passed than n.
    """
    if not (0 <= passed <= n and 0 <= other_passed <= other_n):
        raise ValueError(f"counts must fit: {passed} of {n} and {other_passed} of {other_n}")
    total, hits = n + other_n, passed + other_passed
    everything = math.comb(total, n)
    ways = {k: math.comb(hits, k) * math.comb(total - hits, n - k) for k in range(max(0, n + hits - total), n + 1)}
    seen = ways.get(passed, 0)
    # Integers, so that rounding errors cannot exclude a table.
    return sum(count for count in ways.values() if count <= seen) / everything

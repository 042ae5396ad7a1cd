"""Tests every night whether a server is worse than its baseline, with an error rate for all nights together. Pure.

A test with a fixed level, repeated every night, will be wrong some night. And the nights of one baseline are not
independent: if the baseline scored unusually well by chance, every night looks worse. So two tests share the 5 %, half
each:

- tonight against the baseline, at a level of 2.5 % / HORIZON (Bonferroni over the nights; holds however they depend);
- all nights since the baseline together. As long as nothing changed, a prompt's counts in the baseline and in t nights
  are exchangeable: given the t + 1 counts, each is the baseline's with chance 1 / (t + 1), for any pass rate of the
  prompt. The chance that a baseline misses at most j samples, given those counts, is a reverse martingale in t, so
  that it falls below a at any night with probability at most a (optional stopping from the last night backwards; Doob
  1953). This takes j as fixed; j has the share 1 / ((j + 1) (j + 2)) of the level, and all shares add up to 1.

With one night the second test is McNemar's, where each prompt has one sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from annie_eval.stats import trend
from annie_eval.stats.binomial import mcnemar

HORIZON = trend.NIGHTS
"""Number of nights of one baseline for which the error rate holds."""
_EVEN = 1e-12  # relative tolerance for rounding errors of equal p-values


def one_night(worse: int, better: int, sizes: Sequence[int]) -> float:
    """One-sided exact p-value for "tonight is worse than the baseline"; at most McNemar's.

    It holds for prompts of any pass rates, which limits how many may change: two counts of 0..k from one distribution
    differ with probability k / (k + 1) at most. The p-value is the probability of a McNemar p-value at least as small,
    with this distribution of the number of changed prompts (the unconditional test; Boschloo 1970, Statist. Neerl.
    24).

    Args:
        worse: number of prompts of which fewer samples passed tonight than in the baseline; `better`: of which more.
        sizes: number of samples of each prompt.

    Raises:
        ValueError: more changed prompts than prompts, or a prompt without samples.
    """
    if worse < 0 or better < 0 or worse + better > len(sizes) or any(size < 1 for size in sizes):
        raise ValueError(f"counts must fit: worse={worse}, better={better}, prompts={len(sizes)}")
    reach = mcnemar(worse, better) * (1.0 + _EVEN)
    total, least, largest = 0.0, 0, 0.0
    for changed, chance in enumerate(_at_most_changed(sizes)):
        least = max(0, least - 1)
        while least <= changed and mcnemar(least, changed - least) > reach:
            least += 1
        if least <= changed:
            largest = max(largest, mcnemar(least, changed - least))
        total += chance * largest
    return min(1.0, total)


def _at_most_changed(sizes: Sequence[int]) -> list[float]:
    """The distribution of the number of changed prompts if each changes with its maximum probability."""
    chances = [1.0]
    for size in sizes:
        change = size / (size + 1)
        chances = [
            (chances[k] if k < len(chances) else 0.0) * (1 - change) + (chances[k - 1] * change if k else 0.0)
            for k in range(len(chances) + 1)
        ]
    return chances


def adjusted(tonight: float, since: float, misses: int, gates: int) -> float:
    """The p-value of both tests over all nights and gates.

    In HORIZON nights it is <= 0.05 with probability at most 5 %.

    Args:
        tonight: `one_night` of a gate.
        since: `paired.lowest` of the misses in the baseline and in all nights since, by prompt.
        misses: number of misses in the baseline.
        gates: number of gates that are compared.
    """
    return min(1.0, 2 * gates * min(HORIZON * tonight, (misses + 1) * (misses + 2) * since))

"""Whether a server is worse than its baseline, asked every night, with an error rate over all nights. Pure.

A p-value that is right once a night is wrong sooner or later, and the nights of one baseline err together: a baseline
that was lucky is beaten by chance every night. So two tests share the 5 %, half each:

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
"""Nights of one baseline for which the error rate is stated."""
_EVEN = 1e-12  # relative; what rounding may make of two equal p-values


def one_night(worse: int, better: int, sizes: Sequence[int]) -> float:
    """One-sided exact p-value for "tonight is worse than the baseline"; at most McNemar's.

    Prompts of any pass rates are taken, which bounds how many may change at all: two counts of 0..k from one
    distribution differ with probability k / (k + 1) at most. The p-value is the chance of a McNemar p-value as small
    as this one's, with so many prompts that change (the unconditional test; Boschloo 1970, Statist. Neerl. 24).

    Args:
        worse: prompts of which fewer samples passed tonight than in the baseline; `better`: of which more did.
        sizes: samples of each prompt.

    Raises:
        ValueError: more changed prompts than there are, or a prompt without samples.
    """
    if worse < 0 or better < 0 or worse + better > len(sizes) or any(size < 1 for size in sizes):
        raise ValueError(f"counts must fit: worse={worse}, better={better}, prompts={len(sizes)}")
    reach = mcnemar(worse, better) * (1.0 + _EVEN)
    if reach >= 1.0:
        return 1.0
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
    """The distribution of the number of changed prompts where each changes as often as it can."""
    chances = [1.0]
    for size in sizes:
        change = size / (size + 1)
        chances = [
            (chances[k] if k < len(chances) else 0.0) * (1 - change) + (chances[k - 1] * change if k else 0.0)
            for k in range(len(chances) + 1)
        ]
    return chances


def adjusted(tonight: float, since: float, misses: int, gates: int) -> float:
    """Both tests' p-value over all nights and gates: at most 0.05 with probability 5 % at most, in HORIZON nights.

    Args:
        tonight: `one_night` of a gate.
        since: `paired.lowest` of the misses in the baseline and in all nights since, prompt by prompt; the baseline
            has `misses`.
        gates: how many are compared.
    """
    return min(1.0, 2 * gates * min(HORIZON * tonight, (misses + 1) * (misses + 2) * since))

"""Tests whether a change makes more of a gate's prompts pass: a paired test. Pure.

A pair is a prompt: its samples on the restarted, unchanged server and on the server with the change. If the change has
no effect, both are drawn from the same distribution, whatever rounding does (`stats.nights.one_night`: a prompt then
gets better with probability 1/4 at most). The test needs all prompts of the gate: of those that missed, chance alone
could only improve some. But if none of those that missed gets better, no other can, and they alone settle it.

The error rate is for the whole search. `ALPHA` is divided by the number of planned changes (Bonferroni; Holm's method
gains nothing, because the search stops at the first cause).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from annie_eval.stats.nights import one_night

ALPHA = 0.03
"""Probability that a search names a cause that has no part in the failure."""
FOR_SEVERAL = 0.005
"""The part of `ALPHA` for testing several changes together."""

Outcomes = Mapping[str, bool | None]
"""Whether each sample passed, by key; None if it broke."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A comparison of the changed with the unchanged server.

    Attributes:
        n: prompts that both answered.
        better, worse: prompts of which more (fewer) samples pass with the change.
        p: one-sided exact p-value for "the change helps".
        level: significance level of this test.
        passed, asked: samples with the change.
        passes: the gate passes with the change.
    """

    n: int
    better: int
    worse: int
    p: float
    level: float
    passed: int
    asked: int
    passes: bool

    @property
    def helps(self) -> bool:
        """The improvement is significant."""
        return self.p <= self.level

    @property
    def named(self) -> bool:
        """The improvement is significant, and the gate passes."""
        return self.helps and self.passes

    @property
    def useless(self) -> bool:
        """As many prompts got worse as better. If all that missed were asked, no others need be."""
        return self.asked > 0 and self.better <= self.worse


def compare(before: Outcomes, now: Outcomes, prompt_of: Mapping[str, str], share: float, level: float) -> Comparison:
    """Compare the samples that broke in neither run.

    Args:
        prompt_of: the prompt of each sample.
        share: the share of samples that the gate needs.
        level: significance level of this test.
    """
    net: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    passed = asked = 0
    for key, outcome in now.items():
        was = before.get(key)
        if outcome is None or was is None:
            continue
        net[prompt_of[key]] += outcome - was
        sizes[prompt_of[key]] += 1
        passed, asked = passed + outcome, asked + 1
    better, worse = sum(each > 0 for each in net.values()), sum(each < 0 for each in net.values())
    return Comparison(
        n=len(net),
        better=better,
        worse=worse,
        p=one_night(better, worse, list(sizes.values())),
        level=level,
        passed=passed,
        asked=asked,
        passes=holds(passed, asked, share),
    )


def holds(passed: int, asked: int, share: float) -> bool:
    """Whether a gate that needs `share` passes with these samples."""
    return asked > 0 and passed >= share * asked - 1e-9


def fewest(n: int, level: float) -> int | None:
    """How many of n prompts must get better, with none worse, to be significant at `level`; None if n are too few."""
    return next((better for better in range(1, n + 1) if one_night(better, 0, [1] * n) <= level), None)

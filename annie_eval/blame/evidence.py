"""Whether a gate's prompts pass with one thing changed that missed without: a paired test in a few looks. Pure.

The pair is a prompt: its samples as served once more, and with the change. If the change has no part in the miss, both
are draws from one distribution, whatever rounding does to them (`stats.nights.one_night`: a prompt is then better with
probability 1/4 at most). All prompts of the gate take part, in an order that does not depend on their answers: among
those alone that missed, chance would only ever mend.

The error rate is that of the whole search. `ALPHA` is split over the changes that are planned (Bonferroni: the search
stops at the first that is named, so that Holm's later steps never come), and each part over the looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annie_eval.stats.nights import one_night

ALPHA = 0.03
"""Chance that a search names anything that has no part in the failure."""
FOR_SEVERAL = 0.005
"""What of it is kept for several changes together."""
_FIRST, _MOST = 16, 64  # prompts at the first look, and in all

Outcomes = Mapping[str, bool | None]
"""Whether a sample passed, by key; None where it broke."""


def chunks(prompts: Sequence[Sequence[str]]) -> list[list[str]]:
    """The samples that each look adds: of 16, 32 and 64 prompts, or of all if they are fewer.

    Args:
        prompts: the samples of each prompt.
    """
    found, done, size = [], 0, _FIRST
    prompts = prompts[:_MOST]
    while done < len(prompts):
        found.append([key for keys in prompts[done:size] for key in keys])
        done, size = size, 2 * size
    return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """A change against the server as it is.

    Attributes:
        n: prompts that both answered.
        better, worse: prompts of which more, or fewer, samples pass with the change.
        p: one-sided exact p-value for "it mends".
        level: what p must not exceed; 0 before a look.
        passed, asked: samples with the change.
        mends: the gate's share is reached with the change.
    """

    n: int
    better: int
    worse: int
    p: float
    level: float
    passed: int
    asked: int
    mends: bool

    @property
    def helps(self) -> bool:
        return self.p <= self.level

    @property
    def named(self) -> bool:
        """It helps, and the gate holds with it."""
        return self.helps and self.mends

    @property
    def decided(self) -> bool:
        """Whether more prompts would be asked in vain: named, or no better than without."""
        return self.named or (self.asked > 0 and self.better <= self.worse)


def compare(before: Outcomes, now: Outcomes, prompt_of: Mapping[str, str], share: float, level: float) -> Comparison:
    """Compare the samples that neither run broke.

    Args:
        prompt_of: a sample's prompt: samples of one prompt stay together.
        share: of its samples that the gate asks for.
        level: the error rate of this look.
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
        mends=holds(passed, asked, share),
    )


def holds(passed: int, asked: int, share: float) -> bool:
    """Whether a gate's share is reached by the samples that were asked."""
    return asked > 0 and passed >= share * asked - 1e-9


def fewest(n: int, level: float) -> int | None:
    """How many of n prompts must be better, and none worse, until a look at this level says so; None if n do not."""
    return next((better for better in range(1, n + 1) if one_night(better, 0, [1] * n) <= level), None)

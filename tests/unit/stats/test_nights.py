"""The nightly tests: exact for one night, valid for all prompts, with the stated error rate over a series."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.stats import nights
from annie_eval.stats.binomial import lower_bound, mcnemar
from annie_eval.stats.paired import lowest

RATES = ([0.5] * 6, [0.9] * 6, [0.0, 0.2, 0.5, 0.5, 0.9, 1.0], [0.97, 0.97, 0.5, 0.03, 0.03, 0.5])


@pytest.mark.parametrize("rates", RATES, ids=str)
def test_one_night_is_wrong_at_most_as_often_as_it_says(rates: Sequence[float]) -> None:
    """All outcomes of six prompts, whatever their pass rates are."""
    found: dict[float, float] = {}
    for outcome in itertools.product((-1, 0, 1), repeat=len(rates)):
        chance = 1.0
        for rate, net in zip(rates, outcome, strict=True):
            chance *= rate * (1 - rate) if net else rate**2 + (1 - rate) ** 2
        p = nights.one_night(outcome.count(1), outcome.count(-1), [1] * len(rates))
        found[p] = found.get(p, 0.0) + chance
    for p in found:
        assert sum(chance for other, chance in found.items() if other <= p) <= p + 1e-12


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 30))
def test_one_night_says_at_least_as_much_as_mcnemar(worse: int, better: int, alike: int) -> None:
    sizes = [1] * (worse + better + alike)
    assert nights.one_night(worse, better, sizes) <= mcnemar(worse, better) + 1e-12
    # More samples of a prompt let it change more often, so that a change says less.
    assert nights.one_night(worse, better, sizes) <= nights.one_night(worse, better, [3] * len(sizes)) + 1e-12


def test_ten_lost_of_ten_is_one_chance_in_a_million() -> None:
    """At worst each prompt passes then and misses now with chance 1/4; McNemar has 1/2."""
    assert nights.one_night(10, 0, [1] * 10) == pytest.approx(4.0**-10)
    assert mcnemar(10, 0) == pytest.approx(2.0**-10)


def test_the_shares_of_all_numbers_of_misses_are_one() -> None:
    """`adjusted` gives j misses the share 1 / ((j + 1) (j + 2)); more than one in all would break the promise."""
    shares = [2 * 1e-6 / nights.adjusted(1.0, 1e-6, j, 1) for j in range(500)]
    assert shares[:3] == pytest.approx([1 / 2, 1 / 6, 1 / 12])
    assert 0.99 < sum(shares) <= 1.0


@functools.cache
def tonight(worse: int, better: int, prompts: int) -> float:
    return nights.one_night(worse, better, [1] * prompts)


def histories(rates: Sequence[Sequence[float]], length: int, seed: int, *, naive: bool) -> int:
    """Histories of an unchanged server with an alarm on any night; `naive`: each night at 5 %, as if it were alone."""
    draw, alarms = random.Random(seed), 0
    for of in rates:
        missed = [[int(draw.random() >= rate)] for rate in of]
        start = sum(counts[0] for counts in missed)
        for _ in range(length):
            for counts, rate in zip(missed, of, strict=True):
                counts.append(int(draw.random() >= rate))
            worse = sum(counts[-1] > counts[0] for counts in missed)
            better = sum(counts[-1] < counts[0] for counts in missed)
            both = tonight(worse, better, len(of)), lowest(missed)
            p = min(both) if naive else nights.adjusted(*both, start, 1)
            if p <= 0.05:
                alarms += 1
                break
    return alarms


@pytest.mark.parametrize("kind", ["equal", "differ", "dead"])
def test_an_unchanged_server_is_called_worse_in_few_histories(kind: str) -> None:
    """Thirty nights of fifteen prompts; every night at 5 % by itself is wrong in far more, which this must see."""
    draw, runs = random.Random(7), 300
    made = {
        "equal": [[0.7] * 15] * runs,
        "differ": [[draw.betavariate(1.4, 0.6) for _ in range(15)] for _ in range(runs)],
        "dead": [[0.0] * 3 + [0.7] * 12] * runs,
    }[kind]
    assert lower_bound(histories(made, 30, 5, naive=False), runs, 0.999) <= 0.05
    assert lower_bound(histories(made[:100], 30, 5, naive=True), 100, 0.999) > 0.05


@pytest.mark.parametrize(("worse", "better", "sizes"), [(2, 0, [1]), (-1, 0, [1]), (0, 0, [0]), (0, 0, [1, 0, 1])])
def test_counts_that_cannot_be(worse: int, better: int, sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="counts must fit"):
        nights.one_night(worse, better, sizes)

"""Repeats of a prompt are correlated: the interval for clusters has the stated coverage."""

from __future__ import annotations

import random

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.stats import binomial, clusters


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_clusters_of_one_give_the_exact_interval(outcomes: list[bool]) -> None:
    found = clusters.interval([int(o) for o in outcomes], [1] * len(outcomes))
    assert found == pytest.approx(binomial.clopper_pearson(sum(outcomes), len(outcomes)), abs=1e-9)


def test_repeats_that_all_agree_count_once() -> None:
    """10 prompts of which 8 always pass and 2 never: a hundred samples say exactly what ten do."""
    found = clusters.interval([10] * 8 + [0] * 2, [10] * 10)
    assert found == pytest.approx(binomial.clopper_pearson(8, 10), abs=1e-9)


def test_where_nothing_was_missed_the_prompts_are_what_counts() -> None:
    assert clusters.lower_bound([5] * 12, [5] * 12) == pytest.approx(binomial.lower_bound(12, 12))
    assert clusters.upper_bound([0] * 12, [5] * 12) == pytest.approx(binomial.upper_bound(0, 12))


@pytest.mark.parametrize(
    ("passed", "sizes"),
    [([5] * 7 + [4, 1, 0], [5] * 10), ([2, 1, 2, 2], [2] * 4), ([1], [2]), ([19] * 60, [20] * 60), ([3, 0], [4, 1])],
)
def test_the_bound_is_the_quantile_of_randomly_weighted_means(passed: list[int], sizes: list[int]) -> None:
    """Against a million draws of the weights."""
    shares = numpy.array([0.0] + [k / n for k, n in zip(passed, sizes, strict=True)])
    weights = numpy.random.default_rng(3).dirichlet(numpy.ones(len(shares)), 1_000_000)
    assert clusters.lower_bound(passed, sizes) == pytest.approx(numpy.quantile(weights @ shares, 0.05), abs=0.002)


counts = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=12).map(
    lambda pairs: ([min(pair) for pair in pairs], [max(pair) for pair in pairs])
)


@settings(deadline=None)
@given(counts, st.data())
def test_one_more_success_never_lowers_a_bound(found: tuple[list[int], list[int]], data: st.DataObject) -> None:
    """A miss that passes after all, a further sample that passes, a further prompt that passes."""
    passed, sizes = found
    at = data.draw(st.integers(0, len(passed)))
    if at == len(passed):
        more, of = [*passed, 1], [*sizes, 1]
    else:
        repaired = passed[at] < sizes[at] and data.draw(st.booleans())
        more = [k + (i == at) for i, k in enumerate(passed)]
        of = [n + (i == at and not repaired) for i, n in enumerate(sizes)]
    assert clusters.lower_bound(more, of) >= clusters.lower_bound(passed, sizes) - 1e-8
    assert clusters.upper_bound(more, of) >= clusters.upper_bound(passed, sizes) - 1e-8


def test_all_passed_is_never_weaker_than_all_but_one() -> None:
    prompts = 50
    every, but_one = [2] * prompts, [2] * (prompts - 1) + [1]
    assert clusters.lower_bound(every, [2] * prompts) > clusters.lower_bound(but_one, [2] * prompts)


@pytest.mark.parametrize(
    ("scenarios", "repeats", "spread"), [(15, 5, 0.5), (25, 10, 1.0), (10, 10, 0.2), (60, 3, 1.0)]
)
def test_coverage_holds_where_the_plain_interval_fails(scenarios: int, repeats: int, spread: float) -> None:
    """Pass rates of scenarios are drawn from a beta of mean 0.8; `spread` 0 would make them all equal."""
    draw, mean = random.Random(7), 0.8
    a, b = mean / spread, (1 - mean) / spread
    covered = plain = 0
    runs = 200
    for _ in range(runs):
        rates = [draw.betavariate(a, b) for _ in range(scenarios)]
        passed = [sum(draw.random() < rate for _ in range(repeats)) for rate in rates]
        low, high = clusters.interval(passed, [repeats] * scenarios)
        covered += low <= mean <= high
        low, high = binomial.clopper_pearson(sum(passed), scenarios * repeats)
        plain += low <= mean <= high
    assert covered / runs >= 0.93
    assert plain < covered


@pytest.mark.parametrize("dead", [0.1, 0.5])
def test_the_bound_holds_where_some_prompts_never_pass(dead: float) -> None:
    """A prompt never passes with probability `dead`, else always: the lower bound is wrong in at most 5 % of runs."""
    draw, wrong, runs = random.Random(5), 0, 1000
    for _ in range(runs):
        passed = [0 if draw.random() < dead else 4 for _ in range(12)]
        wrong += clusters.lower_bound(passed, [4] * 12) > 1 - dead
    assert wrong / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=20), st.integers(1, 6))
def test_pass_hat_k_is_the_mean_over_prompts(counts: list[tuple[int, int]], k: int) -> None:
    passed, sizes = [min(a, b) for a, b in counts], [b for _, b in counts]
    if max(sizes) < k:
        with pytest.raises(ValueError, match="repeats"):
            clusters.pass_hat_k(passed, sizes, k)
        return
    chances = [binomial.pass_hat_k(c, n, k) for c, n in zip(passed, sizes, strict=True) if n >= k]
    assert clusters.pass_hat_k(passed, sizes, k) == pytest.approx(sum(chances) / len(chances))


@pytest.mark.parametrize(("passed", "sizes"), [([], []), ([1], [1, 2]), ([3], [2]), ([-1], [2]), ([0], [0])])
def test_counts_that_cannot_be_are_refused(passed: list[int], sizes: list[int]) -> None:
    with pytest.raises(ValueError, match=r"counts|needs"):
        clusters.lower_bound(passed, sizes)

"""Repeats of a scenario resemble each other: the interval covers in spite of it, where a plain one does not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from annie_eval.stats import binomial, clusters


@given(st.floats(0.001, 0.999), st.floats(1, 500))
def test_t_quantile_is_scipys(q: float, freedom: float) -> None:
    expected = scipy_stats.t.ppf(q, freedom)
    assert clusters.t_quantile(q, freedom) == pytest.approx(expected, rel=1e-9, abs=1e-7)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_clusters_of_one_give_the_exact_interval(outcomes: list[bool]) -> None:
    found = clusters.interval([int(o) for o in outcomes], [1] * len(outcomes))
    assert found == pytest.approx(binomial.clopper_pearson(sum(outcomes), len(outcomes)), abs=1e-9)


def test_repeats_that_all_agree_count_once() -> None:
    """10 prompts of which 8 always pass and 2 never: a hundred samples say hardly more than ten."""
    passed, sizes = [10] * 8 + [0] * 2, [10] * 10
    assert clusters.effective_size(passed, sizes) < 10
    low, high = clusters.interval(passed, sizes)
    exact = binomial.clopper_pearson(8, 10)
    assert low <= exact[0] + 0.02
    assert high >= exact[1] - 0.02


def test_where_nothing_was_missed_the_clusters_are_what_counts() -> None:
    assert clusters.effective_size([5] * 12, [5] * 12) == 12
    assert clusters.lower_bound([5] * 12, [5] * 12) == pytest.approx(binomial.lower_bound(12, 12))
    assert clusters.upper_bound([0] * 12, [5] * 12) == pytest.approx(binomial.upper_bound(0, 12))


def test_variance_and_deff_by_hand() -> None:
    """Two clusters of two: k = (2, 1), p = 3/4, v = 2 * 2 * (1/2)^2 / 16 = 1/16, p(1-p)/v = 3, times (t3/t1)^2."""
    freedom = (scipy_stats.t.ppf(0.975, 3) / scipy_stats.t.ppf(0.975, 1)) ** 2
    assert clusters.effective_size([2, 1], [2, 2]) == pytest.approx(3 * freedom, rel=1e-9)


@pytest.mark.parametrize(
    ("scenarios", "repeats", "spread"), [(15, 5, 0.5), (25, 10, 1.0), (10, 10, 0.2), (60, 3, 1.0)]
)
def test_coverage_holds_where_the_plain_interval_fails(scenarios: int, repeats: int, spread: float) -> None:
    """Pass rates of scenarios are drawn from a beta of mean 0.8; `spread` 0 would make them all equal."""
    draw, mean = random.Random(7), 0.8
    a, b = mean / spread, (1 - mean) / spread
    covered = plain = 0
    runs = 600
    for _ in range(runs):
        rates = [draw.betavariate(a, b) for _ in range(scenarios)]
        passed = [sum(draw.random() < rate for _ in range(repeats)) for rate in rates]
        low, high = clusters.interval(passed, [repeats] * scenarios)
        covered += low <= mean <= high
        low, high = binomial.clopper_pearson(sum(passed), scenarios * repeats)
        plain += low <= mean <= high
    assert covered / runs >= 0.93
    assert plain < covered


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
        clusters.effective_size(passed, sizes)

"""Paired tests are exact: equal to scipy, or to the enumeration of all outcomes."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from annie_eval.stats import binomial
from annie_eval.stats.paired import LEAST_MARGIN, default_margin, fisher, lowest, noninferiority, sign_flip, tango


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 40))
def test_sign_flip_of_single_samples_is_mcnemar_as_scipy_has_it(worse: int, better: int, alike: int) -> None:
    differences = [1] * worse + [-1] * better + [0] * alike
    p = sign_flip(differences)
    assert p == binomial.mcnemar(worse, better)
    if worse + better:
        wanted = scipy_stats.binomtest(worse, worse + better, 0.5, alternative="greater").pvalue
        assert p == pytest.approx(wanted, abs=1e-9)
    else:
        assert p == 1.0


@given(st.lists(st.integers(-4, 4), max_size=9))
def test_sign_flip_of_clusters_is_the_enumeration_of_all_signs(differences: list[int]) -> None:
    seen = sum(differences)
    moved = [each for each in differences if each]
    flips = list(itertools.product((1, -1), repeat=len(moved)))
    as_large = sum(sum(s * abs(d) for s, d in zip(signs, moved, strict=True)) >= seen for signs in flips)
    assert sign_flip(differences) == pytest.approx(as_large / len(flips), abs=1e-12)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=5))
def test_lowest_is_the_share_of_all_choices_of_the_first_run(missed: list[list[int]]) -> None:
    choices = list(itertools.product(*missed))
    few = sum(sum(choice) <= sum(counts[0] for counts in missed) for choice in choices)
    assert lowest(missed) == pytest.approx(few / len(choices))


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3))
def test_lowest_of_two_runs_is_mcnemar(worse: int, better: int, alike: int) -> None:
    missed = [[0, 1]] * worse + [[1, 0]] * better + [[0, 0], [1, 1]] * alike
    assert lowest(missed) == pytest.approx(binomial.mcnemar(worse, better))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=7))
def test_lowest_of_two_runs_is_the_sign_flip_of_their_differences(counts: list[tuple[int, int]]) -> None:
    assert lowest(counts) == pytest.approx(sign_flip([second - first for first, second in counts]))


def test_lowest_needs_a_count_of_each_scenario() -> None:
    with pytest.raises(ValueError, match="needs the first run's count"):
        lowest([[1], []])


def test_samples_of_one_scenario_do_not_count_as_many() -> None:
    assert sign_flip([4, 4]) == pytest.approx(0.25)
    assert sign_flip([1] * 8) == pytest.approx(2**-8)


def brute_noninferiority(worse: int, better: int, n: int, margin: float, q: float) -> float:
    """The chance of an outcome as favourable, by summing over every table."""
    reach = tango(worse, better, n, margin)
    lost = margin + q
    total = 0.0
    for b in range(n + 1):
        for c in range(n - b + 1):
            if tango(b, c, n, margin) <= reach + 1e-12:
                ways = math.factorial(n) // (math.factorial(b) * math.factorial(c) * math.factorial(n - b - c))
                total += ways * lost**b * q**c * (1 - lost - q) ** (n - b - c)
    return total


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 18), st.data())
def test_noninferiority_is_the_largest_tail_over_the_nuisance(n: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(0, n))
    better = data.draw(st.integers(0, n - worse))
    margin = data.draw(st.sampled_from([0.05, 0.1, 0.25, 0.5]))
    p = noninferiority(worse, better, n, margin)
    top = (1 - margin) / 2
    tails = [brute_noninferiority(worse, better, n, margin, top * i / 60) for i in range(61)]
    assert p >= max(tails) - 1e-9
    assert p <= max(tails) + 0.01  # between two of the sixty lies no much higher peak


@pytest.mark.parametrize(
    ("n", "margin", "lost", "won"), [(25, 0.2, 0.2, 0.0), (40, 0.1, 0.15, 0.05), (15, 0.3, 0.4, 0.1)]
)
def test_noninferiority_is_wrong_at_most_as_often_as_it_says(n: int, margin: float, lost: float, won: float) -> None:
    """A model that lost exactly the margin is let through in at most 5 % of runs: summed, not drawn."""
    wrong = 0.0
    for b in range(n + 1):
        for c in range(n - b + 1):
            if noninferiority(b, c, n, margin) <= 0.05:
                ways = math.factorial(n) // (math.factorial(b) * math.factorial(c) * math.factorial(n - b - c))
                wrong += ways * lost**b * won**c * (1 - lost - won) ** (n - b - c)
    assert 0.0 < wrong <= 0.05


def test_tango_agrees_with_the_paper_and_orders_outcomes() -> None:
    # At margin 0 the statistic would be McNemar's (b - c) / sqrt(b + c); close to 0 it nearly is.
    assert tango(9, 3, 50, 1e-9) == pytest.approx((9 - 3) / math.sqrt(9 + 3), abs=1e-6)
    for n in (6, 11):
        for b in range(n):
            for c in range(n - b):
                assert tango(b + 1, c, n, 0.1) >= tango(b, c, n, 0.1)
                assert tango(b, c + 1, n, 0.1) <= tango(b, c, n, 0.1) + 1e-12


@pytest.mark.parametrize(
    ("worse", "better", "n", "margin", "known"),
    [
        (10, 3, 50, 0.1, 0.58061),
        (2, 6, 40, 0.2, -3.4924),
        (0, 0, 30, 0.1, None),
        (5, 0, 12, 0.25, None),
        (0, 7, 9, 0.4, None),
    ],
)
def test_tango_is_the_score_at_the_likeliest_rates(
    worse: int, better: int, n: int, margin: float, known: float | None
) -> None:
    """The rates that make the counts likeliest under a loss of `margin`, found by a search of the likelihood."""

    def unlikely(rate: float) -> float:
        chances = ((worse, rate + margin), (better, rate), (n - worse - better, 1 - 2 * rate - margin))
        return -sum(count * math.log(max(chance, 1e-300)) for count, chance in chances if count)

    top = (1 - margin) / 2
    rate = float(optimize.minimize_scalar(unlikely, bounds=(0, top), method="bounded", options={"xatol": 1e-12}).x)
    variance = n * (2 * rate + margin - margin**2)
    score = (worse - better - n * margin) / math.sqrt(variance)
    assert tango(worse, better, n, margin) == pytest.approx(score, abs=1e-4)
    if known is not None:
        assert score == pytest.approx(known, abs=1e-4)


def test_default_margin_is_what_unchanged_samples_can_show() -> None:
    for n in (1, 5, 10, 25, 28):
        margin = default_margin(n)
        assert noninferiority(0, 0, n, margin) <= 0.05 < noninferiority(0, 0, n, margin - 1e-5)
        assert margin == pytest.approx(1 - 0.05 ** (1 / n), abs=1e-5)
    assert default_margin(29) == default_margin(400) == LEAST_MARGIN
    assert default_margin(0) == 1.0


def test_fisher_is_scipys() -> None:
    draw = random.Random(7)
    for _ in range(300):
        n, m = draw.randint(0, 40), draw.randint(0, 40)
        a, b = draw.randint(0, n), draw.randint(0, m)
        wanted = 1.0 if 0 in (n, m) else scipy_stats.fisher_exact([[a, n - a], [b, m - b]])[1]
        assert fisher(a, n, b, m) == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("bad", [(3, 2, 4, 0.1), (-1, 0, 4, 0.1), (0, 0, 0, 0.1), (0, 0, 4, 0.0), (0, 0, 4, 1.0)])
def test_impossible_counts_and_margins_are_refused(bad: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        noninferiority(*bad)

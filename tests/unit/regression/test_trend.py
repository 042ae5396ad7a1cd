"""Drift: the statistic equals scipy's, the false-alarm rate is exact, slow drift is found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from annie_eval.stats import trend


def _score(values: Sequence[float]) -> float:
    """Kendall's S in standard deviations."""
    s, variance = trend.kendall(values)
    return s / math.sqrt(variance) if variance > 0 else 0.0


@given(st.lists(st.integers(0, 6), min_size=3, max_size=25).filter(lambda values: len(set(values)) > 1))
def test_the_score_is_kendalls_tau_as_scipy_has_it(values: list[int]) -> None:
    found = scipy_stats.kendalltau(range(len(values)), values, method="asymptotic")
    z = _score(values)
    assert 2 * scipy_stats.norm.sf(abs(z)) == pytest.approx(found.pvalue, abs=1e-9)
    assert (z > 0) == (found.statistic > 0)


@pytest.mark.parametrize("limit", [1.0, 1.5, 2.0, 2.4])
def test_the_chance_of_crossing_is_that_of_all_orders(limit: float) -> None:
    """All 5,040 orders of seven nights, one by one."""
    orders = list(itertools.permutations(range(7)))
    crossed = sum(any(_score(order[:n]) >= limit - 1e-9 for n in range(2, 8)) for order in orders)
    assert trend.crossing(limit, 7) == pytest.approx(crossed / len(orders), abs=1e-12)


@pytest.mark.parametrize("chance", [0.05, 0.05 / 9])
def test_the_limit_keeps_the_stated_chance(chance: float) -> None:
    found = trend.limit(chance)
    assert trend.crossing(found) <= chance < trend.crossing(found - 0.002)


def alarms(series: np.ndarray, chance: float) -> float:
    """Share of histories (one a row, higher is worse) with an alarm."""
    return float(np.mean([trend.alarm(list(map(float, row)), chance) is not None for row in series]))


@pytest.mark.parametrize(("n", "rate"), [(5, 0.9), (10, 0.9), (15, 0.97), (25, 0.99), (60, 0.98)])
def test_nights_without_drift_raise_few_alarms(n: int, rate: float) -> None:
    """90 nights of counts, which have many ties: no more alarms than stated, give or take three standard errors."""
    draw, chance, runs = np.random.default_rng(90), 0.05, 400
    found = alarms(-draw.binomial(n, rate, (runs, trend.NIGHTS)), chance)
    assert found <= chance + 3 * math.sqrt(chance * (1 - chance) / runs)


@pytest.mark.parametrize(
    ("n", "first", "last"), [(15, 0.97, 0.85), (25, 0.99, 0.92), (25, 0.95, 0.85), (60, 0.97, 0.90), (10, 0.95, 0.75)]
)
def test_slow_drift_over_ninety_nights_is_seen(n: int, first: float, last: float) -> None:
    """At the limit of one of nine series; the power that docs/statistics.md states."""
    draw = np.random.default_rng(91)
    rates = np.linspace(first, last, trend.NIGHTS)
    assert alarms(-draw.binomial(n, rates, (120, trend.NIGHTS)), 0.05 / 9) >= 0.8


def test_timings_that_creep_are_seen_and_noise_is_not() -> None:
    draw = np.random.default_rng(92)
    noise = draw.lognormal(4.5, 0.08, (200, trend.NIGHTS))
    assert alarms(noise, 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert alarms(noise * np.linspace(1.0, 1.15, trend.NIGHTS), 0.05 / 9) >= 0.85


def test_only_getting_worse_is_an_alarm() -> None:
    assert trend.alarm([float(-i) for i in range(60)], 0.05) is None
    found = trend.alarm([float(i) for i in range(60)], 0.05)
    assert found is not None
    assert found.start == 0
    assert found.at < 12


def test_a_window_forgets_what_is_older() -> None:
    """A long series is judged by its latest nights, as if it had begun then."""
    old, late = [5.0, 1.0] * 200, [float(i) for i in range(90)]
    found = trend.alarm([*old, *late], 0.05)
    assert found is not None
    assert found.score == pytest.approx(_score(late), abs=1e-9)


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 50])
def test_nothing_to_compare_is_no_alarm(values: list[float]) -> None:
    assert trend.alarm(values, 0.05) is None

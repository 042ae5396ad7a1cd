"""Medians, their intervals, their ratio, and the Theil-Sen line: equal to enumeration and to scipy."""

from __future__ import annotations

import bisect
import itertools
import math
import random
import statistics

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from annie_eval.stats import medians

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
few = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=5)


def enumerated_quantile(medians: list[float], q: float) -> float:
    return medians[min(math.ceil(q * len(medians) - 1e-9) - 1, len(medians) - 1)]


@settings(deadline=None)
@given(values)
def test_median_is_pythons(sample: list[float]) -> None:
    assert medians.median(sample) == statistics.median(sample)


@settings(deadline=None)
@given(few, st.sampled_from([0.5, 0.8, 0.9, 0.95]))
def test_median_interval_is_that_of_all_possible_resamples(sample: list[float], confidence: float) -> None:
    every = sorted(statistics.median(draw) for draw in itertools.product(sample, repeat=len(sample)))
    tail = (1 - confidence) / 2
    expected = enumerated_quantile(every, tail), enumerated_quantile(every, 1 - tail)
    assert medians.median_interval(sample, confidence) == expected


@pytest.mark.parametrize("n", [20, 21, 60])
def test_median_interval_is_where_scipys_bootstrap_goes(n: int) -> None:
    sample = [random.Random(n).lognormvariate(0, 0.5) for _ in range(n)]
    result = scipy_stats.bootstrap(
        (sample,), numpy.median, confidence_level=0.9, method="percentile", n_resamples=20_000, rng=7
    )
    low, high = medians.median_interval(sample, 0.9)
    ordered = sorted(sample)
    # Drawing 20,000 times places a quantile within a few thousandths: at most one order statistic off.
    for ours, drawn in ((low, result.confidence_interval.low), (high, result.confidence_interval.high)):
        assert abs(bisect.bisect_left(ordered, ours) - bisect.bisect_left(ordered, drawn)) <= 1


@pytest.mark.parametrize("n", [1, 2, 7, 30, 301, 1200, 2001])
def test_bootstrap_probabilities_are_complete(n: int) -> None:
    values, cumulative = medians._bootstrap_medians([float(i) for i in range(n)])
    assert cumulative[-1] == pytest.approx(1.0, abs=1e-9)
    assert all(earlier <= later + 1e-12 for earlier, later in itertools.pairwise(cumulative))
    assert values == sorted(values)


@settings(deadline=None)
@given(values)
def test_the_interval_holds_the_median(sample: list[float]) -> None:
    low, high = medians.median_interval(sample, 0.9)
    assert low <= medians.median(sample) <= high


@settings(deadline=None)
@given(st.lists(st.floats(1, 100), min_size=5, max_size=30), st.randoms(use_true_random=False))
def test_order_of_the_values_does_not_matter(sample: list[float], rng: random.Random) -> None:
    shuffled = sample.copy()
    rng.shuffle(shuffled)
    assert medians.median_interval(sample) == medians.median_interval(shuffled)


def test_median_intervals_cover_the_true_median_of_skewed_timings() -> None:
    rng = random.Random(11)
    hits = {"bootstrap": 0, "order": 0}
    for _ in range(1500):
        sample = [rng.lognormvariate(0, 0.4) for _ in range(20)]
        low, high = medians.median_interval(sample, 0.9)
        hits["bootstrap"] += low <= 1.0 <= high
    assert 0.86 < hits["bootstrap"] / 1500 < 0.97


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 6).map(float), min_size=1, max_size=4),
    st.lists(st.integers(1, 6).map(float), min_size=1, max_size=3),
)
def test_ratio_interval_is_that_of_all_possible_resamples(first: list[float], second: list[float]) -> None:
    tops = [statistics.median(draw) for draw in itertools.product(first, repeat=len(first))]
    bottoms = [statistics.median(draw) for draw in itertools.product(second, repeat=len(second))]
    ratios = sorted(top / bottom for top in tops for bottom in bottoms)
    ratio, low, high = medians.median_ratio_interval(first, second, 0.9)
    assert low == pytest.approx(enumerated_quantile(ratios, 0.05))
    assert high == pytest.approx(enumerated_quantile(ratios, 0.95))
    assert ratio == statistics.median(first) / statistics.median(second)


def test_the_ratio_interval_covers_the_true_ratio() -> None:
    rng = random.Random(5)
    covered = 0
    for _ in range(600):
        first = [1.1 * rng.lognormvariate(0, 0.1) for _ in range(31)]
        second = [rng.lognormvariate(0, 0.1) for _ in range(31)]
        _, low, high = medians.median_ratio_interval(first, second, 0.9)
        covered += low <= 1.1 <= high
    assert 0.85 < covered / 600 < 0.97


points = st.lists(st.tuples(st.integers(0, 20), st.integers(-50, 50)), min_size=3, max_size=30)


@settings(deadline=None)
@given(points, st.sampled_from([0.8, 0.95]))
def test_theil_sen_is_scipys(pairs: list[tuple[int, int]], confidence: float) -> None:
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    if len(set(x)) < 2:
        with pytest.raises(ValueError, match="all x are equal"):
            medians.theil_sen(x, y)
        return
    with numpy.errstate(invalid="ignore"):  # where ties leave no variance, scipy has no interval
        theirs = scipy_stats.theilslopes(y, x, confidence)
    ours = medians.theil_sen(x, y, confidence)
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-9, abs=1e-9)
    assert ours.low <= ours.slope <= ours.high
    if not math.isnan(theirs.low_slope):
        assert (ours.low, ours.high) == pytest.approx((theirs.low_slope, theirs.high_slope), rel=1e-9, abs=1e-9)


def test_theil_sen_finds_the_line_through_a_quarter_of_outliers() -> None:
    x = [float(i) for i in range(40)]
    y = [3.0 + 0.5 * a if i % 4 else 1e6 for i, a in enumerate(x)]
    line = medians.theil_sen(x, y)
    assert line.slope == pytest.approx(0.5)
    assert line.low <= 0.5 <= line.high


@pytest.mark.parametrize(
    "call",
    [
        lambda: medians.median([]),
        lambda: medians.median([1.0, math.nan]),
        lambda: medians.median_interval([]),
        lambda: medians.median_interval([1.0], 1.0),
        lambda: medians.median_interval([math.inf]),
        lambda: medians.median_ratio_interval([1.0], [0.0]),
        lambda: medians.median_ratio_interval([1.0], []),
        lambda: medians.median_ratio_interval([1.0], [1.0], 1.0),
        lambda: medians.theil_sen([1.0], [1.0]),
        lambda: medians.theil_sen([1.0, 2.0], [1.0]),
        lambda: medians.theil_sen([1.0, 2.0, 3.0], [1.0, 2.0]),
        lambda: medians.theil_sen([1.0, 2.0], [1.0, math.nan]),
    ],
)
def test_bad_input_is_refused_before_any_shortcut(call: object) -> None:
    with pytest.raises(ValueError, match=r"must|needs|finite"):
        call()  # type: ignore[operator]

"""Intervals, bounds and tests on counts: equal to scipy, exact at the edges, with the stated coverage."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.special import betainc
from scipy.stats import false_discovery_control

from annie_eval.stats import binomial, distributions

CLOSE = {"rel": 1e-9, "abs": 1e-12}


@st.composite
def counts(draw: st.DrawFn, largest: int = 400) -> tuple[int, int]:
    n = draw(st.integers(1, largest))
    return draw(st.integers(0, n)), n


confidences = st.floats(0.5, 0.999)
rates = st.floats(0.001, 0.999)


@settings(deadline=None)
@given(x=st.floats(0, 1), a=st.floats(0.05, 1e5), b=st.floats(0.05, 1e5))
def test_beta_cdf_is_scipys(x: float, a: float, b: float) -> None:
    assert distributions.beta_cdf(x, a, b) == pytest.approx(float(betainc(a, b, x)), rel=1e-9, abs=1e-11)


@settings(deadline=None)
@given(q=st.floats(1e-6, 1 - 1e-6), a=st.integers(1, 5000), b=st.integers(1, 5000))
def test_beta_quantile_is_scipys(q: float, a: int, b: int) -> None:
    assert distributions.beta_quantile(q, a, b) == pytest.approx(float(scipy_stats.beta.ppf(q, a, b)), **CLOSE)


@pytest.mark.parametrize("q", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("a", [0.05, 0.3, 1.0, 30.0])
def test_a_beta_quantile_is_exact_however_small_it_is(q: float, a: float) -> None:
    """I_x(a, 1) is x to the power of a. Halving the bracket 200 times would not reach the smallest."""
    assert distributions.beta_quantile(q, a, 1.0) == pytest.approx(q ** (1 / a), rel=1e-9, abs=0)


@settings(deadline=None)
@given(k_n=counts(), confidence=confidences)
def test_clopper_pearson_is_scipys(k_n: tuple[int, int], confidence: float) -> None:
    k, n = k_n
    test = scipy_stats.binomtest(k, n)
    theirs = test.proportion_ci(confidence, method="exact")
    assert binomial.clopper_pearson(k, n, confidence) == pytest.approx((theirs.low, theirs.high), **CLOSE)


@settings(deadline=None)
@given(k_n=counts(), confidence=confidences)
def test_one_sided_bounds_are_scipys(k_n: tuple[int, int], confidence: float) -> None:
    k, n = k_n
    low = scipy_stats.binomtest(k, n, alternative="greater").proportion_ci(confidence).low
    high = scipy_stats.binomtest(k, n, alternative="less").proportion_ci(confidence).high
    assert binomial.lower_bound(k, n, confidence) == pytest.approx(low, **CLOSE)
    assert binomial.upper_bound(k, n, confidence) == pytest.approx(high, **CLOSE)


@settings(deadline=None)
@given(k_n=counts(), rate=st.floats(0, 1))
def test_binomial_tail_is_scipys(k_n: tuple[int, int], rate: float) -> None:
    k, n = k_n
    assert binomial.binomial_tail(k, n, rate) == pytest.approx(float(scipy_stats.binom.sf(k - 1, n, rate)), **CLOSE)


@settings(deadline=None)
@given(worse=st.integers(0, 300), better=st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_on_what_differs(worse: int, better: int) -> None:
    differing = worse + better
    expected = scipy_stats.binomtest(worse, differing, 0.5, alternative="greater").pvalue if differing else 1.0
    assert binomial.mcnemar(worse, better) == pytest.approx(expected, **CLOSE)


@settings(deadline=None)
@given(k_n=counts(150), confidence=confidences)
def test_intervals_hold_the_estimate_and_grow_with_confidence(k_n: tuple[int, int], confidence: float) -> None:
    k, n = k_n
    low, high = binomial.clopper_pearson(k, n, confidence)
    assert 0.0 <= low <= k / n <= high <= 1.0
    wider = binomial.clopper_pearson(k, n, (1 + confidence) / 2)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@settings(deadline=None)
@given(k_n=counts(150), confidence=confidences)
def test_one_more_pass_never_lowers_a_bound(k_n: tuple[int, int], confidence: float) -> None:
    k, n = k_n
    if k < n:
        assert binomial.lower_bound(k, n, confidence) < binomial.lower_bound(k + 1, n, confidence)
        assert binomial.upper_bound(k, n, confidence) < binomial.upper_bound(k + 1, n, confidence)


@settings(deadline=None)
@given(n=st.integers(1, 50), rate=rates, confidence=st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_exact_intervals_cover_at_least_as_often_as_they_say(n: int, rate: float, confidence: float) -> None:
    covered = {"two-sided": 0.0, "lower": 0.0, "upper": 0.0}
    for k, weight in enumerate(scipy_stats.binom.pmf(range(n + 1), n, rate)):
        low, high = binomial.clopper_pearson(k, n, confidence)
        covered["two-sided"] += weight * (low <= rate <= high)
        covered["lower"] += weight * (binomial.lower_bound(k, n, confidence) <= rate)
        covered["upper"] += weight * (rate <= binomial.upper_bound(k, n, confidence))
    assert min(covered.values()) >= confidence - 1e-9


def test_what_the_study_s_numbers_mean() -> None:
    assert binomial.rules_out(0, 25) == pytest.approx(1 - 0.05 ** (1 / 25))
    assert round(100 * binomial.rules_out(0, 25), 1) == 11.3
    for rate, n in ((0.05, 59), (0.02, 149), (0.01, 299)):
        assert binomial.rules_out(0, n) <= rate < binomial.rules_out(0, n - 1)
    assert round(binomial.binomial_tail(6, 10, 0.5), 2) == 0.38
    assert round(binomial.binomial_tail(12, 15, 0.7), 2) == 0.30
    assert round(binomial.lower_bound(10, 10), 2) == 0.74
    assert binomial.mcnemar(5, 0) <= 0.05 < binomial.mcnemar(4, 0)
    assert binomial.mcnemar(7, 1) <= 0.05 < binomial.mcnemar(6, 1)


def test_without_samples_nothing_is_known() -> None:
    assert binomial.clopper_pearson(0, 0) == (0.0, 1.0)
    assert binomial.rules_out(0, 0) == 1.0
    assert binomial.lower_bound(0, 0) == 0.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_the_textbook_s(p_values: list[float]) -> None:
    m = len(p_values)
    order = sorted(range(m), key=lambda i: p_values[i])
    for position, index in enumerate(order):
        expected = max((min(1.0, (m - j) * p_values[order[j]]) for j in range(position + 1)), default=0.0)
        assert binomial.holm(p_values)[index] == pytest.approx(expected)


def test_holm_is_stricter_than_no_correction_and_than_fdr() -> None:
    p_values = [0.001, 0.011, 0.02, 0.04, 0.3]
    adjusted = binomial.holm(p_values)
    assert adjusted == pytest.approx([0.005, 0.044, 0.06, 0.08, 0.3])
    assert all(a >= f - 1e-12 for a, f in zip(adjusted, false_discovery_control(p_values), strict=True))


@settings(deadline=None)
@given(k_n=counts(30), k=st.integers(1, 10))
def test_pass_hat_k_is_the_chance_of_drawing_only_passes(k_n: tuple[int, int], k: int) -> None:
    passed, n = k_n
    if k <= n:
        expected = float(scipy_stats.hypergeom.pmf(k, n, passed, k))
        assert binomial.pass_hat_k(passed, n, k) == pytest.approx(expected, **CLOSE)
        assert binomial.pass_hat_k(n, n, k) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: binomial.clopper_pearson(3, 2),
        lambda: binomial.clopper_pearson(-1, 2),
        lambda: binomial.clopper_pearson(0, 0, 1.0),
        lambda: binomial.lower_bound(0, 5, 95),
        lambda: binomial.rules_out(6, 5),
        lambda: binomial.binomial_tail(1, -1, 0.5),
        lambda: binomial.binomial_tail(1, 2, 1.5),
        lambda: binomial.binomial_tail(1, 2, math.nan),
        lambda: distributions.beta_cdf(0.5, 0.0, 1.0),
        lambda: distributions.beta_cdf(-0.1, 1.0, 1.0),
        lambda: binomial.mcnemar(-1, 0),
        lambda: binomial.holm([0.5, 1.2]),
        lambda: binomial.holm([math.nan]),
        lambda: binomial.pass_hat_k(1, 2, 3),
        lambda: binomial.pass_hat_k(1, 2, 0),
    ],
)
def test_bad_input_is_refused_before_any_shortcut(call: object) -> None:
    with pytest.raises(ValueError, match="must"):
        call()  # type: ignore[operator]

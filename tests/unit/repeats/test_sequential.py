"""Sampling until decided: the error rate that is stated holds at every look, and samples are saved.

Two kinds of evidence: exact chances (dynamic programming over the counts), and 2,000 simulated runs of each kind of
model, prompts that differ among them, decided by the code that the gate itself uses.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as scipy_stats

from annie_eval.stats import sequential as sequential

RUNS = 2_000
ALPHA = 0.05
# What a true rate of 5 % exceeds in one of a thousand tests of 2,000 runs.
TOO_MANY = int(scipy_stats.binom.ppf(0.999, RUNS, ALPHA))


def run(rates: Sequence[float], threshold: float, rounds: int, toss: random.Random) -> tuple[str | None, int]:
    """One simulated run: the decision, and the samples that it took."""
    passed, prompts = 0, len(rates)
    for turn in range(1, rounds + 1):
        passed += sum(toss.random() < rate for rate in rates)
        side = sequential.decides(passed, turn * prompts, threshold)
        if side or sequential.hopeless(passed, turn * prompts, rounds * prompts, threshold):
            return side, turn * prompts
    return None, rounds * prompts


MODELS = {
    "a coin at a gate of one half": ([0.5] * 10, 0.5),
    "prompts that always pass or always miss": ([1.0] * 5 + [0.0] * 5, 0.5),
    "prompts that differ": ([0.05 + 0.1 * i for i in range(10)], 0.5),
    "a rate of 60 % at a gate of 6/10": ([0.6] * 10, 0.6),
    "a rate of 80 % at a gate of 12/15": ([0.8] * 15, 0.8),
    "one hopeless prompt at a gate of 12/15": ([0.0] + [12 / 14] * 14, 0.8),
    "a rate of 95 % at a bound of 95 %": ([0.95] * 60, 0.95),
}


@pytest.mark.parametrize(("rates", "threshold"), MODELS.values(), ids=MODELS)
def test_at_the_threshold_hardly_any_run_says_a_side(rates: list[float], threshold: float) -> None:
    toss = random.Random(1)
    sides = [run(rates, threshold, 20, toss)[0] for _ in range(RUNS)]
    assert sum(side is not None for side in sides) <= TOO_MANY


@pytest.mark.parametrize("rate", [0.2, 0.3, 0.4, 0.45, 0.55, 0.6, 0.7, 0.8])
def test_beside_the_threshold_hardly_any_run_says_the_wrong_side(rate: float) -> None:
    toss = random.Random(2)
    sides = [run([rate] * 10, 0.5, 20, toss)[0] for _ in range(RUNS)]
    assert sides.count("above" if rate < 0.5 else "below") <= TOO_MANY


@pytest.mark.parametrize(("rate", "most"), [(0.2, 0.6), (0.3, 0.6), (0.7, 0.6), (0.8, 0.6), (0.5, 0.5)])
def test_samples_are_saved_against_a_fixed_number(rate: float, most: float) -> None:
    """Against the fixed number that decides as surely; where nothing can be decided, against the cap."""
    toss = random.Random(3)
    found = [run([rate] * 10, 0.5, 30, toss) for _ in range(RUNS)]
    mean = sum(samples for _, samples in found) / RUNS
    right = sum(side == ("above" if rate > 0.5 else "below") for side, _ in found) / RUNS
    fixed = 300 if rate == 0.5 else sequential.fixed_size(0.5, rate, power=min(right, 0.999))
    assert mean <= most * fixed


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.62, 0.8])
def test_simulated_runs_are_as_the_exact_chances_say(rate: float) -> None:
    toss = random.Random(4)
    exact = sequential.operating(0.6, 10, 12, rate)
    found = [run([rate] * 10, 0.6, 12, toss) for _ in range(RUNS)]
    for side, chance in (("above", exact.above), ("below", exact.below)):
        share = sum(its == side for its, _ in found) / RUNS
        assert abs(share - chance) <= 4 * math.sqrt(chance * (1 - chance) / RUNS) + 1e-3
    assert sum(samples for _, samples in found) / RUNS == pytest.approx(exact.mean, rel=0.06)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("prompts", [1, 5, 10, 60])
def test_the_exact_error_is_below_what_is_stated(threshold: float, prompts: int) -> None:
    at = sequential.operating(threshold, prompts, max(2, 300 // prompts), threshold)
    assert at.above + at.below <= ALPHA


def test_looking_at_an_ordinary_interval_every_round_would_not_hold() -> None:
    """The reason for all this: the same rule with Clopper-Pearson is wrong far more often than one time in twenty."""
    from annie_eval.stats import binomial

    toss, wrong = random.Random(5), 0
    for _ in range(200):
        passed = 0
        for turn in range(1, 31):
            passed += sum(toss.random() < 0.5 for _ in range(10))
            low, high = binomial.clopper_pearson(passed, 10 * turn)
            if not low <= 0.5 <= high:
                wrong += 1
                break
    assert wrong / 200 > 2 * ALPHA


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.01, 0.99))
def test_evidence_is_the_mixture_of_likelihood_ratios(passed: int, missed: int, rate: float) -> None:
    n = passed + missed
    mixed = scipy_stats.betabinom.logpmf(passed, n, 0.5, 0.5) - scipy_stats.binom.logpmf(passed, n, rate)
    assert sequential.log_evidence(passed, n, rate) == pytest.approx(mixed, abs=1e-9 + 1e-9 * abs(mixed))


def test_evidence_is_an_integral_over_the_alternatives() -> None:
    def ratio(other: float) -> float:
        return float((other / 0.4) ** 7 * ((1 - other) / 0.6) ** 3 * scipy_stats.beta.pdf(other, 0.5, 0.5))

    whole, _ = integrate.quad(ratio, 0, 1)
    assert math.exp(sequential.log_evidence(7, 10, 0.4)) == pytest.approx(whole, rel=1e-6)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(0.02, 0.98), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_interval_and_decision_say_the_same(passed: int, missed: int, threshold: float, confidence: float) -> None:
    n = passed + missed
    low, high = sequential.interval(passed, n, confidence)
    assert 0.0 <= low <= (passed / n if n else 1.0) <= high <= 1.0 or n == 0
    side = sequential.decides(passed, n, threshold, confidence)
    if abs(threshold - low) > 1e-9 and abs(threshold - high) > 1e-9:
        assert side == ("above" if low > threshold else "below" if high < threshold else None)


@given(st.integers(0, 200), st.integers(0, 200), st.floats(0.02, 0.98), st.sampled_from([0.9, 0.95, 0.99]))
def test_a_side_is_said_where_the_stake_has_grown_by_one_over_the_error(
    passed: int, missed: int, threshold: float, confidence: float
) -> None:
    n = passed + missed
    grown = scipy_stats.betabinom.logpmf(passed, n, 0.5, 0.5) - scipy_stats.binom.logpmf(passed, n, threshold)
    if n and abs(grown + math.log(1 - confidence)) > 1e-6:
        decided = sequential.decides(passed, n, threshold, confidence) is not None
        assert decided == (grown >= -math.log(1 - confidence))


@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.02, 0.98))
def test_passes_and_misses_are_mirror_images(passed: int, missed: int, threshold: float) -> None:
    one = sequential.interval(passed, passed + missed)
    other = sequential.interval(missed, passed + missed)
    assert one == pytest.approx((1 - other[1], 1 - other[0]), abs=1e-9)


@given(st.integers(1, 40), st.data())
def test_giving_up_never_forgoes_a_decision_that_is_there(rounds: int, data: st.DataObject) -> None:
    n = rounds * 10
    passed = data.draw(st.integers(0, n))
    if sequential.decides(passed, n, 0.6) and n < 400:
        assert not sequential.hopeless(passed, n, 400, 0.6)


@pytest.mark.parametrize("arguments", [(-1, 3, 0.5), (4, 3, 0.5), (1, 3, 0.0), (1, 3, 1.0), (1, 3, math.nan)])
def test_counts_and_rates_that_cannot_be_are_refused(arguments: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match=r"counts|rate"):
        sequential.log_evidence(*arguments)


@pytest.mark.parametrize(("threshold", "rate", "power"), [(0.6, 0.8, 0.9), (0.9, 0.95, 0.8), (0.8, 0.5, 0.95)])
def test_the_fixed_size_and_the_nine_behind_it_have_the_power(threshold: float, rate: float, power: float) -> None:
    """At 0.9 against 0.95 the power falls below once more, at the eleventh number."""

    def reached(n: int) -> bool:
        # Each count's interval by scipy, where it lies wholly on the rate's side of the threshold.
        tests = scipy_stats.binom(n, threshold)
        counts = [k for k in range(n + 1) if (tests.sf(k - 1) if rate > threshold else tests.cdf(k)) <= 0.025]
        return float(scipy_stats.binom.pmf(counts, n, rate).sum()) >= power

    n = sequential.fixed_size(threshold, rate, power=power)
    assert [reached(size) for size in range(n - 1, n + 10)] == [False] + 10 * [True]


def test_fixed_size_has_the_power_that_it_promises() -> None:
    n = sequential.fixed_size(0.6, 0.8)
    low = min(k for k in range(n + 1) if scipy_stats.binom.sf(k - 1, n, 0.6) <= 0.025)
    assert scipy_stats.binom.sf(low - 1, n, 0.8) >= 0.9
    assert sequential.fixed_size(0.4, 0.2) == n
    with pytest.raises(ValueError, match="itself"):
        sequential.fixed_size(0.6, 0.6)

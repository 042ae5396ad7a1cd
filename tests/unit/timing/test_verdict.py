"""The rule that turns samples into verdicts: right when it matters, and honest about what it cannot tell."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from annie_eval.timing import verdict as rule
from annie_eval.timing.verdict import Estimate

SERVERS = 200


def outcomes(truth: float, sigma: float = 0.04, late: float = 0.05) -> dict[str, float]:
    """Shares of verdicts over simulated servers whose base is `truth` times the limit."""
    found = dict.fromkeys(("PASS", "FAIL", "INCONCLUSIVE"), 0.0)
    for server in range(SERVERS):
        rng = random.Random(f"{truth}-{server}")

        def draw(rng: random.Random = rng) -> float:
            return truth * 120 * rng.lognormvariate(0, sigma) * (rng.uniform(1.3, 3) if rng.random() < late else 1)

        found[rule.sequential(draw, 120.0)[0]] += 1 / SERVERS
    return found


def test_a_server_at_95_percent_of_the_limit_never_fails() -> None:
    assert outcomes(0.95)["FAIL"] <= 0.01


def test_a_server_at_105_percent_of_the_limit_never_passes() -> None:
    assert outcomes(1.05)["PASS"] <= 0.01


def test_a_server_on_the_limit_is_mostly_undecided() -> None:
    assert outcomes(1.0)["INCONCLUSIVE"] > 0.9


def drifting(truth: float, memory: float) -> dict[str, float]:
    """The same for noise of 4 % that remembers, as beside a neighbour that comes and goes."""
    found = dict.fromkeys(("PASS", "FAIL", "INCONCLUSIVE"), 0.0)
    for server in range(2 * SERVERS):
        rng = random.Random(f"{truth}-{memory}-{server}")
        state = rng.gauss(0, 0.04)

        def draw(rng: random.Random = rng) -> float:
            nonlocal state
            state = memory * state + rng.gauss(0, 0.04 * (1 - memory**2) ** 0.5)
            return truth * 120 * math.exp(state)

        found[rule.sequential(draw, 120.0)[0]] += 1 / (2 * SERVERS)
    return found


@pytest.mark.parametrize("memory", [0.5, 0.8, 0.9])
def test_noise_that_drifts_makes_no_wrong_verdict(memory: float) -> None:
    assert drifting(0.95, memory)["FAIL"] <= 0.01
    assert drifting(1.05, memory)["PASS"] <= 0.01
    assert drifting(1.0, memory)["INCONCLUSIVE"] > 0.7


def test_the_interval_is_widened_only_where_neighbours_are_alike() -> None:
    rng = random.Random(1)
    alone = [rng.gauss(100, 4) for _ in range(31)]
    assert rule.median_in_order(alone) == rule.median_of(alone)
    wide, plain = rule.median_in_order(sorted(alone)), rule.median_of(alone)
    assert (wide.low < plain.low, wide.high > plain.high, wide.value) == (True, True, plain.value)
    assert rule.widening([5.0] * 15) == 1.0


def test_a_good_server_is_decided_at_the_first_look() -> None:
    verdict, estimate = rule.sequential(iter([90.0 + i / 100 for i in range(99)]).__next__, 120.0)
    assert (verdict, estimate.n) == ("PASS", rule.LOOKS[0])


def test_a_rate_fails_from_below() -> None:
    assert rule.sequential(lambda: 20.0, 25.0, at_most=False)[0] == "FAIL"
    assert rule.sequential(lambda: 33.0, 25.0, at_most=False)[0] == "PASS"


def test_the_exact_chance_of_a_wrong_verdict_is_under_one_percent() -> None:
    """Both sides are alike by symmetry; simulation agrees with the exact number."""
    exact = rule.wrong_verdict_rate()
    assert 0.001 < exact < 0.01
    rng = random.Random(0)
    wrong = sum(rule.sequential(lambda: 120 + rng.gauss(0, 5), 120.0)[0] == "PASS" for _ in range(1000))
    assert wrong / 1000 == pytest.approx(exact, abs=0.008)


def test_all_looks_are_odd() -> None:
    """Else the interval ends between samples, and the exact number does not hold."""
    assert all(n % 2 for n in rule.LOOKS)


def test_against_reads_the_whole_interval() -> None:
    estimate = Estimate(100, 95, 105, 15)
    assert estimate.against(105, at_most=True) == "PASS"
    assert estimate.against(104, at_most=True) == "INCONCLUSIVE"
    assert estimate.against(94.9, at_most=True) == "FAIL"
    assert estimate.against(95, at_most=False) == "PASS"
    assert estimate.against(105.1, at_most=False) == "FAIL"


def curve(a: float, b: float, c: float, noise: float = 0.02) -> dict[float, list[float]]:
    rng = random.Random(3)
    return {
        float(n): [(a + b * n + c * n * n) * rng.lognormvariate(0, noise) for _ in range(11)]
        for n in (512, 1024, 2048, 4096, 8192, 16384)
    }


def test_a_linear_prompt_has_no_quadratic_term() -> None:
    share = rule.quadratic_share(curve(60, 0.12, 0))
    assert share.low <= 0 <= share.high
    assert share.against(0.15, at_most=True) == "PASS"


def test_a_resampled_median_comes_from_each_place_as_often_as_it_would() -> None:
    """At or below place k of n where most of n draws are: a binomial tail, without a draw of them all."""
    values = [float(place) for place in range(11)]
    rng = random.Random(5)
    drawn = Counter(rule._resampled_median(rng, values) for _ in range(20_000))
    for place in (2, 4, 5, 7):
        exact = sum(math.comb(11, k) * ((place + 1) / 11) ** k * ((10 - place) / 11) ** (11 - k) for k in range(6, 12))
        assert sum(drawn[value] for value in values[: place + 1]) / 20_000 == pytest.approx(exact, abs=0.012)


def test_a_quadratic_excess_is_found() -> None:
    share = rule.quadratic_share(curve(60, 0.06, 60e-7))
    assert share.value == pytest.approx(60e-7 * 16384**2 / (60 + 0.06 * 16384 + 60e-7 * 16384**2), abs=0.05)
    assert share.against(0.15, at_most=True) == "FAIL"


def test_slope_and_ratio_over_contexts() -> None:
    groups = curve(60, 0.12, 0)
    assert rule.slope_of(groups).value == pytest.approx(0.12, rel=0.03)
    flat = curve(80, 0, 0)
    assert rule.ratio_of(flat).against(1.25, at_most=True) == "PASS"
    assert rule.ratio_of(groups).against(1.25, at_most=True) == "FAIL"


def test_a_share_needs_samples_to_be_believed() -> None:
    assert rule.share_of(20, 20).against(0.9, at_most=False) == "INCONCLUSIVE"
    assert rule.share_of(60, 60).against(0.9, at_most=False) == "PASS"
    assert rule.share_of(30, 60).against(0.9, at_most=False) == "FAIL"


def test_a_p95_needs_72_values() -> None:
    assert rule.percentile(list(range(71)), 0.95) is None
    assert rule.percentile(list(range(1, 101)), 0.95) == 95


def test_the_worst_verdict_stands() -> None:
    assert rule.worst(["PASS", "INCONCLUSIVE", "FAIL"]) == "FAIL"
    assert rule.worst(["PASS", "ERROR", "FAIL"]) == "ERROR"
    assert rule.worst([]) == "INCONCLUSIVE"

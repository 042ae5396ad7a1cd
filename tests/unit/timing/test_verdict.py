"""The rule that turns timing samples into verdicts, and its error rates."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from annie_eval.timing import verdict as rule
from annie_eval.timing.verdict import Estimate
from benchmarks.timing_operating_curve import sequential, wrong_verdict_rate

SERVERS = 200


def outcomes(truth: float, sigma: float = 0.04, late: float = 0.05) -> dict[str, float]:
    """Shares of verdicts over simulated servers whose base is `truth` times the limit."""
    found = dict.fromkeys(("PASS", "FAIL", "INCONCLUSIVE"), 0.0)
    for server in range(SERVERS):
        rng = random.Random(f"{truth}-{server}")

        def draw(rng: random.Random = rng) -> float:
            return truth * 120 * rng.lognormvariate(0, sigma) * (rng.uniform(1.3, 3) if rng.random() < late else 1)

        found[sequential(draw, 120.0)[0]] += 1 / SERVERS
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

        found[sequential(draw, 120.0)[0]] += 1 / (2 * SERVERS)
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


def autoregressive(memory: float, n: int, seed: int = 2) -> list[float]:
    """A Gaussian series of which neighbours correlate by `memory`."""
    rng, state, values = random.Random(seed), 0.0, []
    for _ in range(n):
        state = memory * state + math.sqrt(1 - memory * memory) * rng.gauss(0, 1)
        values.append(state)
    return values


@pytest.mark.parametrize("memory", [0.3, 0.5, 0.8])
def test_an_interval_grows_as_the_spread_of_a_mean_does(memory: float) -> None:
    """In a long series by sqrt((1 + r) / (1 - r)); the ranks correlate by 6 / pi asin(memory / 2)."""
    r = 6 / math.pi * math.asin(memory / 2)
    assert rule.widening(autoregressive(memory, 20_000)) == pytest.approx(math.sqrt((1 + r) / (1 - r)), rel=0.05)


@pytest.mark.parametrize("n", [15, 21, 31, 61])
@pytest.mark.parametrize("memory", [0.0, 0.6, 0.9])
def test_the_widening_of_a_short_series_is_the_formula_with_scipys_ranks(n: int, memory: float) -> None:
    values = [round(value, 1) for value in autoregressive(memory, n)]
    ranks = scipy_stats.rankdata(values)
    apart = ranks - ranks.mean()
    r = float(np.dot(apart[:-1], apart[1:]) / np.dot(apart, apart))
    unbiased = min(0.95, r + (1 + 3 * r) / n)
    expected = math.sqrt((1 + unbiased) / (1 - unbiased)) if r >= 1.64 / math.sqrt(n) else 1.0
    assert rule.widening(values) == pytest.approx(expected, rel=1e-12)


def test_the_widening_has_a_largest_size() -> None:
    assert rule.widening(list(range(400))) == pytest.approx(math.sqrt(1.95 / 0.05))


@pytest.mark.parametrize("factor", [1.5, 2.0, 4.0])
def test_a_wider_interval_reaches_as_many_more_ranks(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 0 to 30 the interval of the median is places around 15, and further places are further values down to 0."""
    values = [float(place) for place in random.Random(1).sample(range(31), 31)]
    reach = 15 - rule.median_of(values).low
    monkeypatch.setattr(rule, "widening", lambda _: factor)
    found = rule.median_in_order(values)
    wide = reach * factor
    expected = (math.floor(15 - wide), math.ceil(15 + wide)) if wide <= 15 else (0.0, 15 + wide)
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.value, found.n) == (15, 31)


def test_a_good_server_is_decided_at_the_first_look() -> None:
    verdict, estimate = sequential(iter([90.0 + i / 100 for i in range(99)]).__next__, 120.0)
    assert (verdict, estimate.n) == ("PASS", rule.LOOKS[0])


def test_a_rate_fails_from_below() -> None:
    assert sequential(lambda: 20.0, 25.0, at_most=False)[0] == "FAIL"
    assert sequential(lambda: 33.0, 25.0, at_most=False)[0] == "PASS"


def test_the_exact_chance_of_a_wrong_verdict_is_under_one_percent() -> None:
    """Both sides are alike by symmetry; simulation agrees with the exact number."""
    exact = wrong_verdict_rate()
    assert 0.001 < exact < 0.01
    assert wrong_verdict_rate(below=1.0) == pytest.approx(1.0)
    assert wrong_verdict_rate(below=0.0) == 0.0
    # Of five samples the interval is the whole range: all five below a median on the limit, one time in 32.
    assert wrong_verdict_rate(looks=(5,)) == pytest.approx(1 / 32)
    rng = random.Random(0)
    wrong = sum(sequential(lambda: 120 + rng.gauss(0, 5), 120.0)[0] == "PASS" for _ in range(1000))
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
    share = rule.shape_of(curve(60, 0.12, 0), 0.15).excess
    assert share.low <= 0 <= share.high
    assert share.against(0.15, at_most=True) == "PASS"


@pytest.mark.parametrize("n", [11, 12])
def test_a_resampled_median_is_as_often_at_each_place_as_that_of_a_draw(n: int) -> None:
    """At or below place k of n where most of n draws are: a binomial tail. For even n, the mean of the middle two."""
    values = [float(place) for place in range(n)]
    drawn = [medians[0] for medians in rule._resampled_medians([values[::-1]], 20_000)]
    rng = random.Random(5)
    direct = [statistics.median(rng.choices(values, k=n)) for _ in range(20_000)]
    for place in (2, 4, 5, 7):
        at_most = sum(value <= place for value in drawn) / 20_000
        assert at_most == pytest.approx(sum(value <= place for value in direct) / 20_000, abs=0.02)
        if n % 2:
            exact = sum(
                math.comb(n, k) * ((place + 1) / n) ** k * (1 - (place + 1) / n) ** (n - k) for k in range(6, 12)
            )
            assert at_most == pytest.approx(exact, abs=0.012)


def test_what_slows_a_whole_round_down_bends_no_curve() -> None:
    rng = random.Random(4)
    slow = [rng.lognormvariate(0, 0.4) for _ in range(31)]
    groups = {x: [(20 + x / 100) * factor for factor in slow] for x in (512.0, 1024.0, 2048.0, 4096.0)}
    excess = rule.shape_of(groups, 0.15).excess
    assert (excess.low, excess.high) == pytest.approx((0, 0), abs=1e-9)
    apart = {
        x: [value for _, value in sorted(zip(rng.sample(range(31), 31), values, strict=True))]
        for x, values in groups.items()
    }
    wide = rule.shape_of(apart, 0.15).excess
    assert wide.high - wide.low > 0.3


def ttft(
    curve: Callable[[float], float], noise: Callable[[float], float] | float = 0.03, n: int = 61
) -> dict[float, list[float]]:
    rng = random.Random(7)
    lengths = (545.0, 1089.0, 2177.0, 4081.0, 8161.0, 16321.0)
    return {
        x: [curve(x) * rng.lognormvariate(0, noise if isinstance(noise, float) else noise(x)) for _ in range(n)]
        for x in lengths
    }


@pytest.mark.parametrize(
    ("curve", "verdict", "since"),
    [
        (lambda x: 60 + 0.027 * x, "PASS", 545),
        (lambda x: max(70, 0.1 * x), "PASS", 545),
        (lambda x: max(78, 0.027 * x), "PASS", 4081),
        (lambda x: max(78, 0.025 * x + 1.2e-7 * x * x), "PASS", 4081),
        (lambda x: max(78, 0.025 * x + 1.2e-6 * x * x), "FAIL", 545),
        (lambda x: 60 + 0.025 * x + 1.2e-6 * x * x, "FAIL", 545),
        (lambda x: max(78, 0.027 * min(x, 4096)), "ERROR", 545),
        (lambda x: max(110, 0.027 * min(x, 8192)), "INCONCLUSIVE", 545),
        (lambda x: max(45, 5 + 0.027 * min(x, 13000)), "INCONCLUSIVE", 545),
        (lambda x: max(189, 0.027 * x), "INCONCLUSIVE", 545),
        (lambda x: 60 + 2e-6 * x * x, "FAIL", 545),
        (lambda x: max(78, 0.027 * x) + (300 if x > 3000 else 0), "INCONCLUSIVE", 545),
        (lambda x: max(78, 0.027 * x) + (1000 if x > 3000 else 0), "INCONCLUSIVE", 545),
        (lambda x: 0.027 * (0.6 * max(x, 300) + 0.4 * max(x, 4000)), "PASS", 4081),
        (lambda x: 27 + 0.0016 * x + 2e-7 * x * x, "FAIL", 545),
    ],
    ids=[
        *(
            "linear",
            "first",
            "floor",
            "floor-bent",
            "floor-quadratic",
            "quadratic",
            "floor-cut",
            "cut-late",
            "cut-last",
        ),
        *("floor-to-7000", "quadratic-alone", "jump", "large-jump", "half-a-floor", "late-quadratic"),
    ],
)
def test_a_floor_is_no_quadratic_cost(curve: Callable[[float], float], verdict: str, since: float) -> None:
    """A 9B on an H100: 86 to 91 ms up to 2177 tokens, then 27 ms per 1000 (docs/perf-vllm-h100.md)."""
    found = rule.shape_of(ttft(curve), 0.25)
    assert (found.verdict, found.since) == (verdict, since), found


@pytest.mark.parametrize(("model", "n", "since"), [("smollm2-135m", 121, 513), ("qwen3.5-9b-shape", 11, 4081)])
def test_what_was_measured_on_an_h100_is_linear(model: str, n: int, since: float) -> None:
    """Cold TTFT in ms by prompt length, round for round, of the runs in docs/perf-vllm-h100.md."""
    measured = json.loads(Path(__file__).with_name("ttft_h100.json").read_text())[model]
    groups = {float(x): values for x, values in measured.items()}
    looks = [look for look in rule.GROUP_LOOKS + rule.FURTHER_LOOKS if look <= n]
    found = [rule.shape_of({x: values[:look] for x, values in groups.items()}, 0.25) for look in looks]
    assert [shape.verdict for shape in found] == ["INCONCLUSIVE"] * (len(looks) - 1) + ["PASS"]
    assert found[-1].since == since
    doubled = {x: [value * (1 + x / max(groups)) for value in values] for x, values in groups.items()}
    assert rule.shape_of(doubled, 0.25).verdict != "PASS"
    cut = {x: values if x < max(groups) else groups[sorted(groups)[-2]] for x, values in groups.items()}
    assert rule.shape_of(cut, 0.25).verdict != "PASS"


@pytest.mark.parametrize(
    ("curve", "noise", "n", "limit", "verdict"),
    [
        (lambda x: max(78, 0.027 * x), 0.03, 15, 0.25, "INCONCLUSIVE"),
        (lambda x: max(85, 0.1 * x), 0.05, 11, 0.005, "INCONCLUSIVE"),
        (lambda x: 0.027 * (0.6 * max(x, 300) + 0.4 * max(x, 4000)), 0.05, 11, 0.15, "INCONCLUSIVE"),
        (lambda x: 60 + 0.025 * x + 9.4e-7 * x * x, 0.03, 15, 0.25, "FAIL"),
        (lambda x: max(78, 0.027 * x if x < 9000 else 375), 0.1, 31, 0.25, "INCONCLUSIVE"),
        (lambda x: 112 if x < 4000 else 110, lambda x: 0.3 if x < 4000 else 0.002, 61, 0.25, "INCONCLUSIVE"),
    ],
    ids=[
        "floor-unsure",
        "first-unsure",
        "half-a-floor-unsure",
        "grows-from-the-start",
        "late-bend-unsure",
        "early-bend-unsure",
    ],
)
def test_what_a_few_noisy_samples_leave_open(
    curve: Callable[[float], float], noise: Callable[[float], float] | float, n: int, limit: float, verdict: str
) -> None:
    """Whether a floor or a quadratic cost bends a curve up is open until the three longest tell, or the start does."""
    found = rule.shape_of(ttft(curve, noise, n), limit)
    assert found.verdict == verdict, found


def test_a_quadratic_excess_is_found() -> None:
    share = rule.shape_of(curve(60, 0.06, 60e-7), 0.15).excess
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


@pytest.mark.parametrize(("good", "n"), [(45, 60), (0, 20), (7, 9), (0, 0)])
def test_a_share_is_that_of_the_counts_between_scipys_bounds(good: int, n: int) -> None:
    found = rule.share_of(good, n)
    assert (found.value, found.n) == (good / n if n else 0.0, n)
    if n:
        bounds = scipy_stats.binomtest(good, n).proportion_ci(0.99, method="exact")
        assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))


def test_a_p95_needs_72_values() -> None:
    assert rule.percentile(list(range(71)), 0.95) is None
    assert rule.percentile(list(range(1, 101)), 0.95) == 95

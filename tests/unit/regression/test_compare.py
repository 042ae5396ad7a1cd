"""The verdict of a comparison: FAIL, PASS, INCONCLUSIVE, and its error rate."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from scipy import stats as scipy_stats

from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement
from annie_eval.regression.baseline import load
from annie_eval.regression.compare import ALPHA, compare_gates, overall
from annie_eval.regression.compare_runs import against
from annie_eval.regression.result import Regression, from_dict
from annie_eval.regression.timings import LEAST_N, compare_timings, noise
from annie_eval.stats.paired import pairs_to_decide
from benchmarks.regression_power import found, passed

MISS = (Finding("markdown", "bold text"),)
STRICT = {
    "leak": 60,
    "tools": 60,
    "markdown": 60,
    "factual": 30,
    "reasoning": 30,
    "brevity": 30,
    "restraint": 30,
    "turns": 20,
}


def judged(gate: str, outcomes: list[bool]) -> dict[str, Judgement]:
    return {
        f"{gate}-{i:03}.unstreamed.off": Judgement(gate, f"{gate}-{i:03}.unstreamed.off", () if held else MISS)
        for i, held in enumerate(outcomes)
    }


def pairs(worse: int, better: int, n: int, margin: float | None = None) -> Any:
    before = [True] * worse + [False] * better + [True] * (n - worse - better)
    now = [False] * worse + [True] * better + [True] * (n - worse - better)
    given = {} if margin is None else {"g": margin}
    return compare_gates({"g": judged("g", before)}, {"g": judged("g", now)}, given)[0]


@pytest.mark.parametrize(
    ("worse", "better", "n", "verdict"),
    [
        (0, 0, 5, "PASS"),
        (1, 0, 5, "INCONCLUSIVE"),
        (5, 0, 10, "FAIL"),
        (4, 0, 10, "INCONCLUSIVE"),
        (7, 1, 20, "FAIL"),
        (6, 1, 20, "INCONCLUSIVE"),
        (0, 9, 60, "PASS"),
        (1, 0, 60, "PASS"),
        (3, 0, 60, "INCONCLUSIVE"),
        (0, 0, 0, "INCONCLUSIVE"),
    ],
)
def test_verdict_of_a_gate(worse: int, better: int, n: int, verdict: str) -> None:
    gate = pairs(worse, better, n)
    assert gate.verdict == verdict, gate
    if worse + better:
        wanted = scipy_stats.binomtest(worse, worse + better, 0.5, alternative="greater").pvalue
        assert gate.p == pytest.approx(wanted, abs=1e-9)


def test_a_proven_loss_below_the_profiles_own_margin_passes_and_below_the_default_one_fails() -> None:
    assert pairs(30, 5, 1000).verdict == "FAIL"
    gate = pairs(30, 5, 1000, margin=0.1)
    assert gate.verdict == "PASS"
    assert "less than the margin" in gate.detail


@pytest.mark.parametrize(
    ("worse", "better", "n", "margin"),
    [(1, 0, 10, None), (3, 0, 60, None), (2, 1, 20, None), (6, 1, 20, None), (1, 1, 5, None), (2, 0, 20, 0.2)],
)
def test_the_scenarios_that_would_decide_do_and_fewer_do_not(
    worse: int, better: int, n: int, margin: float | None
) -> None:
    assert pairs(worse, better, n, margin).verdict == "INCONCLUSIVE"
    found = pairs_to_decide(worse, better, n, margin=margin, tests=1, alpha=ALPHA)
    assert found is not None
    times = found[0] // n
    assert pairs(times * worse, times * better, times * n, margin).verdict == ("PASS" if found[1] else "FAIL")
    assert pairs((times - 1) * worse, (times - 1) * better, (times - 1) * n, margin).verdict == "INCONCLUSIVE"


def test_more_gates_need_more_scenarios_and_a_rate_at_the_margin_is_never_decided() -> None:
    needed = [pairs_to_decide(1, 0, 10, margin=None, tests=tests, alpha=ALPHA) for tests in (1, 10)]
    assert needed == [(50, False), (80, False)]
    assert pairs_to_decide(1, 0, 10, margin=None, tests=10, alpha=ALPHA, most=79) is None


def test_an_open_comparison_says_what_would_decide_it(make_run: Any) -> None:
    names = [f"s-{i:02}" for i in range(10)]
    before = make_run("a", dict.fromkeys(names, True))
    now = make_run("b", {**dict.fromkeys(names, True), names[0]: False})
    found = compared(before, now)
    assert found.verdict == "INCONCLUSIVE"
    assert found.notes[0] == (
        "more scenarios would decide it; if they change as often as these: g about 50 (FAIL) instead of 10. --repeats"
        " helps little, because all repeats of a scenario count as one"
    )
    assert not any(
        "would decide" in note for note in compared(before, make_run("c", dict.fromkeys(names, True))).notes
    )


def test_many_gates_need_more_evidence_than_one() -> None:
    """Holm: 5 to 0 convinces alone, not as one gate of eight; there 8 to 0 does."""
    for worse, verdict in ((5, "INCONCLUSIVE"), (8, "FAIL")):
        before = {f"g{i}": judged(f"g{i}", [True] * 20) for i in range(8)}
        now = {**before, "g0": judged("g0", [False] * worse + [True] * (20 - worse))}
        gates = compare_gates(before, now, {})
        assert gates[0].verdict == verdict
        assert gates[0].adjusted == pytest.approx(8 * gates[0].p)
        assert overall(gates, ()) == verdict


def test_repeats_of_one_scenario_are_one_scenario() -> None:
    keys = [f"s.unstreamed.off{'' if i == 1 else f'.{i}'}" for i in range(1, 11)]
    before = {"g": {key: Judgement("g", key) for key in keys}}
    now = {"g": {key: Judgement("g", key, MISS) for key in keys}}
    gate = compare_gates(before, now, {})[0]
    assert (gate.n, gate.scenarios, gate.p) == (10, 1, 0.5)
    assert gate.verdict == "INCONCLUSIVE"


def test_what_broke_now_is_an_error_and_never_a_miss() -> None:
    before = {"g": judged("g", [True] * 10)}
    now = dict(before["g"])
    for key in list(now)[:6]:
        now[key] = Judgement("g", key, error="HTTP 500")
    gate = compare_gates(before, {"g": now}, {})[0]
    assert gate.verdict == "ERROR"
    assert (gate.n, len(gate.worse), len(gate.broken)) == (4, 0, 6)


def simulate(draw: random.Random, before: dict[str, float], now: dict[str, float], sizes: dict[str, int]) -> str:
    runs = [
        {gate: judged(gate, [draw.random() < rates[gate] for _ in range(n)]) for gate, n in sizes.items()}
        for rates in (before, now)
    ]
    return overall(compare_gates(runs[0], runs[1], {}), ())


@pytest.mark.parametrize("rates", [[0.99], [0.9], [0.5], [1.0, 0.97, 0.9, 0.8, 0.6, 0.99, 0.95, 0.85]], ids=str)
def test_an_unchanged_model_fails_in_at_most_five_percent_of_runs_over_all_gates(rates: list[float]) -> None:
    draw = random.Random(20261123)
    same = {gate: rates[i % len(rates)] for i, gate in enumerate(STRICT)}
    verdicts = [simulate(draw, same, same, STRICT) for _ in range(400)]
    assert verdicts.count("FAIL") / len(verdicts) <= ALPHA


@pytest.mark.parametrize(("n", "before", "now"), [(60, 1.0, 0.8), (25, 1.0, 0.5), (60, 0.98, 0.8), (120, 0.9, 0.8)])
def test_a_model_that_got_worse_is_found_as_often_as_the_table_says(n: int, before: float, now: float) -> None:
    draw = random.Random(99)
    sizes = {f"g{i}": n if i == 0 else 10 for i in range(8)}
    old = {gate: before if gate == "g0" else 1.0 for gate in sizes}
    new = {**old, "g0": now}
    runs = 300
    share = sum(simulate(draw, old, new, sizes) == "FAIL" for _ in range(runs)) / runs
    stated = found(n, before, now)
    assert abs(share - stated) <= 4 * (stated * (1 - stated) / runs) ** 0.5 + 0.01


def test_unchanged_gates_pass_as_often_as_the_table_says() -> None:
    draw = random.Random(5)
    runs = 300
    share = 0
    for _ in range(runs):
        old, new = ({"g": judged("g", [draw.random() < 0.98 for _ in range(60)])} for _ in range(2))
        share += compare_gates(old, new, {})[0].verdict == "PASS"
    stated = passed(60, 0.98)
    assert abs(share / runs - stated) <= 4 * (stated * (1 - stated) / runs) ** 0.5


def compared(baseline: Path, run: Path) -> Regression:
    return against(load(str(baseline), baseline.parent, baseline.parent), run)


def test_a_run_against_itself_passes_and_says_that_nothing_changed(make_run: Any) -> None:
    run, again = (make_run(name, {f"s-{i:02}": True for i in range(30)}) for name in ("a", "b"))
    found = compared(run, again)
    assert found.verdict == "PASS"
    assert found.headline.startswith('PASS against "a": nothing known of the server changed')
    assert found.same_words == (30, 30)
    assert found.changes == ()


def test_both_answers_to_each_sample_that_changed_are_there(make_run: Any) -> None:
    names = [f"s-{i:02}" for i in range(10)]
    before = make_run("a", dict.fromkeys(names, True) | {"s-09": False})
    now = make_run("b", dict.fromkeys(names, False) | {"s-09": True})
    found = compared(before, now)
    assert found.verdict == "FAIL"
    assert [each.direction for each in found.changes] == ["worse"] * 9 + ["better"]
    assert found.changes[0].reason == "markdown: bold text"
    assert (found.changes[0].before[0]["content"], found.changes[0].now[0]["content"]) == ("Fine.", "**Fine.**")
    assert "g 9/10 -> 1/10" in found.headline
    assert from_dict(found.as_dict()) == found


def test_a_part_of_a_gate_can_fail_and_not_pass() -> None:
    before = {"g": judged("g", [True] * 40)}
    part = dict(list(before["g"].items())[:35])
    gate = compare_gates(before, {"g": part}, {})[0]
    assert (gate.verdict, gate.missing) == ("INCONCLUSIVE", 5)
    assert compare_gates(before, {"g": part}, {}, frozenset({"g"}))[0].verdict == "PASS"
    lost = {key: Judgement("g", key, MISS) for key in part}
    assert compare_gates(before, {"g": lost}, {})[0].verdict == "FAIL"


def test_fewer_repeats_are_no_missing_samples() -> None:
    before = {"g": judged("g", [True] * 40)}
    again = {f"{key}.2": Judgement("g", f"{key}.2") for key in before["g"]}
    assert compare_gates({"g": {**before["g"], **again}}, before, {})[0].verdict == "PASS"


def test_a_gate_that_only_one_run_has_is_said_and_left_out(make_run: Any) -> None:
    before = make_run("a", {"s-01": True})
    now = make_run("b", {"t-01": True})
    found = compared(before, now)
    assert (found.gates[0].n, found.gates[0].missing) == (0, 1)
    assert found.verdict == "INCONCLUSIVE"
    assert "1 samples of the baseline were not asked or not answered" in found.headline


@pytest.mark.parametrize("few", [LEAST_N - 1, LEAST_N])
@pytest.mark.parametrize("where", ["before", "now", "both"])
def test_a_row_with_too_few_measurements_is_left_out_and_the_next_is_compared(where: str, few: int) -> None:
    long, short = [100.0] * LEAST_N, [100.0] * few
    before = {"ttft_short": long if where == "now" else short, "decode": long}
    now = {"ttft_short": long if where == "before" else short, "decode": long}
    names = [pair.name for pair in compare_timings(before, now, noise(before, before))]
    assert names == (["ttft_short", "decode"] if few == LEAST_N else ["decode"])

"""Repeats: which samples there are, and the verdict over several rounds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.cli.main import main
from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.decide import GateResult, RunVerdict, decide
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.repeats import Repeats, decide_repeated, keys_of_round, own_repeats, round_of, threshold
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Profile, Variant
from annie_eval.report import page
from annie_eval.report import repeats as report
from annie_eval.run import verdict_json
from annie_eval.stats import clusters

PROFILE = load("annie")
TOOLS = PROFILE.gates["tool_calling"]  # 6 of 10
MISS = (Finding("tool_calls", "no call of get_time"),)
KEYS = [key for scenario in PROFILE.gate_scenarios(TOOLS) for key in scenario.sample_keys()]


def judged(
    gate: Gate, rounds: list[int], *, broken: int = 0, keys: list[str] = KEYS, profile: Profile = PROFILE
) -> list[Judgement]:
    """Judgements of so many rounds; in each the first so many samples pass."""
    found = []
    for turn, passed in enumerate(rounds, 1):
        for place, key in enumerate(keys_of_round(profile, keys, turn)):
            error = "HTTP 500" if turn == len(rounds) and place < broken else None
            found.append(Judgement(gate.name, key, () if place < passed or error else MISS, error))
    return found


def decided(rounds: list[int], repeats: Repeats, gate: Gate = TOOLS, broken: int = 0) -> GateResult:
    judgements = judged(gate, rounds, broken=broken)
    return decide_repeated(PROFILE, gate, judgements, len(KEYS), len(judgements), repeats, len(rounds))


def test_keys_of_later_rounds_are_those_of_later_repeats() -> None:
    assert keys_of_round(PROFILE, KEYS[:1], 1) == KEYS[:1]
    assert keys_of_round(PROFILE, KEYS[:1], 3) == [f"{KEYS[0]}.3"]
    own = own_repeats(PROFILE)
    assert [round_of(own, key) for key in (KEYS[0], f"{KEYS[0]}.2", f"{KEYS[0]}.3")] == [1, 2, 3]
    assert [round_of({}, f"of-no-profile.stream.off{n}") for n in ("", ".2", ".3")] == [1, 2, 3]


def test_where_the_profile_itself_repeats_all_of_that_is_a_round() -> None:
    first, *rest = PROFILE.scenarios
    twice = replace(first, variants=(Variant(repeat=1), Variant(repeat=2)))
    profile = replace(PROFILE, scenarios=(twice, *rest))
    keys = list(twice.sample_keys())
    assert keys_of_round(profile, keys, 2) == [f"{keys[0]}.3", f"{keys[0]}.4"]
    own = own_repeats(profile)
    assert [round_of(own, key) for key in (*keys, *keys_of_round(profile, keys, 2))] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("given", "adaptive", "made"),
    [
        (None, False, Repeats(1)),
        (1, False, Repeats(1)),
        (5, False, Repeats(5)),
        (None, True, Repeats(20, True)),
        (7, True, Repeats(7, True)),
    ],
)
def test_options_make_a_plan(given: int | None, adaptive: bool, made: Repeats) -> None:
    assert Repeats.of(given, adaptive) == made


@pytest.mark.parametrize(("given", "adaptive"), [(0, False), (-1, False), (1, True), (0, True)])
def test_options_that_make_no_plan_are_refused(given: int, adaptive: bool) -> None:
    with pytest.raises(UsageError, match=f"--repeats {given}: must be at least"):
        Repeats.of(given, adaptive)


def test_a_share_beside_a_bound_must_be_reached_too() -> None:
    gate = replace(TOOLS, required=9, lower_bound=0.4)
    assert decided([8], Repeats(3, True), gate).repeats["stopped"] == "open"
    assert decided([8, 10], Repeats(3, True), gate).verdict == "PASS"
    result = decided([8, 8, 8], Repeats(3, True), gate)
    assert (result.verdict, result.repeats["stopped"], result.detail) == ("FAIL", "cap", "24/30, needs 9/10")


def test_the_threshold_is_the_bound_or_else_the_share() -> None:
    assert threshold(TOOLS, 10) == 0.6
    assert threshold(replace(TOOLS, lower_bound=0.5), 10) == 0.5
    assert threshold(replace(TOOLS, required=None), 10) is None
    assert threshold(replace(TOOLS, required=10), 10) is None
    assert threshold(replace(TOOLS, required=None, lower_bound=0.95), 10) == 0.95


@pytest.mark.parametrize(
    ("rounds", "verdict", "passed"),
    [([6, 6, 6], "PASS", 18), ([10, 5, 3], "PASS", 18), ([6, 6, 5], "FAIL", 17), ([0, 10, 10], "PASS", 20)],
)
def test_fixed_repeats_ask_the_same_share_of_all(rounds: list[int], verdict: str, passed: int) -> None:
    result = decided(rounds, Repeats(3))
    assert (result.verdict, result.passed, result.n, result.required) == (verdict, passed, 30, 18)
    assert result.repeats["stopped"] == "fixed"
    assert result.repeats["scenarios"] == 10


@pytest.mark.parametrize(
    ("required", "fixed", "adaptive"),
    [(6, 18, 12), (0, 0, 0), (10, 30, 20), (None, 30, 20)],
)
def test_a_report_says_how_many_of_all_rounds_must_pass(required: int | None, fixed: int, adaptive: int) -> None:
    gate = replace(TOOLS, required=required)
    assert decided([10, 10, 10], Repeats(3), gate).required == fixed
    assert decided([10, 10], Repeats(8, True), gate).required == adaptive


def test_a_gate_that_asks_for_no_sample_passes_in_all_rounds() -> None:
    gate = replace(TOOLS, required=0)
    for result in (decided([0, 0, 0], Repeats(3), gate), decided([0, 0, 0], Repeats(3, True), gate)):
        assert (result.verdict, result.passed, result.n, result.required, result.detail) == ("PASS", 0, 30, 0, "")


@pytest.mark.parametrize(
    ("rounds", "broken", "verdict", "detail"),
    [
        ([9, 9, 9], 0, "PASS", ""),
        ([8, 9, 9], 0, "FAIL", "26/30, needs 27"),
        ([10, 10, 10], 2, "ERROR", "2 of 30 samples broke"),
    ],
)
def test_a_bound_that_holds_mends_neither_a_share_nor_a_broken_sample(
    rounds: list[int], broken: int, verdict: str, detail: str
) -> None:
    result = decided(rounds, Repeats(3), replace(TOOLS, required=9, lower_bound=0.4), broken)
    assert (result.verdict, result.detail, result.lower_bound) == (verdict, detail, 0.4)


def test_bounds_that_are_reached_exactly() -> None:
    """A lower bound at the limit proves it; an upper bound there does not yet refute it."""
    rounds, passed, sizes = [8, 5, 3], [3] * 3 + [2] * 2 + [1] * 3 + [0] * 2, [3] * 10
    gate = replace(TOOLS, required=0)
    proven = replace(gate, lower_bound=clusters.lower_bound(passed, sizes, gate.confidence))
    assert (decided(rounds, Repeats(3), proven).verdict, decided(rounds, Repeats(3), proven).detail) == ("PASS", "")
    at_most = replace(gate, lower_bound=clusters.upper_bound(passed, sizes, gate.confidence))
    assert decided(rounds, Repeats(3), at_most).verdict == "INCONCLUSIVE"


def test_a_broken_sample_is_in_no_number() -> None:
    """Two prompts have two answers, and the others three."""
    result = decided([10, 10, 9], Repeats(3), broken=2)
    passed, sizes = [2, 2, *[3] * 7, 2], [2, 2, *[3] * 8]
    assert (result.passed, result.n, result.errors) == (27, 28, 2)
    assert result.interval == clusters.interval(passed, sizes, TOOLS.confidence)
    assert result.rules_out == 1.0 - clusters.lower_bound(passed, sizes, TOOLS.confidence)
    assert result.repeats["scenarios"] == 10
    # Three of three passed in seven of the eight prompts that have three answers.
    assert result.repeats["pass_hat_k"] == {
        "1": pytest.approx((9 + 2 / 3) / 10),
        "2": pytest.approx((9 + 1 / 3) / 10),
        "3": pytest.approx(7 / 8),
    }


def test_a_gate_whose_samples_all_broke_has_no_numbers() -> None:
    result = decided([10], Repeats(1), broken=10)
    assert (result.verdict, result.interval, result.rules_out) == ("ERROR", None, None)
    assert result.repeats == {
        "rounds": 1,
        "most": 1,
        "adaptive": False,
        "stopped": "fixed",
        "threshold": 0.6,
        "scenarios": 0,
        "pass_hat_k": {},
    }


def test_pass_hat_k_counts_prompts_that_always_pass() -> None:
    result = decided([8, 6, 4], Repeats(3))
    assert result.repeats["pass_hat_k"]["3"] == pytest.approx(0.4)
    assert result.repeats["pass_hat_k"]["1"] == pytest.approx(18 / 30)
    assert result.repeats["pass_hat_k"]["2"] == pytest.approx((4 * 1 + 2 * 1 / 3) / 10)


def test_a_bound_is_asked_of_the_interval_that_knows_of_clusters() -> None:
    """Thirty of thirty would reach 90 %; ten prompts, three times each, are ten prompts."""
    gate = replace(TOOLS, required=None, lower_bound=0.9)
    assert decided([10, 10, 10], Repeats(3), gate).verdict == "INCONCLUSIVE"
    assert decided([10, 10, 10], Repeats(3), replace(gate, lower_bound=0.7)).verdict == "PASS"
    assert decided([4, 4, 4], Repeats(3), replace(gate, required=0)).verdict == "FAIL"


def test_one_miss_in_any_round_fails_a_gate_that_allows_none() -> None:
    gate = replace(TOOLS, required=None)
    assert decided([10, 10, 9], Repeats(3), gate).verdict == "FAIL"
    result = decided([10, 9], Repeats(9, True), gate)
    assert (result.verdict, result.repeats["stopped"]) == ("FAIL", "rule")
    assert decided([10], Repeats(9, True), gate).verdict == "PASS"


@pytest.mark.parametrize(
    ("rounds", "verdict", "stopped"),
    [
        ([10], "PASS", "decided"),
        ([8], "INCONCLUSIVE", "open"),
        ([8, 9, 9], "PASS", "decided"),
        ([1], "FAIL", "decided"),
        ([2, 3], "FAIL", "decided"),
        ([6, 6, 6, 6, 6, 6], "INCONCLUSIVE", "hopeless"),
        ([8, 8, 8, 4, 8, 4, 8, 8], "INCONCLUSIVE", "cap"),
    ],
)
def test_sampling_goes_on_until_it_is_decided(rounds: list[int], verdict: str, stopped: str) -> None:
    result = decided(rounds, Repeats(8, True))
    assert (result.verdict, result.repeats["stopped"]) == (verdict, stopped)
    if verdict != "PASS":
        assert "confidence sequence" in result.detail


def plain(passed: int, gate: Gate) -> str:
    return decide(gate, judged(gate, [passed]), len(KEYS), prompts=PROFILE.prompts).verdict


@pytest.mark.parametrize("passed", range(11))
@pytest.mark.parametrize("bound", [0.3, 0.6, 0.75, 0.9])
def test_equal_answers_asked_again_prove_no_bound_that_once_did_not(passed: int, bound: float) -> None:
    """A deterministic server gives each prompt the same answer in all rounds."""
    gate = replace(TOOLS, required=None if passed == 10 else 1, lower_bound=bound)
    once = plain(passed, gate)
    for repeats, rounds in ((Repeats(20), 20), (Repeats(20, True), 3), (Repeats(20, True), 20)):
        verdict = decided([passed] * rounds, repeats, gate).verdict
        assert verdict in (once, "INCONCLUSIVE"), (repeats, rounds)


def test_the_same_answers_again_are_given_up_after_three_rounds() -> None:
    gate = replace(TOOLS, required=None, lower_bound=0.75)
    assert decided([10, 10], Repeats(20, True), gate).repeats["stopped"] == "open"
    result = decided([10, 10, 10], Repeats(20, True), gate)
    assert (result.verdict, result.repeats["stopped"]) == ("INCONCLUSIVE", "prompts")
    assert "30/30 of 10 prompts, lower bound 74.1 % does not reach 75 %" in result.detail
    assert "more prompts would" in report.lines([result], {})[0]


def shuffled(rounds: int, gate: Gate) -> list[Judgement]:
    """Prompts that are alike: each misses in one round of five."""
    found = []
    for turn in range(1, rounds + 1):
        for place, key in enumerate(keys_of_round(PROFILE, KEYS, turn)):
            found.append(Judgement(gate.name, key, MISS if (turn + place) % 5 == 0 else ()))
    return found


def test_answers_that_differ_from_round_to_round_do_prove_a_bound() -> None:
    gate = replace(TOOLS, required=1, lower_bound=0.55)
    judgements = shuffled(10, gate)
    result = decide_repeated(PROFILE, gate, judgements, 10, 100, Repeats(20, True), 10)
    assert (result.verdict, result.passed, result.repeats["stopped"]) == ("PASS", 80, "decided")
    assert plain(8, gate) == "INCONCLUSIVE"


@pytest.mark.parametrize("repeats", [Repeats(3), Repeats(8, True)], ids=["fixed", "adaptive"])
def test_what_other_gates_ask_again_makes_no_whole_of_a_part(repeats: Repeats) -> None:
    """A gate over every sample, ten of 85 selected, asked in eleven rounds: still ten prompts of 85."""
    wire = PROFILE.gates["wire_integrity"]
    judgements = judged(wire, [10] * 11)
    result = decide_repeated(PROFILE, wire, judgements, 85, 110, repeats, repeats.first, 10 * repeats.first)
    assert result.verdict == "INCONCLUSIVE"
    assert "samples selected" in result.detail


def test_a_broken_sample_is_an_error_and_ends_the_rounds() -> None:
    result = decided([8, 8], Repeats(8, True), broken=1)
    assert (result.verdict, result.repeats["stopped"]) == ("ERROR", "broken")
    assert decided([8, 8, 8], Repeats(3), broken=2).verdict == "ERROR"
    assert decided([1, 1, 1], Repeats(3), broken=2).verdict == "FAIL"


def test_a_part_of_a_gate_is_decided_by_no_number_of_rounds() -> None:
    judgements = judged(TOOLS, [4], keys=KEYS[:4])
    result = decide_repeated(PROFILE, TOOLS, judgements, 10, 4, Repeats(8, True), 1)
    assert (result.verdict, result.repeats["stopped"]) == ("INCONCLUSIVE", "part")


def test_what_another_gate_asked_beyond_its_own_rounds_is_not_counted() -> None:
    judgements = judged(TOOLS, [10, 0, 0])
    result = decide_repeated(PROFILE, TOOLS, judgements, 10, 30, Repeats(8, True), 1)
    assert (result.verdict, result.passed, result.n) == ("PASS", 10, 10)


@pytest.mark.parametrize(
    ("further", "asked", "verdict", "expected"),
    [
        ([], None, "PASS", 85),
        ([10], None, "PASS", 95),
        ([9], None, "FAIL", 95),
        ([10], 85, "PASS", 95),
        ([10, 10], 85, "PASS", 105),
    ],
)
def test_a_gate_over_every_sample_judges_all_rounds_of_all_gates(
    further: list[int], asked: int | None, verdict: str, expected: int
) -> None:
    """But its interval is about its own rounds."""
    wire = PROFILE.gates["wire_integrity"]
    keys = [key for scenario in PROFILE.scenarios for key in scenario.sample_keys()]
    judgements = judged(wire, [85], keys=keys) + judged(wire, [10, *further], keys=KEYS)[10:]
    result = decide_repeated(PROFILE, wire, judgements, 85, len(judgements), Repeats(8, True), 1, asked)
    missed = 10 * len(further) - sum(further)
    assert (result.verdict, result.passed, result.n) == (verdict, expected - missed, expected)
    assert (result.required, result.expected) == (expected, expected)
    alone = decide_repeated(PROFILE, wire, judgements[:85], 85, 85, Repeats(8, True), 1)
    assert (result.interval, result.rules_out) == (alone.interval, alone.rules_out)


def test_what_was_asked_beyond_the_rounds_and_not_answered_is_missing() -> None:
    wire = PROFILE.gates["wire_integrity"]
    judgements = judged(wire, [85], keys=[key for one in PROFILE.scenarios for key in one.sample_keys()])
    result = decide_repeated(PROFILE, wire, judgements, 85, 95, Repeats(8, True), 1, 85)
    assert (result.verdict, result.detail) == ("INCONCLUSIVE", "85 of 95 selected samples judged")


@pytest.mark.parametrize(
    ("rounds", "repeats", "says"),
    [
        ([8, 6, 4], Repeats(3), "tool_calling: 18/30 in 10 scenarios, pass^3 40%; 3 repeats of each, as asked"),
        ([10], Repeats(8, True), "pass^1 100%; decided after 1 round: 62.3% to 100% lies above 60%"),
        ([2, 3], Repeats(8, True), "decided after 2 rounds: 4.7% to 58.9% lies below 60%"),
        ([6] * 6, Repeats(8, True), "given up after 6 rounds"),
    ],
)
def test_the_report_says_how_the_decision_came(rounds: list[int], repeats: Repeats, says: str) -> None:
    lines = report.lines([decided(rounds, repeats)], {"temperature": 0})
    assert says in lines[0]
    assert "temperature 0" in lines[-1]
    assert report.lines([replace(decided(rounds, repeats), repeats={})], {}) == []


def test_verdict_json_keeps_what_was_said_of_repeats(tmp_path: Path) -> None:
    for repeats, rounds in ((Repeats(3), [8, 6, 4]), (Repeats(8, True), [10])):
        verdict = RunVerdict("PASS", gates=(decided(rounds, repeats),), started=1.0, run_dir=str(tmp_path))
        verdict_json.write(tmp_path / "verdict.json", verdict)
        assert verdict_json.load(tmp_path / "verdict.json").gates[0].repeats == verdict.gates[0].repeats


def test_the_page_says_how_the_decision_came() -> None:
    verdict = RunVerdict("PASS", gates=(decided([10], Repeats(8, True)),))
    empty = page.Source((), {}.get, ())
    assert "decided after 1 round: 62.3% to 100% lies above 60%" in page.page(verdict, empty)
    assert "repeats:" not in page.page(replace(verdict, gates=(replace(verdict.gates[0], repeats={}),)), empty)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["annie", "--until-decided", "20"], 0, "tool_calling  10       above 60%"),
        (["annie", "--until-decided", "1"], 2, "--until-decided 1: must be at least 2 rounds"),
        (["nobody", "--until-decided", "5"], 2, "nobody"),
    ],
)
def test_the_table_of_chances_is_a_command(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gates", *arguments]) == status
    captured = capsys.readouterr()
    assert says in captured.out + captured.err
    assert len((captured.out if status else captured.err).splitlines()) == 0

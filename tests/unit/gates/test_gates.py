"""A gate passes only when enough samples were asked, none broke, and enough of them passed."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import GateResult, decide, operating_curve, overall, tolerates
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import SEVERITY, worst
from annie_eval.profile.types import Gate
from annie_eval.stats import binomial

MISS = Finding("markdown", "a bullet list", "- milk", "content")


def gate(
    required: int | None = 12, lower_bound: float | None = None, categories: tuple[str, ...] = ("plain",)
) -> Gate:
    return Gate("no_markdown", ("markdown",), categories, required, lower_bound, baseline={"NVFP4 PTQ": "3/15"})


def judgements(passed: int, missed: int = 0, broken: int = 0) -> list[Judgement]:
    made = [Judgement("no_markdown", f"good-{i}") for i in range(passed)]
    made += [Judgement("no_markdown", f"miss-{i}", (MISS,)) for i in range(missed)]
    return made + [Judgement("no_markdown", f"broken-{i}", error="HTTP 500") for i in range(broken)]


# (rules, passed, missed, broken, samples of the whole profile) -> verdict. Each pair of neighbours differs in one
# thing and decides differently, so that a rule turned round or an edge moved by one is caught.
TABLE = [
    (gate(12), 12, 3, 0, 15, "PASS"),
    (gate(12), 11, 4, 0, 15, "FAIL"),
    (gate(None), 15, 0, 0, 15, "PASS"),
    (gate(None), 14, 1, 0, 15, "FAIL"),
    # What broke is neither a pass nor a miss.
    (gate(12), 14, 0, 1, 15, "ERROR"),
    (gate(12), 0, 0, 15, 15, "ERROR"),
    (gate(12), 11, 3, 1, 15, "ERROR"),
    (gate(12), 10, 4, 1, 15, "FAIL"),
    (gate(None), 0, 1, 14, 15, "FAIL"),
    # What was not asked cannot pass, and cannot save what is lost.
    (gate(12), 12, 2, 0, 15, "INCONCLUSIVE"),
    (gate(12), 3, 0, 0, 15, "INCONCLUSIVE"),
    (gate(12), 0, 3, 0, 15, "INCONCLUSIVE"),
    (gate(12), 0, 4, 0, 15, "FAIL"),
    (gate(None), 14, 0, 0, 15, "INCONCLUSIVE"),
    (gate(12), 13, 0, 1, 15, "ERROR"),
    (gate(12), 0, 0, 0, 15, "INCONCLUSIVE"),
    (gate(None), 0, 0, 0, 0, "INCONCLUSIVE"),
    (gate(0), 0, 0, 0, 0, "INCONCLUSIVE"),
    # A part of a gate over every sample is a part as any other.
    (gate(None, categories=("*",)), 60, 0, 0, 60, "PASS"),
    (gate(None, categories=("*",)), 59, 0, 0, 60, "INCONCLUSIVE"),
    (gate(None, categories=("*",)), 3, 0, 0, 60, "INCONCLUSIVE"),
    (gate(None, categories=("*",)), 2, 1, 0, 60, "FAIL"),
    (gate(None, categories=("*",)), 2, 0, 1, 60, "ERROR"),
    (gate(None, categories=("*",)), 0, 0, 0, 60, "INCONCLUSIVE"),
    (gate(55, categories=("*",)), 3, 0, 0, 60, "INCONCLUSIVE"),
    (gate(55, categories=("*",)), 55, 5, 0, 60, "PASS"),
    # A required lower bound: 59 clean samples rule out 5 %, 58 do not.
    (gate(None, 0.95), 59, 0, 0, 59, "PASS"),
    (gate(None, 0.95), 58, 0, 0, 58, "INCONCLUSIVE"),
    (gate(None, 0.95), 58, 1, 0, 59, "FAIL"),
    (gate(0, 0.80), 55, 5, 0, 60, "PASS"),
    (gate(0, 0.80), 53, 7, 0, 60, "INCONCLUSIVE"),
    (gate(0, 0.80), 43, 17, 0, 60, "INCONCLUSIVE"),
    (gate(0, 0.80), 41, 19, 0, 60, "FAIL"),
    (gate(56, 0.80), 55, 5, 0, 60, "FAIL"),
    (gate(0, 0.80), 22, 19, 0, 60, "FAIL"),
    (gate(0, 0.80), 22, 19, 19, 60, "FAIL"),
    (gate(0, 0.80), 55, 4, 1, 60, "ERROR"),
]


@pytest.mark.parametrize(("rules", "passed", "missed", "broken", "expected", "verdict"), TABLE)
def test_verdict(rules: Gate, passed: int, missed: int, broken: int, expected: int, verdict: str) -> None:
    result = decide(rules, judgements(passed, missed, broken), expected)
    assert result.verdict == verdict
    assert (result.passed, result.n, result.errors) == (passed, passed + missed, broken)
    assert [miss.sample for miss in result.misses] == sorted(f"miss-{i}" for i in range(missed))
    assert [each.sample for each in result.broken] == sorted(f"broken-{i}" for i in range(broken))
    assert bool(result.detail) == (verdict != "PASS")
    assert tolerates(result) == (verdict == "PASS")


@pytest.mark.parametrize(
    ("rules", "passed", "missed", "broken", "detail"),
    [
        (gate(12), 7, 8, 0, "7/15, needs 12"),
        (gate(12), 3, 0, 0, "3 of 15 samples selected"),
        (gate(12), 0, 4, 0, "at best 11/15, needs 12"),
        (gate(12), 13, 0, 2, "2 of 15 samples broke"),
        (gate(12), 0, 0, 0, "no sample selected"),
        (gate(12, 0.9), 15, 0, 0, "15/15, lower bound 81.9 % does not reach 90 %"),
        (gate(0, 0.9), 9, 6, 0, "9/15, upper bound 80.9 % is below 90 %"),
    ],
)
def test_detail_says_what_decided(rules: Gate, passed: int, missed: int, broken: int, detail: str) -> None:
    assert decide(rules, judgements(passed, missed, broken), 15).detail == detail


@pytest.mark.parametrize("categories", [("plain",), ("*",)], ids=["one category", "every sample"])
def test_a_part_of_a_gate_and_a_run_cut_short_are_no_verdict(categories: tuple[str, ...]) -> None:
    rules = gate(None, categories=categories)
    part = decide(rules, judgements(20), 60, selected=20)
    assert (part.required, part.expected) == (60, 60)
    assert (part.verdict, part.detail) == ("INCONCLUSIVE", "20 of 60 samples selected")
    cut = decide(rules, judgements(20), 60, selected=30)
    assert (cut.verdict, cut.detail) == ("INCONCLUSIVE", "20 of 30 selected samples judged")
    assert decide(rules, judgements(19, missed=1), 60, selected=30).verdict == "FAIL"
    assert decide(rules, [], 60, selected=30).detail == "no sample judged"


def sent_both_ways(prompts: int, missed: int = 0) -> list[Judgement]:
    """Each prompt streamed and unstreamed, answered alike both times."""
    return [
        Judgement("no_markdown", f"p-{i:02}.{way}.off", (MISS,) if i < missed else ())
        for i in range(prompts)
        for way in ("stream", "unstreamed")
    ]


def test_the_same_prompt_sent_twice_is_one_prompt_to_a_lower_bound() -> None:
    rules = gate(None, 0.95)
    assert decide(rules, judgements(60), 60).verdict == "PASS"
    twice = decide(rules, sent_both_ways(30), 60)
    assert (twice.verdict, twice.n) == ("INCONCLUSIVE", 60)
    assert twice.detail == "60/60 of 30 prompts, lower bound 90.5 % does not reach 95 %"
    assert twice.interval is not None
    assert twice.interval[0] < decide(rules, judgements(60), 60).interval[0]  # type: ignore[index]
    assert decide(rules, sent_both_ways(60), 120).verdict == "PASS"


def test_a_prompt_under_two_names_is_one_prompt_to_a_lower_bound() -> None:
    rules = gate(None, 0.95)
    same = {f"good-{i}": f"good-{i % 30}" for i in range(60)}
    assert decide(rules, judgements(60), 60, prompts=same).verdict == "INCONCLUSIVE"


def test_misses_of_one_prompt_fail_no_bound_that_fewer_prompts_leave_open() -> None:
    rules = gate(0, 0.75)
    assert decide(rules, judgements(16, 14), 30).verdict == "FAIL"
    assert decide(rules, sent_both_ways(15, 7), 30).verdict == "INCONCLUSIVE"


def test_result_carries_the_numbers_that_the_reports_show() -> None:
    result = decide(gate(12), judgements(12, 3), 15)
    assert result.interval == binomial.clopper_pearson(12, 15, 0.95)
    assert result.rules_out == binomial.rules_out(3, 15)
    assert result.baseline == {"NVFP4 PTQ": "3/15"}
    assert (result.required, result.expected, result.confidence) == (12, 15, 0.95)
    assert decide(gate(None), [], 15).required == 15
    assert decide(gate(), judgements(0, 0, 15), 15).interval is None
    leak = dataclasses.replace(gate(None), confidence=0.9)
    assert decide(leak, judgements(25), 25).rules_out == pytest.approx(1 - 0.1 ** (1 / 25))


def test_a_sample_that_broke_after_something_was_found_is_still_broken() -> None:
    half = Judgement("no_markdown", "both", (MISS,), "detector markdown could not run")
    result = decide(gate(None), [half], 1)
    assert (result.verdict, result.passed, result.misses, result.broken) == ("ERROR", 0, (), (half,))


@pytest.mark.parametrize(
    ("rules", "given_", "expected"),
    [
        (gate(12), [Judgement("brevity", "a")], 15),
        (gate(12), [Judgement("no_markdown", "a"), Judgement("no_markdown", "a", (MISS,))], 15),
        (gate(12), judgements(16), 15),
        (gate(16), judgements(15), 15),
        (gate(-1), judgements(15), 15),
    ],
)
def test_what_cannot_be_counted_is_refused(rules: Gate, given_: list[Judgement], expected: int) -> None:
    with pytest.raises(ValueError, match="gate no_markdown"):
        decide(rules, given_, expected)


rules_strategy = st.builds(gate, st.one_of(st.none(), st.integers(0, 20)), st.one_of(st.none(), st.floats(0.05, 0.99)))


@settings(deadline=None)
@given(rules_strategy, st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_answering_what_is_open_never_turns_a_decision_round(
    rules: Gate, passed: int, missed: int, broken: int
) -> None:
    """FAIL stays FAIL however the broken and the missing samples turn out, and PASS needs all of them."""
    expected = 20
    if passed + missed + broken > expected:
        return
    verdict = decide(rules, judgements(passed, missed, broken), expected).verdict
    later = [
        decide(rules, judgements(expected - m, m), expected).verdict for m in range(missed, expected - passed + 1)
    ]
    if verdict == "FAIL":
        assert set(later) == {"FAIL"}
    else:
        assert later[0] != "FAIL"
    if verdict == "PASS":
        assert passed + missed == expected
        assert not broken
    if broken:
        assert verdict in ("FAIL", "ERROR")


@settings(deadline=None)
@given(rules_strategy, st.integers(0, 19))
def test_one_more_miss_never_helps(rules: Gate, missed: int) -> None:
    order = ["PASS", "INCONCLUSIVE", "FAIL"]
    before, after = (decide(rules, judgements(20 - m, m), 20).verdict for m in (missed, missed + 1))
    assert order.index(before) <= order.index(after)


def result(verdict: str) -> GateResult:
    return GateResult("g", verdict, 1, 1, 0, 1, 1)  # type: ignore[arg-type]


def test_overall_is_the_worst() -> None:
    for first, second in itertools.product(SEVERITY[1:], repeat=2):
        worse = min(first, second, key=SEVERITY.index)
        assert overall([result(first), result(second)]) == worse
        assert overall([result(first)], [{"verdict": second}]) == worse
    assert SEVERITY == ("REFUSED", "FAIL", "ERROR", "INCONCLUSIVE", "PASS")
    assert worst(["PASS", "INCONCLUSIVE", "ERROR", "FAIL", "REFUSED"]) == "REFUSED"
    assert overall([result("PASS")]) == "PASS"


def test_a_run_that_judged_nothing_is_an_error() -> None:
    assert overall([]) == "ERROR"
    assert overall([], [{"verdict": "PASS"}]) == "PASS"
    assert overall([], [{"verdict": "FAIL"}]) == "FAIL"
    assert worst([]) is None


@settings(deadline=None)
@given(rules_strategy, st.floats(0, 1))
def test_operating_curve_is_the_sum_over_all_outcomes(rules: Gate, rate: float) -> None:
    n = 20
    expected = {"PASS": 0.0, "INCONCLUSIVE": 0.0, "FAIL": 0.0}
    for passed in range(n + 1):
        weight = binomial.binomial_tail(passed, n, rate) - binomial.binomial_tail(passed + 1, n, rate)
        expected[decide(rules, judgements(passed, n - passed), n).verdict] += weight
    (point,) = operating_curve(rules, n, [rate])
    assert (point.passes, point.inconclusive, point.fails) == pytest.approx(tuple(expected.values()), abs=1e-9)


def test_operating_curve_of_the_studys_gates() -> None:
    (half,) = operating_curve(gate(6), 10, [0.5])
    assert half.passes == pytest.approx(0.377, abs=0.001)
    leak = operating_curve(gate(None), 25, [0.95, 0.98])
    assert [round(point.passes, 2) for point in leak] == [0.28, 0.60]
    with pytest.raises(ValueError, match="16 required of 15"):
        operating_curve(gate(16), 15, [0.5])

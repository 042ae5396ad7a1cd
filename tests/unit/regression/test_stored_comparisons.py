"""Whole comparisons of made-up runs: every number, verdict and sentence.

The expected results are in stored_comparisons.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement
from annie_eval.regression import determinism
from annie_eval.regression.compare import compare_gates, compare_run_data, margins, open_ended
from annie_eval.regression.diagnosis import alike, diagnose
from annie_eval.regression.result import EXIT, GatePair, from_dict
from annie_eval.regression.run_data import AnsweredSample, RecordedReply, RunData, _under_load
from annie_eval.regression.timings import LEAST_N, Noise, compare_timings, noise
from annie_eval.run.store import StoredExchange
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("stored_comparisons.json")
MISS = (Finding("markdown", "bold text"),)


def rounded(value: Any) -> Any:
    """Numbers with seven digits, so that another machine's last bits are no difference."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def stored(case: str, value: Any) -> None:
    expect(TABLE, case, json.loads(json.dumps(rounded(value))))


# --- gates ----------------------------------------------------------------------------------------------------------


def judged(outcomes: str, repeats: int = 1, gate: str = "g") -> dict[str, Judgement]:
    """A sample for each letter: p passed, f failed, e broke, - missing; scenarios of so many repeats."""
    found = {}
    for i, outcome in enumerate(outcomes.replace(" ", "")):
        scenario, repeat = divmod(i, repeats)
        key = f"s-{scenario}.unstreamed.off" + (f".{repeat + 1}" if repeat else "")
        if outcome != "-":
            error = "timed out" if outcome == "e" else None
            found[key] = Judgement(gate, key, MISS if outcome == "f" else (), error)
    return found


GATES: dict[str, tuple[list[tuple[str, str, float | None]], int, frozenset[str]]] = {
    "equal": ([("p" * 30, "p" * 30, None)], 1, frozenset()),
    "few": ([("pppp", "pppf", None)], 1, frozenset()),
    "none": ([("", "", None)], 1, frozenset()),
    "nothing in both": ([("pp--", "--pp", None)], 1, frozenset()),
    "worse": ([("p" * 20, "f" * 8 + "p" * 12, None)], 1, frozenset()),
    "worse and better": ([("p" * 10 + "f" * 10, "f" * 9 + "p" * 2 + "f" * 9, None)], 1, frozenset()),
    "better": ([("f" * 10 + "p" * 50, "p" * 60, None)], 1, frozenset()),
    "broken before": ([("eepp" + "p" * 30, "pfpp" + "p" * 30, None)], 1, frozenset()),
    "broken now": ([("p" * 30, "e" + "p" * 29, None)], 1, frozenset()),
    "broken both": ([("ep" + "p" * 30, "ee" + "p" * 30, None)], 1, frozenset()),
    "broken and worse": ([("p" * 20, "ee" + "f" * 10 + "p" * 8, None)], 1, frozenset()),
    "missing": ([("p" * 30, "-" + "p" * 29, None)], 1, frozenset()),
    "missing, without its own samples": ([("p" * 30, "-" + "p" * 29, None)], 1, frozenset({"g0"})),
    "more": ([("p" * 29 + "-", "p" * 30, None)], 1, frozenset()),
    "a repeat missing": ([("p" * 60, "p-" + "p" * 58, None)], 2, frozenset()),
    "a first repeat missing": ([("p" * 60, "-p" + "p" * 58, None)], 2, frozenset()),
    "repeats, some worse": ([("p" * 40, "pf" * 4 + "p" * 32, None)], 2, frozenset()),
    "repeats, all worse": ([("p" * 40, "ff" * 4 + "p" * 32, None)], 2, frozenset()),
    "repeats, one each way": ([("pf" * 3 + "p" * 54, "fp" * 3 + "p" * 54, None)], 2, frozenset()),
    "repeats, half better": ([("ff" * 3 + "p" * 54, "fp" * 3 + "p" * 54, None)], 2, frozenset()),
    "repeats, all better": ([("ff" * 3 + "p" * 54, "pp" * 3 + "p" * 54, None)], 2, frozenset()),
    "a wide margin": ([("p" * 60, "f" * 6 + "p" * 54, 0.3)], 1, frozenset()),
    "a narrow margin": ([("p" * 60, "p" * 60, 0.01)], 1, frozenset()),
    "a margin of 0": ([("p" * 60, "p" * 60, 0.0)], 1, frozenset()),
    "a margin of 1": ([("p" * 60, "p" * 60, 1.0)], 1, frozenset()),
    "two gates": ([("p" * 20, "f" * 5 + "p" * 15, None), ("p" * 20, "f" * 7 + "p" * 13, None)], 1, frozenset()),
    "eight gates": ([("p" * 20, "f" * (i + 1) + "p" * (19 - i), None) for i in range(8)], 1, frozenset()),
}


@pytest.mark.parametrize("case", GATES)
def test_gates_are_compared_as_stored(case: str) -> None:
    rows, repeats, whole = GATES[case]
    before = {f"g{i}": judged(old, repeats, f"g{i}") for i, (old, _, _) in enumerate(rows)}
    now = {f"g{i}": judged(new, repeats, f"g{i}") for i, (_, new, _) in enumerate(rows)}
    given = {f"g{i}": margin for i, (_, _, margin) in enumerate(rows) if margin is not None}
    stored(f"gates: {case}", [asdict(pair) for pair in compare_gates(before, now, given, whole)])


NIGHTS: dict[str, tuple[list[str], int]] = {
    "the first": (["p" * 20, "p" * 20], 1),
    "three equal": (["p" * 20] * 4, 1),
    "slowly worse": (["p" * 20, "f" + "p" * 19, "ff" + "p" * 18, "fff" + "p" * 17, "ffff" + "p" * 16], 1),
    "worse tonight": (["p" * 20] * 3 + ["f" * 9 + "p" * 11], 1),
    "worse and better tonight": (["f" * 3 + "p" * 17] * 3 + ["p" * 3 + "f" * 9 + "p" * 8], 1),
    "broken before": (["e" + "p" * 19] + ["f" + "p" * 19] * 3, 1),
    "broken in one": (["p" * 20, "e" + "p" * 19, "f" + "p" * 19, "f" + "p" * 19], 1),
    "broken tonight": (["p" * 20, "f" + "p" * 19, "e" + "p" * 19], 1),
    "missing in one": (["p" * 20, "-" + "p" * 19, "f" + "p" * 19], 1),
    "new tonight": (["p" * 19 + "-", "p" * 20, "p" * 19 + "f"], 1),
    "repeats": (["p" * 20, "pf" * 3 + "p" * 14, "ff" * 3 + "p" * 14], 2),
    "repeats, one missing": (["p" * 20, "p-" + "p" * 18, "ff" * 3 + "p" * 14], 2),
    "repeats, one each way": (["pf" * 5 + "p" * 10, "fp" * 5 + "p" * 10, "fp" * 5 + "p" * 10], 2),
    "nothing judged": (["", "", ""], 1),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_nights_are_compared_as_stored(case: str) -> None:
    runs, repeats = NIGHTS[case]
    made = [{"g": judged(outcomes, repeats), "h": judged("p" * 10, gate="h")} for outcomes in runs]
    pairs = compare_gates(made[0], made[-1], {}, frozenset(), made[1:-1])
    stored(f"nights: {case}", [asdict(pair) for pair in pairs])


def test_margins_and_open_gates_are_the_profile_s() -> None:
    gates = {
        "a": {"margin": 0.2, "categories": ["*"]},
        "b": {"margin": None, "categories": ["x"]},
        "c": {"margin": 0.0},
    }
    assert margins({"gates": gates}) == {"a": 0.2, "c": 0.0}
    assert open_ended({"gates": gates}) == {"a"}
    assert margins({}) == {}
    assert open_ended({"gates": None}) == frozenset()


# --- timings --------------------------------------------------------------------------------------------------------


def times(middle: float, n: int = 15, spread: float = 0.02, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [middle * (1 + draw.gauss(0, spread)) for _ in range(n)]


TIMINGS: dict[str, tuple[str, Sequence[float], Sequence[float]]] = {
    "equal": ("ttft_short", times(90), times(90, seed=2)),
    "slower": ("ttft_short", times(90), times(180, seed=2)),
    "a little slower": ("ttft_short", times(90), times(100, seed=2)),
    "inaudibly slower": ("ttft_short", times(4), times(8, seed=2)),
    "five milliseconds slower": ("ttft_short", [10.0] * 9, [15.0] * 9),
    "six milliseconds slower": ("ttft_short", [10.0] * 9, [16.0] * 9),
    "faster": ("ttft_short", times(90), times(45, seed=2)),
    "a slower rate": ("decode", times(33), times(20, seed=2)),
    "a faster rate": ("decode", times(33), times(40, seed=2)),
    "noise": ("ttft_short", times(90, spread=0.3), times(95, spread=0.3, seed=2)),
    "under load": ("ttft_under_load", times(90), times(180, seed=2)),
    "a rate under load": ("decode_under_load", times(33), times(20, seed=2)),
    "too few": ("ttft_short", times(90, LEAST_N - 1), times(90, seed=2)),
    "too few now": ("ttft_short", times(90), times(90, LEAST_N - 1, seed=2)),
    "just enough": ("ttft_short", times(90, LEAST_N), times(90, LEAST_N, seed=2)),
    "many": ("ttft_short", times(90, 300), times(90, 200, seed=2)),
    "121": ("ttft_short", times(90, 121), times(90, 122, seed=2)),
    "at the noise": ("ttft_short", [100.0] * 9, [115.0] * 9),
    "at the noise and the margin": ("ttft_short", [100.0] * 9, [126.5] * 9),
    "beyond the noise": ("ttft_short", [100.0] * 9, [115.1] * 9),
}


@pytest.mark.parametrize("case", TIMINGS)
def test_timings_are_compared_as_stored(case: str) -> None:
    row, old, new = TIMINGS[case]
    halves, twice = noise({row: old}, None), noise({row: old}, {row: new})
    found = {
        "of halves": asdict(halves),
        "of two runs": asdict(twice),
        "compared": [asdict(pair) for pair in compare_timings({row: old}, {row: new}, Noise({}, False))],
        "with noise": [asdict(pair) for pair in compare_timings({row: old}, {row: new}, Noise({row: 1.3}, True))],
    }
    stored(f"timings: {case}", found)


def test_a_row_that_one_run_lacks_is_not_compared_and_the_next_is() -> None:
    pairs = compare_timings({"a": times(9), "b": times(9)}, {"b": times(9)}, Noise({}, True))
    assert [pair.name for pair in pairs] == ["b"]


# --- answers --------------------------------------------------------------------------------------------------------


def said(
    content: str | None = "Rome.",
    *,
    reasoning: str | None = None,
    calls: Sequence[tuple[str | None, str | None]] = (),
    ended: str = "stop",
) -> RecordedReply:
    return RecordedReply(content, reasoning, tuple(calls), ended)


Make = Callable[[int], AnsweredSample]


def answered(*replies: RecordedReply, twins: bool = False, **fields: Any) -> Make:
    def make(i: int) -> AnsweredSample:
        stream = "stream" if twins and i % 2 else "unstreamed"
        number = i // 2 if twins else i
        key = f"s-{number}.{stream}.off"
        made = AnsweredSample(key, f"hash {number}", f"tokens {i}", 70, replies or (said(),), ("search", "stop"))
        return replace(made, **fields)

    return make


def samples(n: int, make: Make, some: Mapping[int, Make] | None = None) -> dict[str, AnsweredSample]:
    made = [(some or {}).get(i, make)(i) for i in range(n)]
    return {sample.key: sample for sample in made}


PLAIN, BROKE = answered(), answered(error="HTTP 400: no", replies=())
CALLED = answered(said(None, calls=[("search", "{}")], ended="tool_calls"))
AS_TEXT = answered(said('<tool_call>{"name": "search", "arguments": {}}</tool_call>'))
THINKS = answered(said(reasoning="Hm."))
SPILT = answered(said("<think>Hm.</think>Rome."))
TRAPPED = answered(said(None, reasoning="Rome."))
EMPTY, CUT = answered(said("")), answered(said(ended="length"))
NO_PARSER = answered(error="HTTP 400: tool choice needs --tool-call-parser\nmore", replies=())


def first(n: int, make: Make) -> dict[int, Make]:
    return dict.fromkeys(range(n), make)


def other_tool(name: str, **fields: Any) -> Make:
    return answered(said(None, calls=[(name, "{}")]), **fields)


ANSWERS: dict[str, tuple[dict[str, AnsweredSample], dict[str, AnsweredSample]]] = {
    "equal": (samples(9, PLAIN), samples(9, PLAIN)),
    "other words": (samples(9, PLAIN), samples(9, answered(said("It is Rome.")))),
    "one missing": (samples(9, PLAIN), samples(8, PLAIN)),
    "longer prompts": (samples(9, PLAIN), samples(9, PLAIN, first(3, answered(prompt_tokens=75, prompt="x")))),
    "prompts of the same length": (samples(9, PLAIN), samples(9, PLAIN, first(3, answered(prompt="x")))),
    "other questions": (samples(9, PLAIN), samples(9, answered(asked="x", prompt_tokens=75))),
    "no lengths": (samples(9, PLAIN), samples(9, answered(prompt_tokens=None, prompt="x"))),
    "no lengths before": (samples(9, answered(prompt_tokens=None)), samples(9, answered(prompt="x"))),
    "no prompts": (samples(9, PLAIN), samples(9, answered(prompt=None))),
    "broken": (samples(9, PLAIN), samples(9, PLAIN, first(2, BROKE))),
    "broken before": (samples(9, PLAIN, first(2, BROKE)), samples(9, PLAIN)),
    "broken in two ways": (samples(9, PLAIN), samples(9, PLAIN, {0: BROKE, 1: NO_PARSER, 2: NO_PARSER})),
    "no parser of tools": (samples(9, CALLED), samples(9, NO_PARSER)),
    **{
        f"refused for {cause}": (samples(2, CALLED), samples(2, answered(error=cause, replies=())))
        for cause in ("tool_choice", "auto-tool-choice", "tool-call-parser", "a tool", "auto" + "x" * 300)
    },
    "calls as text": (samples(9, CALLED), samples(9, AS_TEXT)),
    "some calls as text": (samples(9, CALLED), samples(9, CALLED, first(2, AS_TEXT))),
    "one call as text": (samples(9, CALLED), samples(9, CALLED, first(1, AS_TEXT))),
    "one call, as text": (samples(1, CALLED), samples(1, AS_TEXT)),
    "two calls, as text": (samples(2, CALLED), samples(2, AS_TEXT)),
    "calls as text before": (samples(9, AS_TEXT), samples(9, AS_TEXT)),
    "calls as thoughts": (
        samples(9, CALLED),
        samples(9, answered(said("", reasoning='<tool_call>{"name": "search", "arguments": {}}</tool_call>'))),
    ),
    "calls dropped": (samples(9, CALLED), samples(9, PLAIN)),
    "thoughts spilt": (samples(9, THINKS), samples(9, SPILT)),
    "some thoughts spilt": (samples(9, THINKS), samples(9, THINKS, first(2, SPILT))),
    "one thought spilt": (samples(9, THINKS), samples(9, THINKS, first(1, SPILT))),
    "one thought, spilt": (samples(1, THINKS), samples(1, SPILT)),
    "spilt where nothing thought": (samples(9, PLAIN), samples(9, PLAIN, first(2, SPILT))),
    "spilt before": (samples(9, SPILT), samples(9, SPILT)),
    "no thoughts": (samples(20, THINKS), samples(20, PLAIN)),
    "half without thoughts": (samples(20, THINKS), samples(20, THINKS, first(10, PLAIN))),
    "more than half without thoughts": (samples(20, THINKS), samples(20, THINKS, first(11, PLAIN))),
    "two without thoughts": (samples(2, THINKS), samples(2, PLAIN)),
    "trapped": (samples(9, THINKS), samples(9, THINKS, first(2, TRAPPED))),
    "one trapped": (samples(9, THINKS), samples(9, THINKS, first(1, TRAPPED))),
    "a call beside a thought": (
        samples(9, THINKS), samples(9, answered(said(None, reasoning="Hm.", calls=[("search", "{}")])))
    ),
    "renamed": (samples(9, CALLED), samples(9, other_tool("find"))),
    "renamed and offered": (samples(9, CALLED), samples(9, other_tool("find", tools=("find",)))),
    "some renamed": (samples(9, CALLED), samples(9, CALLED, first(2, other_tool("find")))),
    "one renamed": (samples(1, CALLED), samples(1, other_tool("find"))),
    "two renamed": (samples(2, CALLED), samples(2, other_tool("find"))),
    "renamed in two ways": (
        samples(9, CALLED), samples(9, other_tool("find"), first(3, other_tool("look")))
    ),
    "half renamed": (samples(4, CALLED), samples(4, PLAIN, first(2, other_tool("find")))),
    "less than half renamed": (samples(5, CALLED), samples(5, PLAIN, first(2, other_tool("find")))),
    "one spilt where nothing thought": (samples(1, PLAIN), samples(1, SPILT)),
    "swapped": (
        samples(8, CALLED, first(4, other_tool("stop"))), samples(8, other_tool("stop"), first(4, CALLED))
    ),
    "another number of calls": (
        samples(9, CALLED), samples(9, answered(said(None, calls=[("find", "{}"), ("find", "{}")])))
    ),
    "another number of replies": (
        samples(9, CALLED), samples(9, answered(said(None, calls=[("find", "{}")]), said()))
    ),
    "calls without a name": (samples(9, CALLED), samples(9, answered(said(None, calls=[(None, "{}")])))),
    "cut off": (samples(20, PLAIN), samples(20, CUT)),
    "ten cut off": (samples(20, PLAIN), samples(20, PLAIN, first(10, CUT))),
    "nine cut off": (samples(20, PLAIN), samples(20, PLAIN, first(9, CUT))),
    "cut off before": (samples(20, CUT), samples(20, PLAIN)),
    "cut off both ways": (samples(20, PLAIN, first(1, CUT)), samples(20, CUT, first(1, PLAIN))),
    "the last of two is cut off": (
        samples(20, PLAIN), samples(20, answered(said(), said(ended="length")))
    ),
    "the first of two is cut off": (
        samples(20, PLAIN), samples(20, answered(said(ended="length"), said()))
    ),
    "empty": (samples(20, PLAIN), samples(20, EMPTY)),
    "nothing but thoughts": (samples(20, PLAIN), samples(20, TRAPPED)),
    "in two ways": (
        samples(40, answered(twins=True)),
        samples(40, answered(twins=True), {i: answered(said(f"{i}"), twins=True) for i in range(1, 40, 2)}),
    ),
    "in two ways before": (
        samples(40, answered(twins=True), {i: answered(said(f"{i}"), twins=True) for i in range(1, 40, 2)}),
        samples(40, answered(twins=True)),
    ),
    "some in two ways": (
        samples(40, answered(twins=True)),
        samples(40, answered(twins=True), {i: answered(said(f"{i}"), twins=True) for i in range(1, 12, 2)}),
    ),
    "twins without the other": (samples(9, answered(twins=True)), samples(9, answered(twins=True))),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_what_changed_in_the_answers_is_as_stored(case: str) -> None:
    before, now = ANSWERS[case]
    found = {"traces": [asdict(trace) for trace in diagnose(before, now)], "alike": alike(before, now)}
    stored(f"answers: {case}", found)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (None, None),
        (None, {"questions": 3, "distinct": [4, 4, 4]}),
        (None, {"questions": 3, "distinct": [1, 1, 1]}),
        (None, {"questions": 3, "asked": 12, "distinct": [2, 2, 2], "odd": 4}),
        (None, {"questions": 3, "asked": 12, "distinct": [2, 2, 2], "odd": 5}),
        (None, {"questions": 3, "asked": 24, "distinct": [2, 2, 2], "odd": 8}),
        (None, {"questions": 3, "distinct": [2, 3, 2]}),
        (None, {"questions": 3, "distinct": [3, 3, 2]}),
        ({"questions": 3, "distinct": [1, 1, 1]}, {"questions": 3, "distinct": [4, 4, 4]}),
        ({"questions": 3, "distinct": [4, 4, 4]}, {"questions": 3, "distinct": [4, 4, 4]}),
        ({"questions": 3, "distinct": [4, 4, 4]}, None),
    ],
)
def test_a_server_that_samples_is_named_as_stored(before: Any, now: Any) -> None:
    stored(f"determinism: {before} and {now}", determinism.trace(before, now))


# --- whole runs -----------------------------------------------------------------------------------------------------


def run(judgements: Mapping[str, Mapping[str, Judgement]], **fields: Any) -> RunData:
    facts: dict[str, Any] = {"version": "1.0", "profile_snapshot": {"gates": {"g": {"categories": ["a"]}}}}
    made = RunData(
        Path("run"), "run", facts | fields.pop("facts", {}), judgements, fields.pop("heard", samples(9, PLAIN))
    )
    return replace(made, **fields)


BASELINE = {"name": "blessed", "run": "run", "id": "1", "blessed": "2026-11-01"}
GOOD = {"g": judged("p" * 40)}
BAD = {"g": judged("f" * 12 + "p" * 28)}
FAST, SLOWER = {"ttft_short": tuple(times(90))}, {"ttft_short": tuple(times(180, seed=2))}
MANY = {f"gate {i}": judged("p" * 40, gate=f"gate {i}") for i in range(7)}
MANY_BAD = {f"gate {i}": judged("f" * 20 + "p" * 20, gate=f"gate {i}") for i in range(7)}
RUNS: dict[str, tuple[RunData, RunData, Noise]] = {
    "equal": (run(GOOD), run(GOOD), Noise({}, True)),
    "worse": (run(GOOD), run(BAD), Noise({}, True)),
    "better": (run(BAD), run(GOOD), Noise({}, True)),
    "slower": (run(GOOD, timings=FAST), run(GOOD, timings=SLOWER), Noise({}, True)),
    "timings of halves": (run(GOOD, timings=FAST), run(GOOD, timings=FAST), Noise({}, False)),
    "timed before alone": (run(GOOD, timings=FAST), run(GOOD), Noise({}, True)),
    "under load alone": (
        run(GOOD, timings={"ttft_under_load": tuple(times(90))}),
        run(GOOD, timings={"ttft_under_load": tuple(times(180))}),
        Noise({}, False),
    ),
    "five gates worse": (run(MANY), run(MANY_BAD), Noise({}, True)),
    "a gate not judged": (run(GOOD | MANY), run(GOOD), Noise({}, True)),
    "a gate selected and not judged": (
        run(GOOD | MANY), run(GOOD, facts={"selection": {"gates": {"gate 1": 1}}}), Noise({}, True)
    ),
    "no gate in both": (run(GOOD), run(MANY), Noise({}, True)),
    "broken": (run(GOOD), run({"g": judged("e" * 3 + "p" * 37)}), Noise({}, True)),
    "open": (run({"g": judged("pppp")}), run({"g": judged("fppp")}), Noise({}, True)),
    "within the margin": (run(GOOD), run({"g": judged("f" + "p" * 39)}), Noise({}, True)),
    "another version": (run(GOOD), run(GOOD, facts={"version": "2.0"}), Noise({}, True)),
    "other words": (run(GOOD), run(GOOD, heard=samples(9, answered(said("It is Rome.")))), Noise({}, True)),
    "another template": (run(GOOD), run(GOOD, heard=samples(9, answered(prompt_tokens=75))), Noise({}, True)),
    "the same template and other prompts": (
        run(GOOD, facts={"fingerprint": {"chat_template": "a"}}),
        run(GOOD, facts={"fingerprint": {"chat_template": "a"}}, heard=samples(9, answered(prompt_tokens=75))),
        Noise({}, True),
    ),
    "another server": (run(GOOD), run(GOOD, heard=samples(20, CUT)), Noise({}, True)),
    "a server that fails": (
        run(GOOD, heard=samples(20, PLAIN)), run(GOOD, heard=samples(20, CUT)), Noise({}, True)
    ),
    "a server that fails, and a gate": (
        run(GOOD, heard=samples(20, PLAIN)), run(BAD, heard=samples(20, CUT)), Noise({}, True)
    ),
    "a server that samples": (
        run(GOOD), run(GOOD, facts={"steadiness": {"questions": 3, "distinct": [4, 4, 4]}}), Noise({}, True)
    ),
    "another limit": (
        run(GOOD), run(GOOD, facts={"profile_snapshot": {"gates": {"g": {"categories": ["b"]}}}}), Noise({}, True)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNS)
def test_whole_runs_are_compared_as_stored(case: str) -> None:
    before, now, known = RUNS[case]
    found = compare_run_data(before, now, baseline=BASELINE, noise=known)
    stored(f"runs: {case}", asdict(found))
    assert from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_what_an_older_verdict_lacks_has_its_default() -> None:
    fields = dict.fromkeys(("n", "scenarios", "before", "now"), 1) | dict.fromkeys(("p", "adjusted", "p_margin"), 1.0)
    stored("defaults", asdict(GatePair("g", "PASS", worse=(), better=(), margin=0.1, **fields)))
    stored("status", EXIT)


@pytest.mark.parametrize(
    ("reads", "tokens", "told"),
    [
        (((5_000_000, 9), (1_005_000_000, 9)), 9, {"ttft_under_load": (5.0,), "decode_under_load": (8.0,)}),
        (((5_000_000, 9), (1_005_000_000, 9)), 8, {"ttft_under_load": (5.0,), "decode_under_load": (7.0,)}),
        (((5_000_000, 9), (1_005_000_000, 9)), 7, {"ttft_under_load": (5.0,)}),
        (((5_000_000, 9), (1_005_000_000, 9)), None, {"ttft_under_load": (5.0,)}),
        (((5_000_000, 9),), 9, {"ttft_under_load": (5.0,)}),
        ((), 9, {}),
    ],
)
def test_times_under_load_are_those_of_the_reads(reads: Any, tokens: int | None, told: Any) -> None:
    end = {"usage": {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 9}} if tokens else {}
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}
    body = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (chunk, {"choices": [], **end}))
    streamed = StoredExchange(
        request={"stream": True}, status=200, headers=(), body=body + b"data: [DONE]\n\n", reads=reads, turn=0, round=0
    )
    broken = replace(streamed, body=b"data: {\n\n", reads=((5_000_000, 9),) if reads else ())
    whole = replace(streamed, request={"stream": False})
    found = _under_load(Made([whole, streamed]))  # type: ignore[arg-type]
    assert found == told
    if reads:
        assert (
            _under_load(Made([broken, streamed]))[
                "decode_under_load" if "decode_under_load" in told else "ttft_under_load"
            ][-1]
            == (  # type: ignore[arg-type]
                told.get("decode_under_load") or told["ttft_under_load"]
            )[-1]
        )


class Made:
    """A store of answered samples of one exchange each, after one that broke."""

    def __init__(self, exchanges: Sequence[StoredExchange]) -> None:
        self.exchanges = exchanges

    def samples(self) -> list[Any]:
        broke = SimpleNamespace(error="timed out", exchanges=(self.exchanges[-1],))
        return [broke, *(SimpleNamespace(error=None, exchanges=(each,)) for each in self.exchanges)]

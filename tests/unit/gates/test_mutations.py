"""The tests of gates/decide.py can fail: each rule, broken on purpose, is caught by their table."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from annie_eval.gates import decide

TESTS = Path(__file__).with_name("test_gates.py")

# (what stands in gates.py, what it is changed to)
MUTATIONS = [
    ("if passed < required:", "if passed <= required:"),
    ("if passed < required:", "if False:"),
    ("_failure(gate, required, _and_more(judged, expected - n))", "_failure(gate, required, judged)"),
    ("_failure(gate, required, _and_more(judged, expected - n))", "_failure(gate, required, _and_more(judged, n))"),
    ("return [*judged[0], *[1] * more]", "return [*judged[0], *[0] * more]"),
    ("count[0] += one.passed", "count[0] += 1"),
    ("scenario = scenario_of(one.sample)", "scenario = one.sample"),
    ("(prompts or {}).get(scenario, scenario)", "scenario"),
    ("if upper < gate.lower_bound:", "if upper <= 0:"),
    ("if upper < gate.lower_bound:", "if upper > gate.lower_bound:"),
    ("if lower < gate.lower_bound:", "if lower <= 0:"),
    ("if lower < gate.lower_bound:", "if lower > gate.lower_bound:"),
    ("upper = clusters.upper_bound(", "upper = clusters.lower_bound("),
    ("lower = clusters.lower_bound(", "lower = clusters.upper_bound("),
    ("elif broken:", "elif False:"),
    ("    if failure:\n        verdict", "    if failure and not broken:\n        verdict"),
    ("elif n == 0:", "elif n < 0:"),
    ("elif n < expected:", "elif False:"),
    ("elif n < expected:", "elif n <= expected:"),
    ("elif doubt := _doubt(gate, judged):", "elif doubt := '':"),
    ("else gate.required\n    if len(", "else gate.required or expected\n    if len("),
    (
        "required = expected if gate.required is None else gate.required\n    if len(",
        "required = expected\n    if len(",
    ),
    ("if judgement.error is not None)", "if judgement.error is not None and not judgement.findings)"),
    ("if judgement.error is None and judgement.findings)", "if judgement.findings)"),
    ("n = len(judgements) - len(broken)", "n = len(judgements)"),
    ('return result.verdict == "PASS"', 'return result.verdict != "FAIL"'),
    ('return worst(verdicts) or "ERROR"', 'return worst(verdicts) or "PASS"'),
    ('verdicts += [row["verdict"] for row in timings]', "pass"),
    ("elif selected is not None and n < selected:", "elif False:"),
]


@pytest.fixture
def suite() -> Iterator[types.ModuleType]:
    """test_gates.py as a module of its own, whose names can be pointed at broken gates."""
    spec = importlib.util.spec_from_file_location("gates_under_mutation", TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("gates_mutant", None)


def caught(suite: types.ModuleType, source: str) -> bool:
    mutant = types.ModuleType("gates_mutant")
    sys.modules["gates_mutant"] = mutant  # dataclasses look their module up
    exec(compile(source, "gates_mutant", "exec"), mutant.__dict__)
    for name in ("decide", "overall", "tolerates", "GateResult", "operating_curve"):
        setattr(suite, name, getattr(mutant, name))
    plain = [
        lambda: suite.test_a_part_of_a_gate_and_a_run_cut_short_are_no_verdict(("*",)),
        suite.test_the_same_prompt_sent_twice_is_one_prompt_to_a_lower_bound,
        suite.test_a_prompt_under_two_names_is_one_prompt_to_a_lower_bound,
        suite.test_misses_of_one_prompt_fail_no_bound_that_fewer_prompts_leave_open,
        suite.test_a_sample_that_broke_after_something_was_found_is_still_broken,
        suite.test_overall_is_the_worst,
        suite.test_a_run_that_judged_nothing_is_an_error,
    ]
    try:
        for row in suite.TABLE:
            suite.test_verdict(*row)
        for test in plain:
            test()
    except (AssertionError, TypeError, ValueError):
        return True
    return False


def test_intact_gates_are_not_caught(suite: types.ModuleType) -> None:
    assert not caught(suite, Path(decide.__file__).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("intact", "broken"), MUTATIONS, ids=range(len(MUTATIONS)))
def test_broken_rule_is_caught(suite: types.ModuleType, intact: str, broken: str) -> None:
    source = Path(decide.__file__).read_text(encoding="utf-8")
    assert source.count(intact) == 1, f"gates.py has changed: {intact!r} is not there once"
    assert caught(suite, source.replace(intact, broken))

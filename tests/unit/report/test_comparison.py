"""A comparison on a terminal: tables that fit, and of what changed the first ones, each scenario once."""

from __future__ import annotations

from typing import Any

import pytest

from annie_eval.regression.result import Change, GatePair, Regression, TimingPair
from annie_eval.report import regression

SAME = "The shop on the corner opens at seven in the morning and closes in the evening at "
KEYS = tuple(f"s-{n}.{how}.off" for n in range(1, 13) for how in ("stream", "unstreamed"))


def said(text: str) -> tuple[dict[str, Any], ...]:
    return ({"content": text, "finish_reason": "stop"},)


@pytest.fixture
def found() -> Regression:
    """Twelve scenarios, streamed and unstreamed, that all got worse."""
    gates = (GatePair("thinking_leak", "FAIL", 24, 12, 24, 0, KEYS, (), 0.0, 0.0, 0.348, 1.0, nights=3),)
    timings = (
        TimingPair("decode_under_load", "PASS", "tok/s", 99.99, 135.9, 9, 9, 0.7, (0.1, 6.8), 1.2, judged=False),
    )
    flips = {"thinking_leak": [1, 0, 24]}
    changes = tuple(
        Change("thinking_leak", key, "worse", "thinking: tag", said(f"{SAME}six."), said(f"{SAME}<think>"))
        for key in reversed(KEYS)
    )
    return Regression("FAIL", "", {"flips": flips}, gates=gates, timings=timings, changes=changes)


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal_and_keep_their_verdicts(found: Regression, width: int) -> None:
    lines = regression.compared(found, width=width)
    assert max(map(len, lines)) <= width
    assert any(line.startswith("thinking_leak") and "FAIL" in line for line in lines)
    assert any(line.startswith("decode_under_load") and "(not judged)" in line for line in lines)


def test_repeats_stand_under_their_scenario_and_the_rest_is_counted(found: Regression) -> None:
    lines = regression.compared(found, width=80)
    worse = [line for line in lines if line.startswith("worse:")]
    assert worse[0] == "worse: thinking_leak s-1.stream.off and 1 more of it: thinking: tag"
    assert worse[-1] == "worse: thinking_leak s-10.stream.off and 1 more of it: thinking: tag"
    assert lines[-1] == "… 4 more worse: annie-eval compare RUN BASELINE shows all"
    assert sum(line.startswith("worse:") for line in regression.compared(found, width=80, full=True)) == len(KEYS)


def test_both_answers_are_shown_from_where_they_differ(found: Regression) -> None:
    then, now = [line for line in regression.compared(found, width=80) if line.startswith(("  then", "  now"))][:2]
    assert then.endswith("in the evening at six.")
    assert now.endswith("in the evening at <think>")

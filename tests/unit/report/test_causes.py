"""Misses with one common cause are summarised in the first lines; other failures are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annie_eval.detectors import thinking, tool_calls
from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import Gate
from annie_eval.report import markdown, page, terminal
from annie_eval.report.causes import cause_of
from annie_eval.report.samples import Source
from tests.support.make_sample import reply, sample, wants

TEXT = Finding("tool_calls", "dropped call: tool tag '<tool_call>'", "<tool_call>", "content")
AS_TEXT = (TEXT, Finding("tool_calls", "no call of search_memory"))
TAG = (Finding("thinking", "thinking tag '<think>'", "<think>", "content"),)
TRAPPED = (Finding("thinking", "answer trapped in reasoning, content is empty", "So", "reasoning"),)
WHILE_OFF = (Finding("thinking", "reasoning although thinking is off", "So", "reasoning"),)
BOLD = (Finding("markdown", "bold text", "**x**", "content"),)
WRONG = (Finding("tool_calls", "call of get_time, wanted search_memory", "get_time()", "tool_calls"),)


def run(*gates: tuple[str, int | None, dict[str, tuple[Finding, ...]]]) -> RunVerdict:
    """A run by the findings of each gate's samples."""
    results = []
    for name, required, samples in gates:
        judged = [Judgement(name, key, findings) for key, findings in samples.items()]
        results.append(decide(Gate(name, (name,), (name,), required), judged, len(judged)))
    return RunVerdict(overall(results), tuple(results))


def answers(*findings: tuple[Finding, ...], thinking: str = "off") -> dict[str, tuple[Finding, ...]]:
    return {f"s{i}.stream.{thinking}": each for i, each in enumerate(findings)}


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (
            run(("tool_calling", 6, answers(*[AS_TEXT] * 10))),
            "all 10 samples that missed a failed gate have a tool call",
        ),
        (
            run(("tool_calling", 3, answers(*[AS_TEXT] * 4)), ("markdown", None, answers(*[BOLD] * 4))),
            "all 4 samples that missed a failed gate have a tool call as text",
        ),
        (run(("thinking", None, answers(TAG, TRAPPED, (), thinking="unset"))), "default is thinking"),
        (
            run(("thinking", None, {**answers(TAG, TAG, thinking="unset"), **answers((), ())})),
            "all 2 samples that missed a failed gate were sent without a switch",
        ),
        (run(("thinking", None, answers(WHILE_OFF, WHILE_OFF))), "does not know the switch"),
        (
            run(("tool_calling", 2, answers(AS_TEXT, AS_TEXT)), ("brevity", 1, answers(BOLD, (), ()))),
            "have a tool call as text",
        ),
    ],
    ids=["no-parser", "other-gates-of-the-same-samples", "unset", "unset-alone", "switch-unknown", "tolerated"],
)
def test_one_cause_is_said(verdict: RunVerdict, said: str) -> None:
    cause = cause_of(verdict)
    assert cause is not None
    assert said in cause
    assert terminal.lines(verdict, color=False, width=100, piped=True)[0] == cause
    assert terminal.lines(verdict, color=False, width=60)[0].startswith("one cause: all ")
    body = page.page(verdict, Source([], {}.get, ())).partition("<body>")[2]
    assert body.index("one cause: ") < body.index('class="verdict"')
    assert markdown.page(verdict).splitlines()[2].startswith("one cause: ")


@pytest.mark.parametrize(
    "verdict",
    [
        run(("tool_calling", 6, answers(*[AS_TEXT] * 9, WRONG))),
        run(("tool_calling", None, answers(*[AS_TEXT] * 3, *[()] * 7))),
        run(("tool_calling", 6, answers(*[(*AS_TEXT, *WRONG)] * 10))),
        run(("tool_calling", None, answers(AS_TEXT))),
        run(("tool_calling", 0, answers(*[AS_TEXT] * 10))),
        run(("thinking", None, {**answers(TAG, TAG, thinking="unset"), **answers((), (), TAG)})),
        run(("thinking", None, answers(TAG, TAG, thinking="unset")), ("markdown", None, {"m.stream.off": BOLD})),
        run(("thinking", None, answers(WHILE_OFF, TAG))),
        run(("markdown", None, answers(BOLD, BOLD, thinking="unset"))),
        replace(run(("tool_calling", 6, answers(*[AS_TEXT] * 10))), regression={"headline": "FAIL"}),
    ],
    ids=[
        *("another-miss", "a-parser-that-reads-most", "calls-on-both-channels", "one-scenario", "all-tolerated"),
        *("off-too", "another-gate", "two-causes", "unset-without-thinking", "a-comparison-says-it"),
    ],
)
def test_what_has_no_one_cause_is_given_none(verdict: RunVerdict) -> None:
    assert cause_of(verdict) is None


def test_the_words_are_those_of_the_detectors() -> None:
    """A cause is read off the detectors' own findings."""
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    text = tool_calls.find(sample(reply(call, wanted=[wants("get_weather")])))
    off = thinking.find(sample(reply("Fine.", reasoning="The user greets me.")))
    tag = thinking.find(sample(reply("<think>The user greets me.</think>Fine."), thinking="unset"))
    for gate, found, how, said in (
        ("tool_calling", text, "off", "no tool parser"),
        ("thinking", off, "off", "does not know the switch"),
        ("thinking", tag, "unset", "default is thinking"),
    ):
        assert said in (cause_of(run((gate, None, answers(found, found, thinking=how)))) or "")

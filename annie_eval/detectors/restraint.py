"""Checks that an answer has no tool call if none is wanted, not even one written as text, and is not empty."""

from __future__ import annotations

from dataclasses import replace

from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.tool_calls import dropped_call
from annie_eval.text import is_blank, tool_name
from annie_eval.wire.sample import Sample


def find(sample: Sample) -> tuple[Finding, ...]:
    """Return calls, calls as text and empty answers of each exchange whose `expect.calls` is empty."""
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        if exchange.expect.calls != ():
            continue
        answer = exchange.answer
        for call in answer.tool_calls:
            text = call.arguments or ""
            shown = f"{call.name or ''}({text})"
            reason = f"called {tool_name(call.name)} where no tool is needed"
            shown = excerpt(shown, 0)
            findings.append(Finding("restraint", reason, shown, "tool_calls", index, (0, len(text))))
        findings += [replace(found, detector="restraint") for found in dropped_call(sample, index, exchange)]
        if is_blank(answer.content) and not exchange.expect.truncated:
            findings.append(Finding("restraint", "no answer is spoken", "", None, index))
    return tuple(findings)

"""Finds empty answers: HTTP 200 with neither text nor a tool call."""

from __future__ import annotations

from annie_eval.detectors.finding import Finding
from annie_eval.text import is_blank
from annie_eval.wire.sample import Sample


def find(sample: Sample) -> tuple[Finding, ...]:
    """Return each exchange without visible content and without a tool call.

    White space and zero-width characters do not count as content. Reasoning alone does not count either, unless
    max_tokens cut it off and thinking was not switched off.
    """
    findings: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        answer = exchange.answer
        if not is_blank(answer.content) or answer.tool_calls:
            continue
        thought = not is_blank(answer.reasoning)
        if thought and answer.finish_reason == "length" and sample.variant.thinking != "off":
            continue
        reason = "only reasoning, nothing said" if thought else "empty answer"
        shown = repr(answer.content)[:160] if answer.content is not None else "content is null"
        span = None if answer.content is None else (0, len(answer.content))
        findings.append(Finding("silence", reason, shown, "content", index, span))
    return tuple(findings)

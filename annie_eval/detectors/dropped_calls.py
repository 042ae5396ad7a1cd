"""Finds dropped calls: tool calls written as text in content or reasoning, whatever calls the scenario expects."""

from __future__ import annotations

from dataclasses import replace

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.tool_calls import dropped_call
from annie_eval.wire.sample import Sample


def find(sample: Sample) -> tuple[Finding, ...]:
    """Return each call written as text, in order of the exchanges."""
    return tuple(
        replace(found, detector="dropped_calls")
        for index, exchange in enumerate(sample.exchanges)
        for found in dropped_call(sample, index, exchange)
    )

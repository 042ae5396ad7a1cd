"""Fixtures of the timing tests: servers of known timing, and plans to measure them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from annie_eval.timing import Plan
from tests.servers.truth_server import Truth, serve

LIMITS = {
    "ttft_short_ms": 120,
    "ttft_slope_ms_per_1k": 240,
    "ttft_quadratic_share": 0.15,
    "warm_slope_us_per_token": 2,
    "warm_ratio": 1.25,
    "decode_tok_s": 25,
    "decode_flat_ratio": 0.9,
    "itl_p95_ms": 60,
    "stall_ms": 500,
    "stalled_share": 0.1,
    "tool_call_ms": 2500,
    "goodput_share": 0.9,
    "goodput_ttft_ms": 500,
    "goodput_decode_tok_s": 12,
}
SHORT = {"messages": [{"role": "system", "content": "You are Annie."}, {"role": "user", "content": "Hello!"}]}
TOOL = {
    "messages": [{"role": "user", "content": "Remember that I like tea."}],
    "tools": [{"type": "function", "function": {"name": "remember", "parameters": {"type": "object"}}}],
}


def plan(base_url: str, *rows: str, **changes: Any) -> Plan:
    """A plan for a truth server with the study's limits."""
    made = Plan(
        base_url=base_url,
        served_model=None,
        rows=rows,
        short=SHORT,
        tool=TOOL,
        hardware="dgx-spark",
        limits=LIMITS,
        contexts=(512, 1024, 2048),
        quiet_wait=2.0,
        timeout=20.0,
    )
    return replace(made, **changes)


@pytest.fixture
def truth() -> Iterator[Callable[..., str]]:
    """Start a truth server; its process ends with the test."""
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(serve(Truth(**how)))


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    return plan

"""Replies of a real server: vLLM 0.32 with SmolLM2-135M, `--reasoning-parser qwen3 --tool-call-parser hermes`.

Each request was sent streamed (.sse) and whole (.json), greedily, alone on the server, with `return_token_ids`:
`plain` with thinking off, `think` with thinking on, `required` with `tool_choice: required`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from annie_eval.detectors.parity import compare_transports
from annie_eval.detectors.wire import find
from annie_eval.wire import parse
from annie_eval.wire.sample import Sample

RECORDED = Path(__file__).parent / "recorded"
NAMES = ["plain", "required", "think"]


def read(name: str, *, streamed: bool) -> bytes:
    return (RECORDED / f"{name}.{'sse' if streamed else 'json'}").read_bytes()


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_real_reply_keeps_the_protocol(name: str, streamed: bool, sample: Callable[..., Sample]) -> None:
    assert find(sample(read(name, streamed=streamed), streamed=streamed)) == ()


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_say_the_same(name: str, sample: Callable[..., Sample]) -> None:
    streamed, whole = (sample(read(name, streamed=s), streamed=s) for s in (True, False))
    assert streamed.exchanges[0].answer.token_ids == whole.exchanges[0].answer.token_ids
    assert compare_transports(streamed, whole) == ()


def test_the_channels_are_those_that_were_sent() -> None:
    plain, think = (parse.parse(read(name, streamed=True), streamed=True) for name in ("plain", "think"))
    assert plain.content == "\nThe capital of France is Paris."
    assert plain.reasoning is None
    assert (think.content, think.reasoning) == ("", "\nThe capital of France is Paris.")
    assert think.usage is not None
    assert (think.usage.prompt_tokens, think.usage.completion_tokens, think.usage.reasoning_tokens) == (41, 9, 8)
    (call,) = parse.parse(read("required", streamed=True), streamed=True).tool_calls
    assert (call.name, call.index) == ("search_memory", 0)

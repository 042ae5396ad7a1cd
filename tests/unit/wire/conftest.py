"""Fixtures of the wire tests: response bodies of servers, and samples from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest

from annie_eval.profile.types import Expect, Limits, Scenario, Turn, Variant
from annie_eval.wire import parse
from annie_eval.wire.sample import Exchange, Sample

HEADERS = {True: "text/event-stream; charset=utf-8", False: "application/json"}


class Bodies:
    """Builds response bodies out of deltas and messages, in the shape that vLLM 0.32 gives them."""

    usage: ClassVar[dict[str, int]] = {"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3}

    def chunk(self, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason} | extra
        return self.envelope([choice])

    def envelope(self, choices: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "m",
            "choices": choices,
        } | extra

    def sse(self, chunks: Sequence[dict[str, Any]], *, done: bool = True) -> bytes:
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return "".join([*lines, "data: [DONE]\n\n"] if done else lines).encode()

    def chunks(self, *deltas: dict[str, Any], finish_reason: str = "stop") -> list[dict[str, Any]]:
        """A clean stream's chunks: role, the deltas, the finish_reason, usage."""
        return [
            self.chunk({"role": "assistant", "content": ""}),
            *[self.chunk(delta) for delta in deltas],
            self.chunk({}, finish_reason),
            self.envelope([], usage=self.usage),
        ]

    def stream(self, *deltas: dict[str, Any], finish_reason: str = "stop") -> bytes:
        return self.sse(self.chunks(*deltas, finish_reason=finish_reason))

    def whole(self, message: dict[str, Any], finish_reason: str | None = "stop", **extra: Any) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant"} | message, "finish_reason": finish_reason} | extra
        return json.dumps(self.envelope([choice], object="chat.completion", usage=self.usage)).encode()


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """A one-turn sample made of a body."""

    def build(
        body: bytes,
        *,
        streamed: bool = True,
        topic: tuple[str, ...] = (),
        content_type: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> Sample:
        request: dict[str, Any] = {"stream": streamed, "messages": [{"role": "user", "content": "Hello."}]}
        request |= more or {}
        if streamed:
            request["stream_options"] = {"include_usage": True}
        exchange = Exchange(
            request,
            200,
            (("content-type", content_type or HEADERS[streamed]),),
            body,
            ((1, len(body)),),
            parse.parse(body, streamed=streamed),
            Expect(topic=topic),
        )
        scenario = Scenario("hello", "greeting", (Turn("Hello."),))
        return Sample("hello.stream.off", scenario, Variant(streamed), (exchange,), {}, Limits())

    return build

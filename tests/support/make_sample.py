"""Builds samples for tests from parsed channels, without response bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.profile.types import (
    AnswerExpectation,
    CallExpectation,
    Expect,
    Limits,
    Scenario,
    Thinking,
    Turn,
    Variant,
)
from annie_eval.wire.sample import Answer, Exchange, Sample, ToolCall, Usage

TOOLS: dict[str, dict[str, Any]] = {
    "search_memory": {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
        "required": ["query"],
    },
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "add_event": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "when": {"type": "object", "properties": {"date": {"type": "string"}, "time": {"type": "string"}}},
            "guests": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["title"],
    },
    "stop": {},
}


def call(name: str | None, arguments: Any = None, *, id: str | None = "unique") -> ToolCall:
    """A tool call. `arguments` other than text become JSON; by default the id is derived from the call."""
    text = arguments if isinstance(arguments, str) or arguments is None else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call-{name}-{text}" if id == "unique" else id, name, text)


def wants(name: str, *, optional: bool = False, **arguments: Any) -> CallExpectation:
    """An expected call: `wants("get_weather", city="Paris")`."""
    return CallExpectation(name, arguments, optional)


def reply(
    content: str | None = "Hello there.",
    *,
    reasoning: str | None = None,
    calls: Sequence[ToolCall] = (),
    finish_reason: str | None = None,
    user: str = "Hello.",
    expect: Expect | None = None,
    wanted: Sequence[CallExpectation] | None = None,
    answer: AnswerExpectation | None = None,
    topic: Sequence[str] = (),
    truncated: bool = False,
    max_sentences: int | None = None,
    tokens: int = 20,
    max_tokens: int = 256,
    request: Mapping[str, Any] | None = None,
    turn: int = 0,
    round: int = 0,
) -> Exchange:
    """One exchange: the user's message, the reply, and the expectation (`expect`, or its parts).

    With calls and no content, the content is null, like on servers; the default `finish_reason` matches the reply.
    """
    if calls and content == "Hello there.":
        content = None
    expect = expect or Expect(
        calls=None if wanted is None else tuple(wanted),
        answer=answer,
        topic=tuple(topic),
        max_sentences=max_sentences,
        truncated=truncated,
    )
    body = {"model": "m", "messages": [{"role": "user", "content": user}], "max_tokens": max_tokens}
    return Exchange(
        request=body | dict(request or {}),
        status=200,
        headers=(),
        body=b"",
        reads=(),
        answer=Answer(
            content=content,
            reasoning=reasoning,
            tool_calls=tuple(calls),
            finish_reason=finish_reason or ("tool_calls" if calls else "stop"),
            usage=Usage(10, tokens),
        ),
        expect=expect,
        turn=turn,
        round=round,
    )


def sample(
    *exchanges: Exchange,
    thinking: Thinking = "off",
    stream: bool = True,
    tools: Mapping[str, Mapping[str, Any]] = TOOLS,
    limits: Limits | None = None,
    language: str = "en",
) -> Sample:
    """A sample of these exchanges, with a matching scenario."""
    turns = tuple(Turn(user="Hello.", expect=exchange.expect) for exchange in exchanges if exchange.round == 0)
    scenario = Scenario(id="made", category="made", turns=turns, language=language)
    return Sample("made", scenario, Variant(stream, thinking), exchanges, tools, limits or Limits())

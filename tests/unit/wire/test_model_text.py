"""Our own parsers: the channels of what a model wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annie_eval.wire.model_text import read
from annie_eval.wire.sample import Answer

TOOLS = {"set_timer": {"properties": {"minutes": {"type": "integer"}, "label": {"type": "string"}}}}
HERMES = '<tool_call>\n{"name": "set_timer", "arguments": {"minutes": 5, "label": "tea"}}\n</tool_call>'
XML = (
    "<tool_call>\n<function=set_timer>\n<parameter=minutes>\n5\n</parameter>\n<parameter=label>\ntea\n</parameter>\n"
    "</function>\n</tool_call>"
)


def parsed(text: str, *, thinks: bool = True, thinking: bool = False, finish: str = "stop") -> Answer:
    heard = Answer(content="as the server read it", finish_reason=finish, token_ids=(1, 2))
    return read(text, heard, TOOLS, thinks=thinks, thinking=thinking)


def calls(answer: Answer) -> list[tuple[str | None, Any]]:
    return [(call.name, json.loads(call.arguments or "")) for call in answer.tool_calls]


@pytest.mark.parametrize("text", [HERMES, XML, f"\n{HERMES}\n", HERMES.removesuffix("\n</tool_call>")])
def test_a_call_in_either_form(text: str) -> None:
    answer = parsed(text)
    assert calls(answer) == [("set_timer", {"minutes": 5, "label": "tea"})]
    assert (answer.content, answer.finish_reason, answer.token_ids) == (None, "tool_calls", (1, 2))


def test_two_calls_and_what_was_said_before_them() -> None:
    answer = parsed(f"One moment.\n{HERMES}\n{HERMES}")
    assert len(calls(answer)) == 2
    assert answer.content == "One moment."


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "set_timer", "arguments": {"minutes": 5}}',
        '<tool_call>{"name": "set_timer", "arguments": {"minutes": 5}</tool_call>',
        "<tool_call>set a timer</tool_call>",
        '<tool_call>{"arguments": {}}</tool_call>',
        f"{HERMES}<tool_call>and so on</tool_call>",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    answer = parsed(text, finish="tool_calls")
    assert (answer.tool_calls, answer.content, answer.finish_reason) == ((), text, "stop")


@pytest.mark.parametrize(
    ("text", "thinking", "reasoning", "content"),
    [
        ("Hello.", False, None, "Hello."),
        ("I greet.\n</think>\n\nHello.", True, "I greet.", "Hello."),
        ("<think>\nI greet.\n</think>\n\nHello.", False, "I greet.", "Hello."),
        ("I greet and greet", True, "I greet and greet", None),
        ("<think>\n\n</think>\n\nHello.", False, None, "Hello."),
    ],
)
def test_thinking_ends_at_its_tag(text: str, thinking: bool, reasoning: str | None, content: str | None) -> None:
    answer = parsed(text, thinking=thinking)
    assert (answer.reasoning, answer.content) == (reasoning, content)


def test_a_server_without_a_reasoning_parser_leaves_thinking_in_the_text() -> None:
    assert parsed("I greet.</think>Hello.", thinks=False).content == "I greet.</think>Hello."


def test_a_call_within_thinking_is_a_thought() -> None:
    assert parsed(f"<think>{HERMES}</think>Hello.").tool_calls == ()


def test_without_tools_nothing_is_a_call() -> None:
    assert read(HERMES, Answer(), {}, thinks=True, thinking=False).content == HERMES

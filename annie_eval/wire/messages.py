"""Turns a conversation in OpenAI's format into a sample, so that detectors can judge stored answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.load import read_scenario
from annie_eval.profile.types import Profile, Variant
from annie_eval.wire.sample import Answer, Exchange, Sample, ToolCall


def read_sample(line: Mapping[str, Any], profile: Profile, where: str) -> tuple[Sample, list[int]]:
    """The sample of a line, and for each of its exchanges the index of the judged message.

    Raises UsageError that names the field.
    """
    messages = line.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise UsageError(f"{where}: messages is no list of objects; write OpenAI messages")
    asked = max((index for index, one in enumerate(messages) if one.get("role") == "user"), default=-1)
    places = [i for i, one in enumerate(messages) if i > asked and one.get("role") == "assistant"]
    if asked < 0 or not places:
        raise UsageError(
            f"{where}: messages holds no assistant message after a user message; there is nothing to judge"
        )
    thinking = line.get("thinking", "off")
    if thinking not in ("on", "off", "unset"):
        raise UsageError(f"{where}: thinking is {thinking!r}; write on, off or unset")
    prompt = messages[asked].get("content")
    scenario = read_scenario(
        {
            "id": "check",
            "category": "check",
            "prompt": prompt if isinstance(prompt, str) and prompt else "?",
            "expect": line.get("expect", {}),
            # The content of tool results does not matter here, but only with a result there is a reply to judge by
            # `then`.
            **({"tool_results": dict.fromkeys(profile.tools, "…")} if "then" in line else {}),
            **({"then": line["then"]} if "then" in line else {}),
        },
        profile,
        where,
    )
    ends = line.get("finish_reasons", [])
    if not isinstance(ends, list) or len(ends) not in (0, len(places)):
        raise UsageError(f"{where}: finish_reasons has not one entry for each of {len(places)} judged messages")
    turn = scenario.turns[0]
    exchanges = []
    for round_, place in enumerate(places):
        answer = _answer(messages[place], ends[round_] if ends else None, f"{where}: messages.{place}")
        system = {"role": "system", "content": profile.system_prompt}
        request = {"messages": [system, *messages[:place]], "tools": list(profile.tools.values())}
        expect = turn.then if round_ else turn.expect
        exchanges.append(Exchange(request, 200, (), b"", (), answer, expect, 0, round_))
    schemas = {name: tool["function"].get("parameters", {}) for name, tool in profile.tools.items()}
    variant = Variant(stream=False, thinking=thinking)
    key = str(line.get("id", ""))
    return Sample(key, scenario, variant, tuple(exchanges), schemas, profile.limits, profile.speech), places


def _answer(message: Mapping[str, Any], end: Any, where: str) -> Answer:
    """The channels of an assistant message. Raises UsageError for an invalid message."""
    content = message.get("content")
    reasoning = message.get("reasoning", message.get("reasoning_content"))
    raw_calls = message.get("tool_calls") or []
    if not isinstance(content, str | None) or not isinstance(reasoning, str | None):
        raise UsageError(f"{where}: content and reasoning must be text or null")
    if not isinstance(raw_calls, list) or not all(isinstance(call, dict) for call in raw_calls):
        raise UsageError(f"{where}: tool_calls is no list of objects")
    calls = tuple(_calls(raw_calls, where))
    if end is None:
        end = "tool_calls" if calls else "stop"
    return Answer(content, reasoning, calls, str(end))


def _calls(raw: Sequence[Mapping[str, Any]], where: str) -> Iterator[ToolCall]:
    for index, call in enumerate(raw):
        function = call.get("function")
        if not isinstance(function, dict):
            raise UsageError(f"{where}: tool_calls.{index} has no function")
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        yield ToolCall(call.get("id"), function.get("name"), arguments, index)

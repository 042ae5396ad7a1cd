"""Parses a model's text into channels with our own parsers, for comparison with the server's parsers.

Nothing is repaired. Thinking ends at `</think>`. A call stands between `<tool_call>` and `</tool_call>`, as JSON
(Hermes, Qwen3) or as `<function=NAME>` with `<parameter=NAME>` (Qwen3-Coder, Qwen3.5). Sources: the chat templates of
Qwen3, Qwen3-Coder and Hermes 2 Pro.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from annie_eval.strict_json import strict_json
from annie_eval.wire.sample import Answer, ToolCall

KNOWN: frozenset[str | None] = frozenset({None, "hermes", "qwen3_coder", "qwen3_xml"})
"""vLLM's names of the tool parsers whose formats are read here; None is a server without one."""
_END = "</think>"
_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>(.*)</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)


def read(text: str, heard: Answer, tools: Mapping[str, Mapping[str, Any]], *, thinks: bool, thinking: bool) -> Answer:
    """The channels of an answer, from its text without the end-of-turn token.

    Args:
        heard: the answer as the server parsed it; all but its channels is kept.
        tools: JSON Schema of the parameters by name of the tools that were offered: XML has no types of its own.
        thinks: the server splits thinking off.
        thinking: thinking was asked for, so that text without an end of thinking is all thought.
    """
    reasoning: str | None = None
    if thinks:
        thought, end, rest = text.partition(_END)
        opened = text.lstrip().startswith("<think>")
        if end or opened or thinking:
            reasoning, text = thought.replace("<think>", "", 1).strip() or None, rest if end else ""
    found = calls(text, tools) if tools else ()
    content = text.partition("<tool_call>")[0] if found else text
    ending = heard.finish_reason
    if found and ending == "stop":
        ending = "tool_calls"
    elif not found and ending == "tool_calls":
        ending = "stop"
    return replace(heard, content=content.strip() or None, reasoning=reasoning, tool_calls=found, finish_reason=ending)


def calls(text: str, tools: Mapping[str, Mapping[str, Any]]) -> tuple[ToolCall, ...]:
    """The calls of a text; none where one of them cannot be read, as with vLLM's parsers."""
    found = []
    for index, match in enumerate(_CALL.finditer(text)):
        call = _xml(match.group(1), tools) or _json(match.group(1))
        if call is None:
            return ()
        found.append(ToolCall(f"call-{index}", *call, index))
    return tuple(found)


def _json(body: str) -> tuple[str, str] | None:
    try:
        call = strict_json(body)
        name, arguments = call["name"], call.get("arguments", {})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return (name, json.dumps(arguments, ensure_ascii=False)) if isinstance(name, str) else None


def _xml(body: str, tools: Mapping[str, Mapping[str, Any]]) -> tuple[str, str] | None:
    match = _FUNCTION.fullmatch(body)
    if match is None:
        return None
    name = match.group(1).strip()
    properties = tools.get(name, {}).get("properties", {})
    arguments = {
        key.strip(): _value(text, properties.get(key.strip(), {})) for key, text in _PARAMETER.findall(match.group(2))
    }
    return name, json.dumps(arguments, ensure_ascii=False)


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    if schema.get("type", "string") == "string":
        return text
    try:
        return strict_json(text)
    except ValueError:
        return text

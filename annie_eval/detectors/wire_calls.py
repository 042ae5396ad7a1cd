"""Finds tool calls that a server's parser garbled: changed names, markup in arguments, missing arguments.

A model that calls another tool than the wanted one, or leaves an argument out, makes its own mistake, which a gate may
forgive a few times. Letters lost from an offered name, `</parameter>` in an argument, or `{}` for one of several
parallel calls are a parser's work: it may strike few calls, and training fixes none of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from annie_eval.detectors.argument_text import MARKUP
from annie_eval.wire.sample import Exchange, ToolCall

_NAME = re.compile(r"[\w.:/@-]+")  # OpenAI allows letters, digits, _ and -; servers of MCP tools also . : / @
# What a parser has to cut off: `functions.look_up:0`.
_ADDRESS = re.compile(r"\A(?:functions?|tools?|default_api|assistant)[.:/]|[:#]\d{1,3}\Z")
_SLIPPED = 3  # letters that a parser loses or adds at most

Breach = tuple[str, Any]


def call_breaches(exchange: Exchange) -> Iterator[Breach]:
    """(reason, what shows it) of calls that no model wrote so."""
    calls = exchange.answer.tool_calls
    offered = _offered(exchange.request)
    for call in calls:
        if call.name and call.name not in offered and (why := _mangled(call.name, offered)):
            yield why, call.name
        if markup := MARKUP.search(call.arguments or ""):
            yield "markup of the tool call in its arguments", markup.group()
        if why := _joined(call.arguments or ""):
            yield why, call.arguments
    if any(_given(call) for call in calls):
        for call in calls:
            required = offered.get(call.name or "", {}).get("required")
            if required and not _given(call):
                yield "one of parallel calls comes without arguments", [call.name, call.arguments]


def _offered(request: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """JSON Schema of the parameters by name of the tools in a request."""
    tools = request.get("tools")
    functions = [tool.get("function") or {} for tool in tools or () if isinstance(tool, Mapping)]
    return {function.get("name", ""): function.get("parameters") or {} for function in functions}


def _given(call: ToolCall) -> bool:
    """Whether a call has any argument."""
    try:
        return bool(json.loads(call.arguments or ""))
    except (ValueError, RecursionError):
        return bool((call.arguments or "").strip())


def _joined(arguments: str) -> str | None:
    """Why arguments are those of two calls in one, or JSON once more in a JSON string; None if they are not."""
    try:
        value, end = json.JSONDecoder().raw_decode(arguments.strip())
        if isinstance(value, str) and isinstance(json.loads(value), dict):
            return "the arguments of a tool call are a JSON string that holds JSON"
        more = arguments.strip()[end:].lstrip(" ,;\n")
        if isinstance(value, dict) and more and isinstance(json.loads(more), dict):
            return "the arguments of two tool calls are in one"
    except (ValueError, RecursionError):
        return None
    return None


def _mangled(name: str, offered: Mapping[str, Any]) -> str | None:
    """Why a name is an offered one that was garbled; None if it is another name."""
    if not _NAME.fullmatch(name):
        return "the name of a tool call has characters that no tool's name has"
    if _ADDRESS.sub("", name) in offered:
        return "the name of a tool call has its address around it"
    if any(name.startswith(whole) and name[len(whole) :] in offered and name != 2 * whole for whole in offered):
        return "the names of two tool calls are in one"
    for whole in offered:
        longer, shorter = (name, whole) if len(name) > len(whole) else (whole, name)
        lost = len(longer) - len(shorter)
        if whole and name == whole * (len(name) // len(whole)):
            return "the name of a tool call comes twice"
        if 0 < lost <= min(_SLIPPED, len(whole) // 2) and _within(shorter, longer):
            return f"the name of a tool call has letters {'too many' if longer == name else 'missing'}"
    return None


def _within(shorter: str, longer: str) -> bool:
    """Whether a text is the other with letters left out."""
    rest = iter(longer)
    return all(letter in rest for letter in shorter)

"""One stored exchange as text: messages, tools, raw body by socket read, channels. Does no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.run.store import StoredExchange
from annie_eval.text import printable

_SHOWN_APART = {"messages", "tools"}


def settings(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each field of the request body except messages and tools, as JSON."""
    return [(name, _compact(value)) for name, value in request.items() if name not in _SHOWN_APART]


def messages(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (role, text) of each message as it was sent; the text may have several lines."""
    told = []
    for message in request.get("messages", ()):
        who = str(message.get("role", "?"))
        if message.get("tool_call_id") is not None:
            who += f" ({message['tool_call_id']})"
        content = message.get("content")
        text = content if isinstance(content, str) else "" if content is None else _compact(content)
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            line = f"calls {function.get('name')}({function.get('arguments')}) ({call.get('id')})"
            text = f"{text}\n{line}" if text else line
        told.append((who, text))
    return told


def tools(request: Mapping[str, Any]) -> list[str]:
    """Return the offered tools, each as a signature: `web_search(query: string, limit?: integer)`."""
    signatures = []
    for tool in request.get("tools", ()):
        function = tool.get("function", {})
        parameters = function.get("parameters") or {}
        required = parameters.get("required") or ()
        arguments = [
            f"{name}{'' if name in required else '?'}: {_type(schema)}"
            for name, schema in (parameters.get("properties") or {}).items()
        ]
        signatures.append(f"{function.get('name')}({', '.join(arguments)})")
    return signatures


def _type(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema:
        return " | ".join(_compact(value) for value in schema["enum"])
    return _compact(schema["type"]).strip('"') if "type" in schema else "any"


def reads(exchange: StoredExchange) -> list[tuple[float | None, bytes]]:
    """(milliseconds since the request was written, bytes) of each socket read, in order of arrival.

    The time is None for bytes that belong to no recorded read.
    """
    parts: list[tuple[float | None, bytes]] = []
    at = 0
    for nanoseconds, size in exchange.reads:
        parts.append((nanoseconds / 1e6, exchange.body[at : at + size]))
        at += size
    if at < len(exchange.body):
        parts.append((None, exchange.body[at:]))
    return parts


def block(text: str) -> list[str]:
    """Return the lines of a text, each safe to print."""
    return [printable(line) for line in text.split("\n")]


def body_lines(parts: Iterable[tuple[float | None, bytes]]) -> list[str]:
    """Return the raw body, each read with its time. Bytes that are not UTF-8 and control characters are escaped."""
    shown = []
    for milliseconds, data in parts:
        stamp = " " * 9 + "?" if milliseconds is None else f"{milliseconds:7.1f} ms"
        lines = block(data.decode("utf-8", "backslashreplace"))
        if len(lines) > 1 and not lines[-1]:
            lines.pop()
        for i, line in enumerate(lines):
            shown.append(f"{stamp if i == 0 else ' ' * len(stamp)} | {line}".rstrip())
    return shown


def channels(exchange: StoredExchange) -> list[tuple[str, str]]:
    """Return (channel, text) as the gate parsed the body; one entry `unreadable` if it could not."""
    from annie_eval.wire import parse

    try:
        answer = parse.parse(exchange.body, streamed=bool(exchange.request.get("stream")))
    except ExchangeError as error:
        return [("unreadable", str(error))]
    found = [("content", _text(answer.content)), ("reasoning", _text(answer.reasoning))]
    for call in answer.tool_calls:
        found.append((f"tool_calls[{call.index}]", f"{call.name}({call.arguments}) ({call.id})"))
    found.append(("finish_reason", str(answer.finish_reason)))
    usage = answer.usage
    if usage is not None:
        counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)
        names = ("prompt", "completion", "cached", "reasoning")
        tokens = [f"{count} {name}" for name, count in zip(names, counts, strict=True) if count is not None]
        found.append(("usage", ", ".join(tokens)))
    return found


def _text(text: str | None) -> str:
    return "(absent or null)" if text is None else text if text else "(empty)"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

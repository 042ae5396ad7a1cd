"""Facts about a request that detectors use: the user's last message, the token limit, the topic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annie_eval.wire.sample import Exchange


def user_text(exchange: Exchange) -> str:
    """Return the last user message as text; "" if there is none.

    Parts of a multi-part message are joined by newlines.
    """
    messages = exchange.request.get("messages")
    for message in reversed(messages if isinstance(messages, list | tuple) else ()):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def cut_off(exchange: Exchange) -> bool:
    """Return whether the token limit ended the answer, by `finish_reason` or by the number of tokens.

    The number is needed because vLLM reports `tool_calls` for a call that max_tokens truncated, when it is not
    streamed.
    """
    answer = exchange.answer
    if answer.finish_reason == "length":
        return True
    limit = exchange.request.get("max_completion_tokens") or exchange.request.get("max_tokens")
    used = answer.usage.completion_tokens if answer.usage else None
    return isinstance(limit, int) and isinstance(used, int) and used >= limit

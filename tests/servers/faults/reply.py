"""A correct reply, and its chunks or message in vLLM 0.32's format.

Key order, nulls and the split into chunks follow recorded replies (tests/unit/wire/recorded).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annie_eval.profile.types import Expect, Scenario

_STOP_TOKEN = 2
_FINGERPRINT = "vllm-0.32.0-1cee543d"


@dataclass(frozen=True)
class Ask:
    """One request, and its step of a scenario; None for requests outside of scenarios."""

    body: Mapping[str, Any]
    scenario: Scenario | None = None
    turn: int = 0
    round: int = 0
    times: int = 1

    @property
    def streamed(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def thinking(self) -> bool:
        """Whether the template lets the model think: on unless switched off, like Qwen3.5 from 4B up."""
        return (self.body.get("chat_template_kwargs") or {}).get("enable_thinking", True) is not False

    @property
    def after_tools(self) -> bool:
        messages = self.body.get("messages") or [{}]
        return bool(messages[-1].get("role") == "tool")

    @property
    def expect(self) -> Expect:
        if self.scenario is None:
            return Expect()
        turn = self.scenario.turns[self.turn]
        return turn.then if self.round else turn.expect

    @property
    def schemas(self) -> dict[str, Mapping[str, Any]]:
        """JSON Schema of the parameters of the offered tools, by name."""
        functions = [tool["function"] for tool in self.body.get("tools") or []]
        return {function["name"]: function.get("parameters", {}) for function in functions}


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """The content of a reply.

    If the server changed it, `model_reply` is the original, whose token ids are returned.
    """

    content: str | None = None
    reasoning: str | None = None
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    model_reply: Reply | None = None


def tokens(text: str) -> list[str]:
    """Word-like pieces that join to the text."""
    return re.findall(r"\s*[^\s]{1,12}|\s+\Z", text)


def limited(reply: Reply, limit: int) -> Reply:
    """The reply truncated by max_tokens: reasoning first, then content; a call that does not fit is dropped."""
    room = limit
    cut: dict[str, Any] = {"content": None, "reasoning": None, "calls": ()}
    for channel in ("reasoning", "content"):
        text = getattr(reply, channel)
        if text is None or room <= 0:
            continue
        pieces = tokens(text)
        cut[channel] = "".join(pieces[:room])
        room -= len(pieces)
    for call in reply.calls:
        room -= len(tokens(call.arguments)) + 1
        if room >= 0:
            cut["calls"] = (*cut["calls"], call)
    return reply if room > 0 else replace(reply, **cut, finish="length")


def token_ids(reply: Reply) -> list[int]:
    """Synthetic ids: equal for equal replies, with the stop token last unless truncated."""
    shown = reply.model_reply or reply
    pieces = tokens(shown.reasoning or "") + tokens(shown.content or "")
    for call in shown.calls:
        pieces += [call.name, *tokens(call.arguments)]
    ids = [100 + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % 50_000 for piece in pieces]
    return ids if shown.finish == "length" else [*ids, _STOP_TOKEN]


def prompt_length(ask: Ask) -> int:
    return sum(4 + len(str(message.get("content") or "")) // 4 for message in ask.body.get("messages") or [])


def _usage(reply: Reply, ask: Ask) -> dict[str, Any]:
    prompt, completion = prompt_length(ask), len(token_ids(reply))
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def _thought_tokens(reply: Reply) -> dict[str, int]:
    return {"reasoning_tokens": len(tokens(reply.reasoning or ""))}


def chunks(reply: Reply, ask: Ask, head: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a stream. `head` holds `id`, `created` and `model`."""
    deltas: list[dict[str, Any]] = [{"reasoning": piece} for piece in tokens(reply.reasoning or "")]
    deltas += [{"content": piece} for piece in tokens(reply.content or "")]
    for index, call in enumerate(reply.calls):
        first = {"id": call.id, "type": "function", "index": index, "function": {"name": call.name}}
        deltas.append({"tool_calls": [first]})
        for piece in tokens(call.arguments):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    ids: list[int] = token_ids(reply)
    wants_ids = bool(ask.body.get("return_token_ids"))

    def chunk(delta: dict[str, Any], finish: str | None = None, **extra: Any) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **extra}
        return _envelope(head, "chat.completion.chunk", [choice])

    prompt = list(range(prompt_length(ask))) if wants_ids else None
    out = [chunk({"role": "assistant", "content": ""}) | {"prompt_token_ids": prompt, "prompt_text": None}]
    for delta in deltas:
        out.append(chunk(delta, token_ids=[ids.pop(0)] if wants_ids and len(ids) > 1 else [] if wants_ids else None))
    out.append(chunk({}, reply.finish, stop_reason=None, token_ids=ids if wants_ids else None))
    if (ask.body.get("stream_options") or {}).get("include_usage"):
        usage = _usage(reply, ask) | {"completion_tokens_details": _thought_tokens(reply)}
        out.append(_envelope(head, "chat.completion.chunk", []) | {"usage": usage, "system_fingerprint": _FINGERPRINT})
    return out


def whole(reply: Reply, ask: Ask, head: Mapping[str, Any]) -> dict[str, Any]:
    """The object of an unstreamed reply."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.content,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
    }
    if reply.calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.calls
        ]
    message["reasoning"] = reply.reasoning
    wants_ids = bool(ask.body.get("return_token_ids"))
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reply.finish,
        "stop_reason": None,
        "token_ids": token_ids(reply) if wants_ids else None,
        "routed_experts": None,
    }
    details = {"prompt_tokens_details": None, "completion_tokens_details": _thought_tokens(reply)}
    return _envelope(head, "chat.completion", [choice]) | {
        "service_tier": None,
        "system_fingerprint": _FINGERPRINT,
        "usage": _usage(reply, ask) | details,
        "prompt_logprobs": None,
        "prompt_token_ids": list(range(prompt_length(ask))) if wants_ids else None,
        "prompt_text": None,
        "kv_transfer_params": None,
        "ec_transfer_params": None,
        "metrics": None,
    }


def _envelope(head: Mapping[str, Any], kind: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "id": head["id"],
        "object": kind,
        "created": head["created"],
        "model": head["model"],
        "choices": list(choices),
    }


def dump(value: Any) -> bytes:
    """Compact JSON like pydantic and starlette write it; lone surrogates are escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()

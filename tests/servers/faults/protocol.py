"""Violations of the API protocol that do not change the content."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.servers.faults.fault import Fault, FaultResponse, gates
from tests.servers.faults.reply import Ask, Reply

Chunks = list[dict[str, Any]]
_WIRE = gates("wire_integrity")
_DONE = b"data: [DONE]\n\n"


def _chunks(name: str, about: str, change: Callable[[Chunks], Chunks | None]) -> Fault:
    """A change to the chunks of every stream, in place or as a new list."""
    return Fault(name, about, _WIRE, chunks=lambda values: change(values) or values)


def _message(name: str, about: str, change: Callable[[dict[str, Any]], object]) -> Fault:
    """A change in place to every unstreamed answer."""

    def changed(value: dict[str, Any]) -> dict[str, Any]:
        change(value)
        return value

    return Fault(name, about, _WIRE, message=changed)


def _frames(name: str, about: str, change: Callable[[list[bytes]], list[bytes]]) -> Fault:
    """A change to the events of every stream."""

    def changed(response: FaultResponse, ask: Ask) -> FaultResponse:
        return replace(response, frames=change(response.frames))

    return Fault(name, about, _WIRE, only=lambda ask: ask.streamed, response=changed)


def _finish(values: Chunks) -> int:
    """Position of the chunk with the finish_reason."""
    return next(i for i, v in enumerate(values) if v["choices"] and v["choices"][0]["finish_reason"])


def _with_delta(value: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(value)
    made["choices"][0].update(delta=delta, finish_reason=None, token_ids=None)
    made["choices"][0].pop("stop_reason", None)
    return made


def _two_finishes(values: Chunks) -> Chunks:
    at = _finish(values)
    again = copy.deepcopy(values[at])
    again["choices"][0]["token_ids"] = None
    return [*values[: at + 1], again, *values[at + 1 :]]


def _forget_stop(choice: dict[str, Any]) -> None:
    """Remove finish_reason, except for calls and truncated answers, where other gates need it."""
    if choice["finish_reason"] == "stop":
        choice["finish_reason"] = None


def _no_finish(values: Chunks) -> None:
    _forget_stop(values[_finish(values)]["choices"][0])


def _late_content(values: Chunks) -> Chunks:
    """Move the last words after the finish_reason."""
    at = _finish(values)
    last = next((i for i in range(at - 1, 0, -1) if values[i]["choices"][0]["delta"]), None)
    if last is None:
        return [*values[: at + 1], _with_delta(values[at], {"content": " "}), *values[at + 1 :]]
    return [*values[:last], *values[last + 1 : at + 1], values[last], *values[at + 1 :]]


def _swap_models(values: Chunks) -> None:
    values[-1]["model"] = "another-model"


def _fragments(values: Chunks) -> list[dict[str, Any]]:
    return [f for v in values if v["choices"] for f in v["choices"][0]["delta"].get("tool_calls") or []]


def _calls(name: str, about: str, change: Callable[[list[dict[str, Any]]], None]) -> Fault:
    """A change in place to the fragments of every streamed call."""

    def changed(values: Chunks) -> None:
        change(_fragments(values))

    return _chunks(name, about, changed)


def _fresh_ids(fragments: list[dict[str, Any]]) -> None:
    for number, fragment in enumerate(fragments):
        fragment["id"] = f"chatcmpl-tool-{number}"


def _repeat_names(fragments: list[dict[str, Any]]) -> None:
    names = {f["index"]: f["function"]["name"] for f in fragments if "name" in f["function"]}
    for fragment in fragments:
        fragment["function"]["name"] = names[fragment["index"]]


def _shift_indices(fragments: list[dict[str, Any]]) -> None:
    for fragment in fragments:
        fragment["index"] += 1


def _drop_indices(fragments: list[dict[str, Any]]) -> None:
    for fragment in fragments:
        del fragment["index"]


def _null_fragments(values: Chunks) -> Chunks:
    """An empty fragment before each finish_reason of calls."""
    at = _finish(values)
    if not _fragments(values):
        return values
    empty = {"tool_calls": [{"index": 0, "function": {"arguments": None}}]}
    return [*values[:at], _with_delta(values[at], empty), *values[at:]]


def _drop_usage(values: Chunks) -> Chunks:
    return [value for value in values if value["choices"]]


def _inflate(usage: dict[str, Any]) -> None:
    usage["total_tokens"] += 7


def _claim_calls(reply: Reply, ask: Ask) -> Reply:
    return replace(reply, finish="tool_calls")


def _last_word_lost(reply: Reply, ask: Ask) -> Reply:
    """A parser that loses the end of the answer; the token ids are complete."""
    content = reply.content or ""
    return replace(reply, content=content.rstrip(".!? ") + "!" if content else reply.content, model_reply=reply)


def _empty_finishes(values: Chunks) -> None:
    for value in values[: _finish(values)]:
        value["choices"][0]["finish_reason"] = ""


def _null_delta(values: Chunks) -> Chunks:
    """A chunk in the middle whose delta is null."""
    at = _finish(values)
    middle = _with_delta(values[at], {})
    middle["choices"][0]["delta"] = None
    return [*values[:at], middle, *values[at:]]


def _keep_alive(values: Chunks) -> Chunks:
    """An empty chunk before the role, like from a proxy that keeps the connection open."""
    return [_with_delta(values[0], {}), *values]


def _rename(values: Chunks) -> None:
    for value in values:
        value["model"] = "somebody-elses-model"


def _spaced_done(response: FaultResponse, ask: Ask) -> FaultResponse:
    return replace(response, frames=[frame.replace(b"[DONE]", b"[DONE] ") for frame in response.frames])


def _fractions(usage: dict[str, Any]) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        usage[name] = float(usage[name])


def _nul(reply: Reply, ask: Ask) -> Reply:
    content = reply.content or ""
    return replace(reply, content=content.replace(" ", " \0", 1) if content else reply.content)


def _own_type(content_type: str) -> Callable[[FaultResponse, Ask], FaultResponse]:
    return lambda response, ask: replace(response, content_type=content_type)


FAULTS = [
    _chunks("two-finish-reasons", "finish_reason twice", _two_finishes),
    _chunks("no-finish-reason", "no finish_reason in a stream", _no_finish),
    _chunks("content-after-finish", "the last words behind the finish_reason", _late_content),
    _chunks("no-role", "a stream without a role", lambda v: v[0]["choices"][0]["delta"].pop("role") and None),
    _chunks("no-usage", "a stream without usage", _drop_usage),
    _chunks("wrong-total", "total_tokens that is no sum", lambda v: _inflate(v[-1]["usage"])),
    _chunks("no-completion-tokens", "0 tokens for an answer", lambda v: v[-1]["usage"].update(completion_tokens=0)),
    _chunks("model-changes", "another model in the last chunk", _swap_models),
    _chunks("id-changes", "another id in the last chunk", lambda v: v[-1].update(id="chatcmpl-0")),
    _chunks("created-goes-back", "the last chunk older than the first", lambda v: v[-1].update(created=1)),
    _chunks("wrong-object", "a chunk that says completion", lambda v: v[1].update(object="chat.completion")),
    _chunks("second-choice", "a second choice nobody asked for", lambda v: v[0]["choices"].append(
        {"index": 1, "delta": {"content": "Hi."}, "finish_reason": None}
    )),
    _message("whole-no-usage", "a whole answer without usage", lambda v: v.update(usage=None)),
    _message("whole-no-finish-reason", "none either", lambda v: _forget_stop(v["choices"][0])),
    _message("whole-wrong-role", "a message of the user's", lambda v: v["choices"][0]["message"].update(role="user")),
    _frames("no-done", "a stream without [DONE]", lambda frames: [f for f in frames if f != _DONE]),
    _frames("two-dones", "[DONE] twice", lambda frames: [*frames, _DONE]),
    _frames("content-after-done", "an event behind [DONE]", lambda frames: [*frames, frames[1]]),
    _frames("lost-prefix", "a line without its `data:`", lambda frames: [frames[0], b'{"a":1}\n\n', *frames[1:]]),
    Fault("wrong-content-type", "a stream called JSON", _WIRE, only=lambda ask: ask.streamed,
          response=_own_type("application/json")),
    Fault("claims-calls", "finish_reason tool_calls without a call", _WIRE, where="factual", reply=_claim_calls),
    Fault("parsers-disagree", "one token stream, read differently when streamed", _WIRE, where="thinking_leak",
          only=lambda ask: ask.streamed and not ask.expect.truncated, reply=_last_word_lost),
    _chunks("empty-finish-reason", 'finish_reason "" in every chunk before the last', _empty_finishes),
    _chunks("null-delta", "a chunk whose delta is null", _null_delta),
    _chunks("other-model", "every chunk says that another model gave it", _rename),
    _message("whole-other-model", "a whole answer of another model", lambda v: v.update(model="somebody-elses-model")),
    _message("whole-float-usage", "token counts as 12.0", lambda v: _fractions(v["usage"])),
    Fault("nul-in-content", "a NUL in every answer", _WIRE, reply=_nul),
    Fault("keep-alive-chunk", "an empty chunk before the role", "PASS",
          chunks=lambda values: _keep_alive(values)),
    Fault("done-with-space", "[DONE] and a space", "PASS", only=lambda ask: ask.streamed, response=_spaced_done),
    _calls("id-per-fragment", "a new id in every fragment of a call", _fresh_ids),
    _calls("name-repeated", "the name in every fragment of a call", _repeat_names),
    _calls("index-gap", "calls counted from 1", _shift_indices),
    _calls("no-index", "fragments without an index", _drop_indices),
    _chunks("null-fragment", "a fragment whose arguments are null", _null_fragments),
]  # fmt: skip

"""Parses the bytes of one response body into channels; nothing is repaired.

Nothing is stripped, repaired or guessed. If no client could read the body, `ExchangeError` is raised. If clients can
read it but it violates the protocol, it is parsed in the simplest way, and `annie_eval.detectors.wire` reports it.

Source of the formats: the OpenAI API reference, "Chat Completions". `annie_eval.wire.sse` reads the framing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.strict_json import is_count
from annie_eval.untrusted.limits import MAX_CALLS, MAX_TEXT
from annie_eval.wire.sample import Answer, ToolCall, Usage
from annie_eval.wire.sse import DONE, Event, json_object, kind, looks_html, quote, read_stream, refuse_error

_SURROGATE = re.compile("[\ud800-\udfff]")
_SHORT = 16_384  # bytes; the answer of a shorter body is kept for whoever parses the same body again
_BROKEN_OFF = {"abort", "error"}  # finish reasons of vLLM and SGLang for a generation that the server aborted


def parse(body: bytes, *, streamed: bool) -> Answer:
    """The channels of one reply.

    Streams: deltas are joined per channel; the last `usage` counts. Tool-call fragments are joined by `index`. The
    first id and the first name of a call are used, even if later fragments change them. A fragment without an index
    belongs to the call with its id; with a new id, or with a name and no id, it starts a new call; otherwise it
    belongs to the last call. If `reasoning` and `reasoning_content` are equal they count once, otherwise they are
    concatenated. The old `function_call` is a call without an id, unless there are `tool_calls`.

    `arguments` other than a string (null, an object) become None. Halves of surrogate pairs are joined, also across
    deltas; a half without its partner becomes U+FFFD, because it could not be stored or printed.

    Raises:
        ExchangeError: the body is empty, HTML, not UTF-8, not strict JSON (NaN and duplicate keys are refused), of
            not a chat completion, an error object, without choices or deltas, or a stream that ended early, with
            neither a finish_reason nor `[DONE]`, or the answer has more than `limits.MAX_TEXT` characters
            or `limits.MAX_CALLS` calls. The message is one line.
    """
    return (_parse_again if len(body) <= _SHORT else _parse)(body, streamed)


def _parse(body: bytes, streamed: bool) -> Answer:
    return _parse_stream(body) if streamed else _parse_unstreamed(body)


# The page of a run reads what was judged before.
_parse_again = lru_cache(maxsize=2048)(_parse)


def events(body: bytes) -> tuple[Event, ...]:
    """The events of a stream with their byte offsets, including `[DONE]`. Raises ExchangeError like `parse`."""
    return read_stream(body).events


def prompt_token_ids(body: bytes, *, streamed: bool) -> tuple[int, ...] | None:
    """The prompt's token ids, which vLLM returns with `return_token_ids`; None if it did not."""
    values = [e.value for e in events(body) if e.value is not None] if streamed else [_unstreamed_object(body)]
    for value in values:
        ids = _token_ids(value.get("prompt_token_ids"), "prompt_token_ids")
        if ids is not None:
            return tuple(ids)
    return None


@dataclass(slots=True)
class _Call:
    id: str | None = None
    name: str | None = None
    arguments: list[str] = field(default_factory=list)

    def add(self, fragment: Mapping[str, Any], where: str) -> None:
        function = _mapping(fragment.get("function"), f"{where}.function") or {}
        self.id = self.id or _string(fragment.get("id"), f"{where}.id")
        self.name = self.name or _string(function.get("name"), f"{where}.function.name")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self.arguments.append(arguments)

    def call(self, index: int) -> ToolCall:
        return ToolCall(_without_half_pairs(self.id), _without_half_pairs(self.name), _join(self.arguments), index)


@dataclass(slots=True)
class _Fold:
    """Accumulates channels from deltas; a message of an unstreamed answer is one delta."""

    content: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    reasoning_content: list[str] = field(default_factory=list)
    calls: dict[int, _Call] = field(default_factory=dict)
    function_call: _Call | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    token_ids: list[int] | None = None
    prompt_text: str | None = None
    choices: int = 0
    messages: int = 0
    by_id: dict[str, _Call] = field(default_factory=dict)
    last: _Call | None = None
    following: int = 0

    def add(self, value: Mapping[str, Any], part: str, where: str, *, joined_by_index: bool) -> None:
        """Add one chunk, or the complete answer; `part` is `delta` or `message`."""
        refuse_error(value)
        choices = value.get("choices")
        if not isinstance(choices, list):
            raise ExchangeError(f"{where}: choices is {kind(choices)}, not a list")
        usage = _usage(value.get("usage"), where)
        self.usage = usage or self.usage
        prompt_text = _string(value.get("prompt_text"), f"{where}: prompt_text")
        self.prompt_text = prompt_text if self.prompt_text is None else self.prompt_text
        rows = [_mapping(choice, f"{where}: a choice") or {} for choice in choices]
        if not rows:
            return
        choice = next((row for row in rows if row.get("index", 0) == 0), rows[0])
        self.choices += 1
        message = _mapping(choice.get(part), f"{where}: {part}")
        if message is None and part == "message":
            raise ExchangeError(f"{where}: the choice has no message")
        self.messages += message is not None
        finish = _string(choice.get("finish_reason"), f"{where}: finish_reason")
        if finish in _BROKEN_OFF:
            raise ExchangeError(f"the server broke the answer off: finish_reason {finish!r}")
        self.finish_reason = self.finish_reason or finish
        ids = _token_ids(choice.get("token_ids"), f"{where}: token_ids")
        if ids is not None:
            self.token_ids = (self.token_ids or []) + ids
        self._add_message(message or {}, f"{where}: {part}", joined_by_index)

    def _add_message(self, message: Mapping[str, Any], where: str, joined_by_index: bool) -> None:
        for channel, texts in (
            ("content", self.content),
            ("reasoning", self.reasoning),
            ("reasoning_content", self.reasoning_content),
        ):
            text = _text(message.get(channel), f"{where}.{channel}")
            if text is not None:
                texts.append(text)
        fragments = message.get("tool_calls")
        if fragments is not None and not isinstance(fragments, list):
            raise ExchangeError(f"{where}.tool_calls is {kind(fragments)}, not a list")
        for position, raw in enumerate(fragments or []):
            at = f"{where}.tool_calls[{position}]"
            fragment = _mapping(raw, at)
            if fragment is None:
                raise ExchangeError(f"{at} is null, not an object")
            self._slot(fragment, joined_by_index).add(fragment, at)
        function = _mapping(message.get("function_call"), f"{where}.function_call")
        if function is not None:
            self.function_call = self.function_call or _Call()
            self.function_call.add({"function": function}, where)

    def _slot(self, fragment: Mapping[str, Any], joined_by_index: bool) -> _Call:
        """The call that a fragment belongs to; see `parse`."""
        index, own, function = fragment.get("index"), fragment.get("id"), fragment.get("function")
        if joined_by_index and is_count(index):
            found = self.calls.get(index)
        elif joined_by_index and self.calls:
            index = self.following
            opens = own or (isinstance(function, Mapping) and function.get("name"))
            found = self.by_id.get(own) if isinstance(own, str) and own else None
            found = found or (None if opens else self.last)
        else:
            index, found = self.following, None
        if found is None:
            found = self.last = self.calls[index] = _Call()
            self.following = max(self.following, index + 1)
            if len(self.calls) > MAX_CALLS:
                raise ExchangeError(f"the answer has more than {MAX_CALLS} tool calls; it is not judged")
        if isinstance(own, str) and own and not found.id:
            self.by_id.setdefault(own, found)
        return found

    def answer(self) -> Answer:
        reasoning, other = _join(self.reasoning), _join(self.reasoning_content)
        if other and other != reasoning:
            reasoning = (reasoning or "") + other
        texts = (
            self.content,
            self.reasoning,
            self.reasoning_content,
            *(call.arguments for call in self.calls.values()),
        )
        size = sum(len(text) for channel in texts for text in channel)
        if size > MAX_TEXT:
            raise ExchangeError(f"the answer has {size} characters, more than the {MAX_TEXT} that are judged")
        calls = [call.call(index) for index, call in self.calls.items()]
        if not calls and self.function_call is not None:
            calls = [self.function_call.call(0)]
        return Answer(
            content=_join(self.content),
            reasoning=other if reasoning is None else reasoning,
            tool_calls=tuple(calls),
            finish_reason=_without_half_pairs(self.finish_reason) or None,
            usage=self.usage,
            token_ids=None if self.token_ids is None else tuple(self.token_ids),
            prompt_text=_without_half_pairs(self.prompt_text),
        )


def _parse_stream(body: bytes) -> Answer:
    stream = read_stream(body)
    fold = _Fold()
    count = 0
    for event in stream.events:
        if event.value is None:
            break
        count += 1
        fold.add(event.value, "delta", f"event {count}", joined_by_index=True)
    if stream.done is None and fold.finish_reason is None:
        raise ExchangeError(f"the stream broke off after {count} events: no finish_reason and no {DONE}")
    if not fold.choices:
        raise ExchangeError(f"the stream has no choices in any of its {count} events")
    if not fold.messages:
        raise ExchangeError(f"no choice of the stream has a delta, in any of its {count} events")
    return fold.answer()


def _parse_unstreamed(body: bytes) -> Answer:
    value = _unstreamed_object(body)
    fold = _Fold()
    fold.add(value, "message", "the answer", joined_by_index=False)
    if not fold.choices:
        raise ExchangeError("the answer has no choices")
    return fold.answer()


def _unstreamed_object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        raise ExchangeError("the answer is empty")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExchangeError(f"byte {error.start} of the answer is not UTF-8: {quote(body)}") from None
    if looks_html(body):
        raise ExchangeError(f"HTML instead of JSON: {quote(body)}")
    if re.match(r"(data|event|id|retry)?:", text.lstrip()):
        raise ExchangeError(f"an event stream came, but none was asked for: {quote(body)}")
    return json_object(text, "the answer")


def _mapping(value: Any, where: str) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    raise ExchangeError(f"{where} is {kind(value)}, not an object")


def _string(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ExchangeError(f"{where} is {kind(value)}, not a string")


def _text(value: Any, where: str) -> str | None:
    """A text; a list of text parts is joined."""
    if not isinstance(value, list):
        return _string(value, where)
    parts = []
    for part in value:
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise ExchangeError(f"{where} has a part that is no text: {quote(json.dumps(part))}")
        parts.append(text)
    return "".join(parts)


def _token_ids(value: Any, where: str) -> list[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(map(is_count, value)):
        raise ExchangeError(f"{where} is not a list of token ids")
    return value


def _usage(value: Any, where: str) -> Usage | None:
    usage = _mapping(value, f"{where}: usage")
    if usage is None:
        return None

    def count(of: Mapping[str, Any] | None, name: str) -> int | None:
        found = None if of is None else of.get(name)
        if isinstance(found, float) and found.is_integer():
            found = int(found)  # 12.0, which proxies in Go and JavaScript write; reported by the wire detector
        if found is not None and not is_count(found):
            raise ExchangeError(f"{where}: usage.{name} is {quote(json.dumps(found))}, not a count")
        return found

    prompt = _mapping(usage.get("prompt_tokens_details"), f"{where}: usage.prompt_tokens_details")
    completion = _mapping(usage.get("completion_tokens_details"), f"{where}: usage.completion_tokens_details")
    reasoning = count(completion, "reasoning_tokens")
    return Usage(
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
        count(prompt, "cached_tokens"),
        count(usage, "reasoning_tokens") if reasoning is None else reasoning,  # SGLang has it one level higher
    )


def _join(texts: list[str]) -> str | None:
    return _without_half_pairs("".join(texts)) if texts else None


def _without_half_pairs(text: str | None) -> str | None:
    """Join or replace halves of surrogate pairs; see `parse`."""
    if text is None or not _SURROGATE.search(text):
        return text
    paired = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _SURROGATE.sub("\ufffd", paired)

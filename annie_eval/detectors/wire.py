"""Finds breaches of the protocol by the server. Mistakes of the model belong to other detectors.

The rules are those of the OpenAI API reference ("Chat Completions", "Streaming"), as far as a client would break or
lose text if they did not hold. What real servers do besides, and what is therefore allowed here:

- vLLM 0.32: a role chunk with `content: ""`; argument fragments carry only `index` and `function.arguments`, some
  beside `content: null`; the first fragment of a call may lack `arguments`; some tool parsers repeat `type`; the
  finish chunk may hold text; empty deltas that carry only `token_ids`; the usage chunk has `choices: []` and alone
  names a `system_fingerprint`; finish_reason `repetition`; comments as keep-alive.
- SGLang: `created` is taken again for every chunk; later fragments of a call say `id: null` and `name: null`;
  `reasoning_content` and `tool_calls` are null where empty; further chunks with `choices: []`.
- llama-server: `created` again for every chunk; the role chunk has `content: null`; the finish chunk an empty delta.
- transformers serve: no `[DONE]`; the chunk with the finish_reason carries the usage, and every chunk
  `system_fingerprint: ""`. Only that ending excuses a missing `[DONE]`.
- OpenAI: `refusal: null`, `obfuscation`, `service_tier`. Azure: a first chunk with `choices: []`, no id and no model.
- Several small servers repeat `role` in every chunk, or send `id: ""` and `name: ""` in later fragments.
- Proxies keep a slow stream alive by empty deltas, also before the role, and write `[DONE]` with a space behind it.
- A model answers by another name than it was asked for where one extends the other: a path and its last part, a name
  and its dated version or tag (OpenAI, Ollama).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.detectors.wire_calls import call_breaches
from annie_eval.strict_json import is_count
from annie_eval.wire.sample import FINISH_REASONS, Channel, Exchange, Sample
from annie_eval.wire.sse import DONE, Stream, json_object, quote, read_stream

_CALLED = {"tool_calls", "function_call"}
_PAIRS = 4  # different deltas, each of them twice, that are no coincidence any more
_REPEATED = 12  # characters of a delta that repeats all before it, which are no coincidence either
_GROWN = 3  # deltas in a row, each the one before and more
_SAYING = ("content", "reasoning", "reasoning_content", "tool_calls", "function_call")
# A NUL or its kin: no text, and a terminal, a speech engine or a database may stop at it. Tabs and line ends are text.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\\u00(?:0[0-8bcef]|1[\da-f]|7f)", re.IGNORECASE)

# Tokens that a chat template puts around turns. Reasoning and tool tags are not among them: whether those leaked is
# for the detectors of those channels.
_CONTROL_TOKEN = re.compile(
    r"<\|(?:im_start|im_end|im_sep|endoftext|endofprompt|eot_id|eom_id|start_header_id|end_header_id|begin_of_text"
    r"|end_of_text|fim_\w+|assistant|user|system|end|start|return)\|>"
    r"|</?(?:start|end)_of_turn>|<(?:bos|eos|pad)>|<｜(?:begin▁of▁sentence|end▁of▁sentence|User|Assistant)｜>",
    re.IGNORECASE,
)


def find(sample: Sample) -> tuple[Finding, ...]:
    """Breaches of the protocol in any exchange of a sample; one finding for each rule and exchange."""
    found: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        seen: set[str] = set()
        for finding in _exchange(exchange, index):
            if finding.reason not in seen:
                seen.add(finding.reason)
                found.append(finding)
    return tuple(found)


def _exchange(exchange: Exchange, index: int) -> Iterator[Finding]:
    yield from _reported(_content_type(exchange), index)
    if exchange.streamed:
        stream = read_stream(exchange.body)
        values = [event.value for event in stream.events if event.value is not None]
        yield from _reported(_framing(exchange.body, stream, values), index)
        yield from _reported(_envelopes(values, "chat.completion.chunk"), index)
        yield from _reported(_deltas(values), index)
        yield from _reported(_twice(values), index)
        yield from _reported(_cumulative(values), index)
        yield from _reported(_fragments(values), index)
    else:
        values = [json_object(exchange.body.decode("utf-8-sig"), "the answer")]
        yield from _reported(_envelopes(values, "chat.completion"), index)
        yield from _reported(_message(values[0]), index)
    yield from _reported(_model(exchange, values), index)
    yield from _reported(_finish(exchange), index)
    yield from _reported(call_breaches(exchange), index)
    yield from _reported(_usage(exchange, values), index)
    yield from _controls(exchange, index)


# A rule yields what is wrong and the value or text that shows it.
_Breach = tuple[str, Any]


def _reported(breaches: Iterator[_Breach], index: int) -> Iterator[Finding]:
    for reason, shown in breaches:
        text = shown if isinstance(shown, str | bytes) else json.dumps(shown, ensure_ascii=False)
        yield Finding("wire", reason, "" if shown is None else quote(text), exchange=index)


def _content_type(exchange: Exchange) -> Iterator[_Breach]:
    wanted = "text/event-stream" if exchange.streamed else "application/json"
    given = dict(exchange.headers).get("content-type", "")
    if given.split(";")[0].strip().lower() != wanted:
        yield f"content-type is not {wanted}", given or "no content-type"


def _framing(body: bytes, stream: Stream, values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    for _, line in stream.stray:
        yield "a line of the stream is no field of an event, so that clients drop it", line
    if stream.done is not None:
        for late in body[stream.events[stream.done].end :].splitlines():
            if late.strip() and not late.startswith(b":"):
                yield f"the stream goes on after {DONE}", late
        return
    if stream.rest:
        yield "the last event has no blank line, so that clients drop it", stream.rest
    last = values[-1]
    ended_as_transformers_serve = (
        any(choice.get("finish_reason") for choice in _choices(last))
        and last.get("usage") is not None
        and last.get("system_fingerprint") == ""
    )
    if not ended_as_transformers_serve:
        yield f"the stream ends without {DONE}", stream.events[-1].data


def _envelopes(values: Sequence[Mapping[str, Any]], kind: str) -> Iterator[_Breach]:
    """The fields around the choices: one and the same in all chunks. A field that is left out hurts no client."""
    seen: dict[str, Any] = {}
    for value in values:
        choices = _choices(value)
        if not choices and value.get("usage") is None:
            continue
        if value.get("object") not in (None, kind):
            yield f'object is not "{kind}"', {"object": value["object"]}
        if len(choices) > 1:
            yield "more than one choice, though one was asked for", [c.get("index") for c in choices]
        if choices and choices[0].get("index") not in (None, 0):
            yield "the choice's index is not 0", {"index": choices[0]["index"]}
        for field in ("id", "model"):
            if (now := value.get(field)) is not None and now != seen.setdefault(field, now):
                yield f"{field} changes within the stream", {field: [seen[field], now]}
        stamp = value.get("created")
        if stamp is None:
            continue
        if isinstance(stamp, bool) or not isinstance(stamp, int | float):
            yield "created is no time stamp", {"created": stamp}
        elif stamp < seen.get("created", stamp):
            yield "created goes back within the stream", {"created": [seen["created"], stamp]}
        else:
            seen["created"] = stamp


def _deltas(values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    """Order in a stream: the role first, one finish_reason, and nothing said after it."""
    finished = False
    first = True
    for value in values:
        for choice in _choices(value)[:1]:
            delta = choice.get("delta")
            if delta is None:  # Clients read choices[0].delta.content.
                yield "a choice has no delta", choice
                delta = {}
            role = delta.get("role")
            says = any(delta.get(key) for key in _SAYING)
            yield from _content_type_of(delta)
            if first and role is None and (says or choice.get("finish_reason")):
                yield "the first delta has no role", choice
            if role is not None and role != "assistant":
                yield 'role is not "assistant"', {"role": role}
            first = first and role is None and not says
            if finished and says:
                yield "a delta says something after the finish_reason", delta
            if choice.get("finish_reason") == "":  # Clients stop at any finish_reason that is not null.
                yield "finish_reason is an empty string, not null", choice
            if choice.get("finish_reason"):
                if finished:
                    yield "more than one finish_reason", {"finish_reason": choice["finish_reason"]}
                finished = True


def _content_type_of(message: Mapping[str, Any]) -> Iterator[_Breach]:
    """Clients add strings: a list of parts, which requests may have, is none in an answer."""
    if isinstance(message.get("content"), list):
        yield "content is a list of parts, not a string", message["content"]


def _twice(values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    """A stream that says everything twice: each delta is followed by the same once more."""
    deltas = [choice.get("delta") or {} for value in values for choice in _choices(value)[:1]]
    texts = [delta["content"] for delta in deltas if isinstance(delta.get("content"), str) and delta["content"]]
    pairs = list(zip(texts[::2], texts[1::2], strict=False))
    if len(set(pairs)) >= _PAIRS and len(texts) % 2 == 0 and all(one == two for one, two in pairs):
        yield "every delta comes twice", texts[:4]


def _cumulative(values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    """A delta that repeats all that was said before it: the last chunk of some servers, or each chunk of others."""
    so_far: dict[Any, str] = {}
    last: dict[Any, str] = {}
    grown: Counter[Any] = Counter()
    for value in values:
        for choice in _choices(value)[:1]:
            delta = choice.get("delta") or {}
            texts = [(key, delta.get(key)) for key in ("content", "reasoning", "reasoning_content")]
            for fragment in delta.get("tool_calls") or []:
                texts.append((fragment.get("index"), (fragment.get("function") or {}).get("arguments")))
            for key, text in texts:
                if not isinstance(text, str) or not text:
                    continue
                before, previous = so_far.get(key, ""), last.get(key, "")
                grown[key] = grown[key] + 1 if previous and text != previous and text.startswith(previous) else 0
                said = len(before.strip())
                # At the end of the stream, all of a short answer once more is no coincidence either.
                ends = bool(choice.get("finish_reason")) and before != last.get(key) and text == before and said > 2
                repeats = ends or (said >= _REPEATED and text.strip().startswith(before.strip()))
                if repeats or grown[key] == _GROWN:
                    yield "a delta repeats all that was said before it", text
                so_far[key], last[key] = before + text, text


def _fragments(values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    """Tool calls in a stream: one id and one name for each index, both in its first fragment."""
    calls: dict[int, tuple[str, str]] = {}
    functions = False
    for value in values:
        for choice in _choices(value)[:1]:
            delta = choice.get("delta") or {}
            functions = functions or bool(delta.get("function_call"))
            for fragment in delta.get("tool_calls") or []:
                yield from _fragment(fragment, calls)
    if functions and calls:
        yield "function_call beside tool_calls", None


def _fragment(fragment: Mapping[str, Any], calls: dict[int, tuple[str, str]]) -> Iterator[_Breach]:
    yield from _call_type(fragment)
    function = fragment.get("function") or {}
    own_id, name = fragment.get("id") or "", function.get("name") or ""
    arguments = function.get("arguments", "")
    # Beside an id or a name, null says that no arguments have come yet; alone, the fragment says nothing at all.
    if not isinstance(arguments, str) and (arguments is not None or not (own_id or name)):
        yield "an arguments fragment is no string", fragment
    index = fragment.get("index")
    if not is_count(index):
        yield "a tool-call fragment has no index", fragment
        return
    if index in calls:
        for field, now, before in (("id", own_id, calls[index][0]), ("name", name, calls[index][1])):
            if now and before:
                verb = "repeats" if now == before else "changes"
                yield f"a later fragment of a tool call {verb} its {field}", fragment
            elif now:
                yield f"the {field} of a tool call does not come in its first fragment", fragment
        return
    if index != len(calls):
        yield "the indices of the tool calls do not count up from 0", fragment
    if not own_id:
        yield "the first fragment of a tool call has no id", fragment
    if not name:
        yield "the first fragment of a tool call has no name", fragment
    calls[index] = own_id, name


def _message(value: Mapping[str, Any]) -> Iterator[_Breach]:
    """The message of an answer that was not streamed."""
    message = _choices(value)[0].get("message") or {}
    if message.get("role") != "assistant":
        yield 'role is not "assistant"', {"role": message.get("role")}
    yield from _content_type_of(message)
    calls = message.get("tool_calls") or []
    for call in calls:
        yield from _call_type(call)
        function = call.get("function") or {}
        if not call.get("id"):
            yield "a tool call has no id", call
        if not function.get("name"):
            yield "a tool call has no name", call
        if not isinstance(function.get("arguments"), str):
            yield "the arguments of a tool call are no string", call
    if calls and message.get("function_call"):
        yield "function_call beside tool_calls", None


def _call_type(call: Mapping[str, Any]) -> Iterator[_Breach]:
    if call.get("type") not in (None, "function"):
        yield 'the type of a tool call is not "function"', {"type": call.get("type")}


def _model(exchange: Exchange, values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    """Whether the model that was asked answered, and no other in its place."""
    asked = exchange.request.get("model")
    if not isinstance(asked, str):
        return
    for value in values:
        given = value.get("model")
        if _choices(value) and isinstance(given, str) and given and not _same_model(asked, given):
            yield "another model answered than the one that was asked", {"asked": asked, "answered": given}
            return


def _same_model(asked: str, given: str) -> bool:
    one, two = (name.casefold().rstrip("/").rsplit("/", 1)[-1] for name in (asked, given))
    shorter, longer = sorted((one, two), key=len)
    return longer.startswith(shorter) and not longer[len(shorter) :][:1].isalnum()


def _finish(exchange: Exchange) -> Iterator[_Breach]:
    answer = exchange.answer
    if answer.finish_reason is None:
        yield "there is no finish_reason", None
    elif answer.finish_reason not in FINISH_REASONS:
        yield "unknown finish_reason", {"finish_reason": answer.finish_reason}
    elif answer.finish_reason in _CALLED and not answer.tool_calls:
        yield f"finish_reason {answer.finish_reason}, but there is no call", None
    ids = [call.id for call in answer.tool_calls if call.id]
    if len(set(ids)) != len(ids):
        yield "two tool calls have the same id", ids


def _usage(exchange: Exchange, values: Sequence[Mapping[str, Any]]) -> Iterator[_Breach]:
    answer = exchange.answer
    options = exchange.request.get("stream_options")
    if answer.usage is None:
        if not exchange.streamed or (isinstance(options, Mapping) and options.get("include_usage")):
            yield "usage is missing", None
        return
    prompt, completion = answer.usage.prompt_tokens, answer.usage.completion_tokens
    shown: Mapping[str, Any] = next(
        (value["usage"] for value in reversed(values) if value.get("usage") is not None), {}
    )
    if any(isinstance(count, float) for count in shown.values()):
        yield "usage counts tokens in fractions, such as 12.0", shown
    if prompt is None or completion is None:
        yield "usage lacks prompt_tokens or completion_tokens", shown
        return
    total = shown.get("total_tokens")
    if total is not None and total != prompt + completion:
        yield "total_tokens is not prompt_tokens + completion_tokens", shown
    if completion == 0 and (answer.content or answer.reasoning or answer.tool_calls):
        yield "completion_tokens is 0, but there is an answer", shown
    if answer.token_ids is not None and len(answer.token_ids) != completion:
        yield "completion_tokens is not the number of token ids", {**shown, "token_ids": len(answer.token_ids)}


def _controls(exchange: Exchange, index: int) -> Iterator[Finding]:
    """Control characters, and template tokens unless the conversation is about them, in any channel."""
    about_tags = "tags" in exchange.expect.topic
    asked = json.dumps(exchange.request.get("messages", ""), ensure_ascii=False).lower()
    answer = exchange.answer
    texts: list[tuple[Channel, str | None]] = [("content", answer.content), ("reasoning", answer.reasoning)]
    for call in answer.tool_calls:
        texts += [("tool_calls", call.name), ("tool_calls", call.arguments)]
    for channel, text in texts:
        if text and (match := _CONTROL_CHARACTER.search(text)):
            shown = repr(excerpt(text, match.start()))[1:-1]
            yield Finding("wire", f"control character in {channel}", shown[:160], channel, index, match.span())
        if about_tags:
            continue
        for match in _CONTROL_TOKEN.finditer(text or ""):
            if match.group().lower() not in asked:
                shown = excerpt(text or "", match.start())
                yield Finding("wire", f"template token in {channel}", shown, channel, index, match.span())


def _choices(value: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The choices; one that is null counts as empty, as for the parser."""
    return [choice or {} for choice in value.get("choices") or ()]

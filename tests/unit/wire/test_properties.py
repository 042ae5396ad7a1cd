"""For any bytes, parsing either returns valid channels or raises ExchangeError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annie_eval.errors import ExchangeError
from annie_eval.wire import parse
from annie_eval.wire.sample import Answer, ToolCall, Usage
from annie_eval.wire.sse import read_stream

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
COUNT = st.integers(0, 10_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda v: st.lists(v) | st.dictionaries(TEXT, v), max_leaves=8
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    names = st.text("abcdef_", min_size=1, max_size=9)
    calls = [ToolCall(f"call-{i}", draw(names), draw(TEXT), i) for i in range(draw(st.integers(0, 3)))]
    return Answer(
        content=draw(st.none() | TEXT),
        reasoning=draw(st.none() | TEXT),
        tool_calls=tuple(calls),
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls"])),
        usage=Usage(draw(COUNT), draw(COUNT), draw(st.none() | COUNT), draw(st.none() | COUNT)),
        token_ids=draw(st.none() | st.lists(COUNT).map(tuple)),
        prompt_text=draw(st.none() | TEXT),
    )


def cut(draw: st.DrawFn, text: str) -> list[str]:
    """The text in pieces; some may be empty."""
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


def usage_object(usage: Usage) -> dict[str, Any]:
    given: dict[str, Any] = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
    if usage.cached_tokens is not None:
        given["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        given["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return given


@st.composite
def rendered(draw: st.DrawFn) -> tuple[Answer, bytes]:
    """An answer, and one of the many streams that say it."""
    answer = draw(answers())
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    channel = draw(st.sampled_from(["reasoning", "reasoning_content"]))
    for name, text in ((channel, answer.reasoning), ("content", answer.content)):
        deltas += [{name: piece} for piece in cut(draw, text)] if text is not None else []
    fragments: list[list[dict[str, Any]]] = []
    for call in answer.tool_calls:
        head = {"index": call.index, "id": call.id, "type": "function", "function": {"name": call.name}}
        tail = [{"index": call.index, "function": {"arguments": p}} for p in cut(draw, call.arguments or "")]
        fragments.append([head, *tail])
    while any(fragments):
        queue = draw(st.sampled_from([q for q in fragments if q]))
        deltas.append({"tool_calls": [queue.pop(0)]})
    # Calls are listed in the order of their first fragments.
    order = list(dict.fromkeys(d["tool_calls"][0]["index"] for d in deltas if "tool_calls" in d))
    answer = Answer(
        **{f: getattr(answer, f) for f in answer.__dataclass_fields__}
        | {"tool_calls": tuple(answer.tool_calls[i] for i in order)}
    )
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if answer.prompt_text is not None:
        chunks[0]["prompt_text"] = answer.prompt_text  # type: ignore[assignment]
    if answer.token_ids is not None:
        at = draw(st.integers(0, len(answer.token_ids)))
        chunks[0]["choices"][0]["token_ids"] = list(answer.token_ids[:at])
        chunks[-1]["choices"][0].setdefault("token_ids", []).extend(answer.token_ids[at:])  # type: ignore[attr-defined]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": answer.finish_reason}]})
    chunks.append({"choices": [], "usage": usage_object(answer.usage or Usage())})  # type: ignore[dict-item]
    return answer, b"".join(draw(event(json.dumps(c, ensure_ascii=draw(st.booleans())))) for c in chunks) + draw(
        event("[DONE]")
    )


@st.composite
def event(draw: st.DrawFn, data: str) -> bytes:
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    space = draw(st.sampled_from(["", " "])) if not data.startswith(" ") else " "
    before = draw(st.sampled_from(["", ": keep-alive{0}{0}", ":{0}", "event: message{0}", "id: 1{0}", "retry: 5{0}"]))
    return f"{before.format(end)}data:{space}{data}{end}{end}".encode()


@given(rendered())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_way_to_stream_an_answer_gives_that_answer(pair: tuple[Answer, bytes]) -> None:
    answer, body = pair
    assert parse.parse(body, streamed=True) == answer


@given(rendered())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_events_of_a_stream_cover_its_data_in_order(pair: tuple[Answer, bytes]) -> None:
    _, body = pair
    events = parse.events(body)
    ends = [0, *(e.end for e in events)]
    assert ends == sorted(ends)
    # An event is complete in the bytes up to its end, and not one byte before the mark of its blank line begins.
    for i, e in enumerate(events):
        assert len(parse.events(body[: e.end])) == i + 1
        assert e.value is None or b"data:" in body[e.start : e.end]


@given(answers())
@settings(deadline=None)
def test_a_whole_answer_gives_that_answer(answer: Answer) -> None:
    calls = [
        {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for c in answer.tool_calls
    ]
    message = {"role": "assistant", "content": answer.content, "reasoning": answer.reasoning, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    if answer.token_ids is not None:
        choice["token_ids"] = list(answer.token_ids)
    body = {"choices": [choice], "usage": usage_object(answer.usage or Usage()), "prompt_text": answer.prompt_text}
    assert parse.parse(json.dumps(body).encode(), streamed=False) == answer


def parsed(body: bytes, *, streamed: bool) -> Answer | None:
    try:
        return parse.parse(body, streamed=streamed)
    except ExchangeError as error:
        cause = str(error)
    assert cause.isprintable()
    assert cause.encode()
    return None


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_an_exchange_error(body: bytes, streamed: bool) -> None:
    assert parsed(body, streamed=streamed) is None


@given(JSON, st.booleans())
def test_json_that_is_no_completion_is_an_exchange_error(value: Any, streamed: bool) -> None:
    text = json.dumps(value)
    assert parsed(text.encode(), streamed=False) is None
    assert parsed(f"data: {text}\n\ndata: [DONE]\n\n".encode(), streamed=streamed) is None


@given(st.dictionaries(st.sampled_from(["choices", "usage", "error", "prompt_text"]), JSON), JSON, JSON)
def test_a_completion_of_odd_shape_is_read_or_refused(envelope: dict[str, Any], choice: Any, part: Any) -> None:
    for value in (envelope, {"choices": [choice]}, {"choices": [{"index": 0, "message": part, "delta": part}]}):
        for body, streamed in ((json.dumps(value), False), (f"data: {json.dumps(value)}\n\ndata: [DONE]\n\n", True)):
            answer = parsed(body.encode(), streamed=streamed)
            assert answer is None or isinstance(answer, Answer)


@given(rendered(), st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_stream_is_refused_or_still_text(pair: tuple[Answer, bytes], data: st.DataObject) -> None:
    _, body = pair
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 4)) :]
    answer = parsed(damaged, streamed=True)
    for text in (answer.content, answer.reasoning) if answer else ():
        assert text is None or text.encode() is not None


@given(rendered(), st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_truncated_stream_never_passes_for_a_whole_one(pair: tuple[Answer, bytes], data: st.DataObject) -> None:
    """Cut before the event with the finish_reason is complete, there is no answer."""
    _, body = pair
    events = parse.events(body)
    finish = events[-3]
    at = data.draw(st.integers(0, finish.end - 2))
    assert parsed(body[:at], streamed=True) is None


@given(st.lists(st.binary(max_size=20)))
def test_reading_a_stream_raises_nothing_else(lines: list[bytes]) -> None:
    body = b"\n".join([b"data: {}", b"", *lines, b""])
    try:
        stream = read_stream(body)
    except ExchangeError:
        return
    assert stream.events[0].value == {}

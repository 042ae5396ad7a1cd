"""Parsing a response body: what is read, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from annie_eval.errors import ExchangeError
from annie_eval.wire import parse
from annie_eval.wire.sample import ToolCall, Usage
from tests.support.growth import LINEAR, growth

CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "look"}}


def test_a_stream_is_joined_per_channel_and_nothing_is_stripped(bodies: Any) -> None:
    body = bodies.stream({"reasoning": " hm"}, {"reasoning": "\n"}, {"content": "\n Hello"}, {"content": " there. "})
    answer = parse.parse(body, streamed=True)
    assert (answer.content, answer.reasoning) == ("\n Hello there. ", " hm\n")
    assert answer.finish_reason == "stop"
    assert answer.usage == Usage(9, 3)


def test_a_whole_answer_has_the_same_channels(bodies: Any) -> None:
    answer = parse.parse(bodies.whole({"content": " Hi. ", "reasoning": "hm"}), streamed=False)
    assert (answer.content, answer.reasoning, answer.finish_reason) == (" Hi. ", "hm", "stop")


def test_absent_null_and_empty_are_told_apart(bodies: Any) -> None:
    assert parse.parse(bodies.whole({"content": None}), streamed=False).content is None
    assert parse.parse(bodies.whole({}), streamed=False).content is None
    assert parse.parse(bodies.whole({"content": ""}), streamed=False).content == ""


def test_the_older_name_of_reasoning_is_read(bodies: Any) -> None:
    body = bodies.stream({"reasoning_content": "a"}, {"reasoning_content": "b"})
    assert parse.parse(body, streamed=True).reasoning == "ab"


def test_both_names_of_reasoning_count_once_when_equal_and_both_when_not(bodies: Any) -> None:
    same = bodies.stream({"reasoning": "ab", "reasoning_content": "ab"})
    other = bodies.stream({"reasoning": "ab", "reasoning_content": "cd"})
    assert parse.parse(same, streamed=True).reasoning == "ab"
    assert parse.parse(other, streamed=True).reasoning == "abcd"


def test_tool_calls_are_joined_by_index(bodies: Any) -> None:
    def fragment(index: int, arguments: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}

    second = {"index": 1, "id": "b", "function": {"name": "ask", "arguments": ""}}
    body = bodies.stream({"tool_calls": [CALL, second]}, fragment(0, '{"q'), fragment(1, "{}"), fragment(0, '": 1}'))
    assert parse.parse(body, streamed=True).tool_calls == (
        ToolCall("a", "look", '{"q": 1}', 0),
        ToolCall("b", "ask", "{}", 1),
    )


def test_fragments_without_an_index_go_by_id_then_to_the_last_call(bodies: Any) -> None:
    def fragment(**fields: Any) -> dict[str, Any]:
        return {"tool_calls": [fields]}

    body = bodies.stream(
        fragment(id="a", function={"name": "look", "arguments": "{"}),
        fragment(function={"arguments": "}"}),
        fragment(id="b", function={"name": "ask", "arguments": "["}),
        fragment(id="a", function={"arguments": "!"}),
        fragment(function={"arguments": "]"}),
    )
    calls = parse.parse(body, streamed=True).tool_calls
    assert [(call.id, call.arguments) for call in calls] == [("a", "{}!"), ("b", "[]")]


def test_arguments_that_are_no_string_are_none(bodies: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": {"q": 1}}}
    assert parse.parse(bodies.whole({"tool_calls": [call]}), streamed=False).tool_calls[0].arguments is None


def test_the_old_function_call_is_a_call_without_an_id(bodies: Any) -> None:
    body = bodies.stream({"function_call": {"name": "look", "arguments": "{"}}, {"function_call": {"arguments": "}"}})
    assert parse.parse(body, streamed=True).tool_calls == (ToolCall(None, "look", "{}"),)


def test_content_given_as_text_parts_is_joined(bodies: Any) -> None:
    parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}]
    assert parse.parse(bodies.whole({"content": parts}), streamed=False).content == "Hello there."


def test_usage_is_taken_from_any_chunk_and_the_last_counts(bodies: Any) -> None:
    running = bodies.chunk({"content": "a"}) | {"usage": {"prompt_tokens": 9, "completion_tokens": 1}}
    chunks = bodies.chunks({"content": "b"})
    assert parse.parse(bodies.sse([running, *chunks]), streamed=True).usage == Usage(9, 3)
    assert parse.parse(bodies.sse([*chunks[:-1], running]), streamed=True).usage == Usage(9, 1)


def test_cached_and_reasoning_tokens_are_read_where_each_server_has_them(bodies: Any) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    vllm = bodies.envelope([], usage=bodies.usage | details)
    sglang = bodies.envelope([], usage=bodies.usage | {"reasoning_tokens": 2, "prompt_tokens_details": None})
    chunks = bodies.chunks({"content": "a"})[:-1]
    assert parse.parse(bodies.sse([*chunks, vllm]), streamed=True).usage == Usage(9, 3, 4, 2)
    assert parse.parse(bodies.sse([*chunks, sglang]), streamed=True).usage == Usage(9, 3, None, 2)


def test_token_ids_and_the_prompt_are_read(bodies: Any) -> None:
    first = bodies.chunk({"role": "assistant", "content": ""}) | {"prompt_token_ids": [5, 6], "prompt_text": "<p>"}
    body = bodies.sse([first, bodies.chunk({"content": "a"}, token_ids=[1]), bodies.chunk({}, "stop", token_ids=[2])])
    answer = parse.parse(body, streamed=True)
    assert (answer.token_ids, answer.prompt_text) == ((1, 2), "<p>")
    assert parse.prompt_token_ids(body, streamed=True) == (5, 6)
    assert parse.prompt_token_ids(bodies.whole({}), streamed=False) is None


def test_surrogate_halves_are_joined_across_deltas_and_a_lone_one_is_replaced(bodies: Any) -> None:
    body = bodies.stream({"content": "\ud83d"}, {"content": "\ude00 and \ud800x"})
    content = parse.parse(body, streamed=True).content
    assert content == "\U0001f600 and \ufffdx"
    assert content.encode()


def test_an_event_ends_where_its_blank_line_does(bodies: Any) -> None:
    body = bodies.stream({"content": "a"})
    events = parse.events(body)
    assert [body[e.start : e.end] for e in events] == [part + b"\n\n" for part in body.split(b"\n\n")[:-1]]
    assert events[-1].data == "[DONE]"
    assert events[-1].value is None


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_every_line_end_of_the_standard_is_read(bodies: Any, end: str) -> None:
    body = bodies.stream({"content": "a\nb"}).decode().replace("\n", end).encode()
    assert parse.parse(body, streamed=True).content == "a\nb"


def test_comments_other_fields_a_byte_order_mark_and_split_data_are_read(bodies: Any) -> None:
    last = json.dumps(bodies.chunk({"content": "c"}, "stop"), indent=1).replace("\n", "\ndata: ")
    body = (
        b"\xef\xbb\xbf: hi\n\nevent: message\nid: 4\nretry: 9\ndata:"
        + json.dumps(bodies.chunk({"role": "assistant", "content": "ab"})).encode()
    )
    body += f"\n\n: keep-alive\n\ndata: {last}\n\ndata: [DONE]\n\n".encode()
    assert parse.parse(body, streamed=True).content == "abc"


def test_an_event_without_its_blank_line_is_not_dispatched(bodies: Any) -> None:
    body = bodies.sse(bodies.chunks({"content": "a"}))[:-1]
    assert [e.data for e in parse.events(body)][-1] != "[DONE]"
    with pytest.raises(ExchangeError, match="broke off after 1 events"):
        parse.parse(bodies.sse([bodies.chunk({"content": "a"}), bodies.chunk({}, "stop")])[:-16], streamed=True)


def test_what_follows_done_is_not_read(bodies: Any) -> None:
    body = bodies.stream({"content": "a"}) + bodies.sse([bodies.chunk({"content": "b"})]) + b"\xff\xfe garbage"
    assert parse.parse(body, streamed=True).content == "a"


def broken(body: bytes, *, streamed: bool) -> str:
    with pytest.raises(ExchangeError) as caught:
        parse.parse(body, streamed=streamed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "streamed", "cause"),
    [
        (b"", True, "the stream is empty"),
        (b"", False, "the answer is empty"),
        (b"\n\n", True, "the stream is empty"),
        (b"<!DOCTYPE html>\n<p>nginx", True, "HTML instead of an event stream: <!DOCTYPE html> <p>nginx"),
        (b"<html>", False, "HTML instead of JSON: <html>"),
        (b"\x00\x9f\x92", True, "byte 1 of the stream is not UTF-8"),
        (b'{"a": "\xff"}', False, "byte 7 of the answer is not UTF-8"),
        (b'data: {"choices": [}\n\n', True, "event 1 is not valid JSON"),
        (b'data: {"choices": [', True, "not an event stream"),
        (b"data: 17\n\n", True, "event 1 is a number, not an object"),
        (b"Internal Server Error", False, "the answer is not valid JSON"),
        (b"[]", False, "the answer is a list, not an object"),
        (b'{"choices": []}', False, "the answer has no choices"),
        (b'data: {"choices": []}\n\ndata: [DONE]\n\n', True, "the stream has no choices in any of its 1 events"),
        (b"data: [DONE]\n\n", True, "the stream has no choices in any of its 0 events"),
        (b'{"choices": [{}]}', False, "the choice has no message"),
        (b'{"detail": "no"}', False, "choices is missing or null, not a list"),
        (b'{"choices": {}}', False, "choices is an object, not a list"),
        (b'{"choices": [null, 3]}', False, "a choice is a number, not an object"),
        (b'{"error": {"message": "out of\\nmemory"}}', False, "the server reported an error: out of memory"),
        (b'{"error": "boom"}', True, "the server reported an error: boom"),
        (b'{"object": "error", "message": "old"}', False, "the server reported an error: old"),
        (b'{"choices": []}', True, "a JSON body instead of an event stream"),
        (b'data: {"choices": []}\n\n', False, "an event stream came, but none was asked for"),
        (b'{"a": NaN}', False, "NaN is no JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', False, "key 'c' twice in one object"),
        (b"[" * 100_000, False, "nested too deeply"),
    ],
)
def test_what_no_client_could_read_is_an_error_with_its_cause(body: bytes, streamed: bool, cause: str) -> None:
    assert cause in broken(body, streamed=streamed)


@pytest.mark.parametrize(
    ("delta", "cause"),
    [
        ("text", "delta is a string, not an object"),
        ({"content": 5}, "delta.content is a number, not a string"),
        ({"content": [{"type": "image"}]}, "delta.content has a part that is no text"),
        ({"reasoning": {}}, "delta.reasoning is an object, not a string"),
        ({"tool_calls": {}}, "delta.tool_calls is an object, not a list"),
        ({"tool_calls": [None]}, "delta.tool_calls[0] is null, not an object"),
        ({"tool_calls": [{"index": 0, "id": 7}]}, "delta.tool_calls[0].id is a number, not a string"),
        ({"tool_calls": [{"index": 0, "function": []}]}, "function is a list, not an object"),
        ({"tool_calls": [{"index": 0, "function": {"name": True}}]}, "name is a boolean, not a string"),
    ],
)
def test_a_delta_of_the_wrong_shape_is_an_error(bodies: Any, delta: Any, cause: str) -> None:
    assert cause in broken(bodies.stream(delta), streamed=True)


@pytest.mark.parametrize("usage", ["much", {"completion_tokens": "3"}, {"prompt_tokens": True}, {"prompt_tokens": -1}])
def test_a_usage_of_the_wrong_shape_is_an_error(bodies: Any, usage: Any) -> None:
    assert "usage" in broken(bodies.sse([*bodies.chunks()[:-1], bodies.envelope([], usage=usage)]), streamed=True)


def test_an_error_in_the_middle_of_a_stream_is_quoted(bodies: Any) -> None:
    chunks = bodies.chunks({"content": "a"})
    body = bodies.sse([*chunks[:2], {"error": {"message": "engine died", "code": 500}}])
    assert broken(body, streamed=True) == "the server reported an error: engine died"


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_an_answer_that_the_server_broke_off_is_an_error(bodies: Any, reason: str) -> None:
    assert "broke the answer off" in broken(bodies.whole({"content": "a"}, reason), streamed=False)


def test_a_stream_without_finish_reason_and_done_is_an_error(bodies: Any) -> None:
    chunks = bodies.chunks({"content": "a"})
    assert broken(bodies.sse(chunks[:2], done=False), streamed=True) == (
        "the stream broke off after 2 events: no finish_reason and no [DONE]"
    )
    assert parse.parse(bodies.sse(chunks[:2]), streamed=True).finish_reason is None
    assert parse.parse(bodies.sse(chunks, done=False), streamed=True).finish_reason == "stop"


def test_null_error_is_no_error(bodies: Any) -> None:
    assert parse.parse(bodies.sse([c | {"error": None} for c in bodies.chunks({"content": "a"})]), streamed=True)


def test_a_stream_whose_choices_have_no_delta_is_none(bodies: Any) -> None:
    chunks = bodies.chunks({"content": "Hello."})
    for chunk in chunks:
        for choice in chunk["choices"]:
            choice["message"] = choice.pop("delta")
    with pytest.raises(ExchangeError, match="no choice of the stream has a delta"):
        parse.parse(bodies.sse(chunks), streamed=True)


def test_calls_without_an_index_are_joined_in_linear_time(bodies: Any) -> None:
    def body(count: int) -> bytes:
        open_ = {"name": "look", "arguments": "{"}
        opened = [{"tool_calls": [{"id": f"c{i}", "function": open_}]} for i in range(count)]
        closed = [{"tool_calls": [{"id": f"c{i}", "function": {"arguments": "}"}}]} for i in range(count)]
        joined: bytes = bodies.stream(*opened, *closed)
        return joined

    def read(count: int) -> Callable[[], object]:
        stream = body(count)
        return lambda: parse.parse(stream, streamed=True)

    assert growth(read, 500) < LINEAR
    calls = parse.parse(body(100), streamed=True).tool_calls
    assert {(call.name, call.arguments) for call in calls} == {("look", "{}")}
    assert [call.index for call in calls] == list(range(100))


def test_an_answer_beyond_what_is_judged_is_an_error_by_name(bodies: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "MAX_TEXT", 1000)
    monkeypatch.setattr(parse, "MAX_CALLS", 2)
    assert parse.parse(bodies.stream({"content": "a" * 600}, {"content": "b" * 400}), streamed=True).content
    with pytest.raises(ExchangeError, match="1001 characters, more than the 1000 that are judged"):
        parse.parse(bodies.whole({"content": "a" * 600, "reasoning": "b" * 401}), streamed=False)
    with pytest.raises(ExchangeError, match="more than 2 tool calls"):
        parse.parse(bodies.whole({"tool_calls": [CALL] * 3}), streamed=False)

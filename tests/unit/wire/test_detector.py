"""The protocol's rules, each with a body that violates it; streams of real servers violate none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from annie_eval.detectors.wire import find
from annie_eval.wire.sample import Sample

HEAD = {"index": 0, "id": "a", "type": "function", "function": {"name": "look"}}
REST = {"index": 0, "function": {"arguments": "{}"}}


def reasons(sample: Sample) -> list[str]:
    return [finding.reason for finding in find(sample)]


def test_a_clean_stream_and_a_clean_answer_pass(bodies: Any, sample: Callable[..., Sample]) -> None:
    assert find(sample(bodies.stream({"content": "Hello."}))) == ()
    assert find(sample(bodies.whole({"content": "Hello."}), streamed=False)) == ()


def test_a_clean_call_passes(bodies: Any, sample: Callable[..., Sample]) -> None:
    second = HEAD | {"index": 1, "id": "b"}
    body = bodies.stream({"tool_calls": [HEAD]}, {"tool_calls": [REST, second]}, finish_reason="tool_calls")
    assert find(sample(body)) == ()
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    assert find(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False)) == ()


@pytest.mark.parametrize(
    ("fragments", "reason"),
    [
        ([HEAD, REST | {"id": "b"}], "a later fragment of a tool call changes its id"),
        ([HEAD, REST | {"id": "a"}], "a later fragment of a tool call repeats its id"),
        ([HEAD, {"index": 0, "function": {"name": "look"}}], "a later fragment of a tool call repeats its name"),
        ([HEAD, {"index": 0, "function": {"name": "ask"}}], "a later fragment of a tool call changes its name"),
        ([HEAD | {"index": 1}], "the indices of the tool calls do not count up from 0"),
        ([HEAD, HEAD | {"index": 2, "id": "c"}], "the indices of the tool calls do not count up from 0"),
        ([{**HEAD, "id": None}], "the first fragment of a tool call has no id"),
        ([{**HEAD, "id": ""}], "the first fragment of a tool call has no id"),
        ([HEAD | {"function": {"arguments": "{}"}}], "the first fragment of a tool call has no name"),
        ([{**HEAD, "id": None}, REST | {"id": "a"}], "the id of a tool call does not come in its first fragment"),
        ([HEAD, {"function": {"arguments": "{}"}}], "a tool-call fragment has no index"),
        ([HEAD, {"index": "0", "function": {"arguments": "{}"}}], "a tool-call fragment has no index"),
        ([HEAD, {"index": 0, "function": {"arguments": None}}], "an arguments fragment is no string"),
        ([HEAD, {"index": 0, "function": {"arguments": {"q": 1}}}], "an arguments fragment is no string"),
        ([HEAD | {"type": "builtin"}], 'the type of a tool call is not "function"'),
        ([HEAD, HEAD | {"index": 1}], "two tool calls have the same id"),
    ],
)
def test_a_fragment_that_contradicts_the_protocol_is_found(
    bodies: Any, sample: Callable[..., Sample], fragments: list[dict[str, Any]], reason: str
) -> None:
    body = bodies.stream(*[{"tool_calls": [fragment]} for fragment in fragments], finish_reason="tool_calls")
    assert reason in reasons(sample(body))


@pytest.mark.parametrize(
    "fragment",
    [
        REST | {"id": None, "type": "function", "function": {"name": None, "arguments": "{}"}},  # SGLang
        REST | {"id": "", "function": {"name": "", "arguments": "{}"}},
        {"index": 0, "function": {"arguments": ""}},
    ],
)
def test_a_later_fragment_may_say_null_or_nothing(
    bodies: Any, sample: Callable[..., Sample], fragment: dict[str, Any]
) -> None:
    first = HEAD | {"function": {"name": "look", "arguments": None}}
    body = bodies.stream({"tool_calls": [first]}, {"tool_calls": [fragment]}, finish_reason="tool_calls")
    assert find(sample(body)) == ()


SAID = [{"content": "Hello there, "}, {"content": "how are you"}, {"content": "?"}]
WHOLE = "Hello there, how are you?"


def test_a_last_chunk_that_repeats_all_is_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    chunks = bodies.chunks(*SAID)
    chunks[-2]["choices"][0]["delta"] = {"content": WHOLE}
    assert reasons(sample(bodies.sse(chunks))) == ["a delta repeats all that was said before it"]
    assert reasons(sample(bodies.stream(*SAID, {"content": " Hello there."}))) == []


def test_a_short_answer_said_once_more_by_the_last_chunk_is_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    chunks = bodies.chunks({"content": "Ye"}, {"content": "s."})
    chunks[-2]["choices"][0]["delta"] = {"content": "Yes."}
    assert reasons(sample(bodies.sse(chunks))) == ["a delta repeats all that was said before it"]
    assert reasons(sample(bodies.stream({"content": "No"}, {"content": ","}, {"content": " no."}))) == []


def test_deltas_that_add_up_are_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    growing = [{"content": WHOLE[:end]} for end in (5, 13, 20, len(WHOLE))]
    assert "a delta repeats all that was said before it" in reasons(sample(bodies.stream(*growing)))


def test_an_empty_chunk_before_the_role_is_a_keep_alive(bodies: Any, sample: Callable[..., Sample]) -> None:
    chunks = bodies.chunks({"content": "Hello."})
    assert find(sample(bodies.sse([bodies.chunk({}), *chunks]))) == ()
    late = [bodies.chunk({"content": "Hi. "}), *chunks]
    assert "the first delta has no role" in reasons(sample(bodies.sse(late)))


def test_done_with_a_space_behind_it_is_done(bodies: Any, sample: Callable[..., Sample]) -> None:
    body = bodies.stream({"content": "Hello."}).replace(b"[DONE]", b"[DONE] ")
    assert find(sample(body)) == ()


@pytest.mark.parametrize(
    ("asked", "same"),
    [("m", True), ("models/m", True), ("M", True), ("m:latest", True), ("m-2026-11-01", True), ("other", False)],
)
def test_another_model_than_the_one_that_was_asked_is_found(
    bodies: Any, sample: Callable[..., Sample], asked: str, same: bool
) -> None:
    for streamed, body in (
        (True, bodies.stream({"content": "Hello."})),
        (False, bodies.whole({"content": "Hello."})),
    ):
        found = reasons(sample(body, streamed=streamed, more={"model": asked}))
        assert found == ([] if same else ["another model answered than the one that was asked"])


@pytest.mark.parametrize("streamed", [True, False])
def test_a_nul_in_an_answer_is_found_and_a_line_end_is_not(
    bodies: Any, sample: Callable[..., Sample], streamed: bool
) -> None:
    make = bodies.stream if streamed else bodies.whole
    assert reasons(sample(make({"content": "Hel\0lo."}), streamed=streamed)) == ["control character in content"]
    assert reasons(sample(make({"content": "Hello.\n\tThere."}), streamed=streamed)) == []


def test_a_nul_that_is_written_as_an_escape_is_found_in_arguments(bodies: Any, sample: Callable[..., Sample]) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"q": "a\\u0000"}'}}
    given = reasons(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False))
    assert given == ["control character in tool_calls"]


TOOLS = {
    "tools": [
        {"type": "function", "function": {"name": "look_up", "parameters": {"required": ["query"]}}},
        {"type": "function", "function": {"name": "get_time", "parameters": {}}},
    ]
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("get_time", None),
        ("open_door", None),
        ("get_time</arg_value>", "characters that no tool's name has"),
        ("get_time\n", "characters that no tool's name has"),
        ("get_tim", "letters missing"),
        ("et_time", "letters missing"),
        ("look_upp", "letters too many"),
        ("get_timeget_time", "comes twice"),
        ("functions.get_time", "its address around it"),
        ("get_time:0", "its address around it"),
        ("get_timelook_up", "two tool calls are in one"),
    ],
)
def test_a_garbled_name_is_the_parsers_and_another_tool_the_models(
    bodies: Any, sample: Callable[..., Sample], name: str, reason: str | None
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": name, "arguments": '{"query": "x"}'}}
    found = reasons(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False, more=TOOLS))
    assert [reason in one for one in found] == [True] if reason else found == []


@pytest.mark.parametrize(
    ("query", "found"),
    [("key</arg_value>", True), ("key\\n</parameter>", True), ("<b>key</b>", False), ("key", False)],
)
def test_markup_of_the_call_in_its_arguments_is_the_parsers(
    bodies: Any, sample: Callable[..., Sample], query: str, found: bool
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": f'{{"query": "{query}"}}'}}
    given = reasons(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False, more=TOOLS))
    assert given == (["markup of the tool call in its arguments"] if found else [])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ('{"query": "a"}{"query": "b"}', "the arguments of two tool calls are in one"),
        ('{"query": "a"}, {"query": "b"}', "the arguments of two tool calls are in one"),
        (json.dumps('{"query": "a"}'), "the arguments of a tool call are a JSON string that holds JSON"),
        ('{"query": "{}{}"}', None),
        ('{"query": "a"}}', None),  # as the model may have it
    ],
)
def test_arguments_that_were_joined_or_encoded_twice_are_the_parsers(
    bodies: Any, sample: Callable[..., Sample], arguments: str, reason: str | None
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    given = reasons(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False, more=TOOLS))
    assert given == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (("look_up", '{"query": "a"}'), ("look_up", "{}"), True),
        (("look_up", '{"query": "a"}'), ("look_up", ""), True),
        (("look_up", "{}"), ("look_up", '{"query": "b"}'), True),
        (("look_up", '{"query": "a"}'), ("look_up", '{"query": "b"}'), False),
        (("look_up", '{"query": "a"}'), ("get_time", "{}"), False),  # a tool that needs none
        (("look_up", "{}"), ("look_up", "{}"), False),  # as the model may have it
    ],
)
def test_parallel_calls_without_their_arguments_are_the_parsers(
    bodies: Any, sample: Callable[..., Sample], first: tuple[str, str], second: tuple[str, str], found: bool
) -> None:
    calls = [
        {"id": str(at), "type": "function", "function": {"name": name, "arguments": arguments}}
        for at, (name, arguments) in enumerate((first, second))
    ]
    given = reasons(sample(bodies.whole({"tool_calls": calls}, "tool_calls"), streamed=False, more=TOOLS))
    assert given == (["one of parallel calls comes without arguments"] if found else [])


def damaged(bodies: Any, *, at: int, **change: Any) -> bytes:
    """A clean stream in which one chunk's fields are changed."""
    chunks = bodies.chunks({"content": "Hello"}, {"content": " there."})
    chunks[at] = chunks[at] | change
    body: bytes = bodies.sse(chunks)
    return body


@pytest.mark.parametrize(
    ("at", "change", "reason"),
    [
        (1, {"object": "chat.completion"}, 'object is not "chat.completion.chunk"'),
        (2, {"id": "chatcmpl-2"}, "id changes within the stream"),
        (4, {"id": "chatcmpl-2"}, "id changes within the stream"),
        (2, {"model": "other"}, "model changes within the stream"),
        (2, {"created": 6}, "created goes back within the stream"),
        (2, {"created": "now"}, "created is no time stamp"),
        (0, {"choices": [{"index": 0, "delta": {"content": ""}}]}, "the first delta has no role"),
        (0, {"choices": [{"index": 0, "delta": {"role": "user"}}]}, 'role is not "assistant"'),
        (1, {"choices": [{"index": 1, "delta": {"content": "a"}}]}, "the choice's index is not 0"),
        (1, {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {}}]}, "more than one choice"),
        (1, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "more than one finish_reason"),
        (
            1,
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            "says something after the finish_reason",
        ),
        (3, {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]}, "there is no finish_reason"),
        (3, {"choices": [{"index": 0, "delta": {}, "finish_reason": "done"}]}, "unknown finish_reason"),
        (3, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, "but there is no call"),
        (4, {"usage": None}, "usage is missing"),
        (4, {"usage": {"completion_tokens": 3}}, "usage lacks prompt_tokens"),
        (4, {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 3}}, "total_tokens is not"),
        (4, {"usage": {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}}, "completion_tokens is 0"),
        (1, {"choices": [{"index": 0, "delta": {"content": "a"}, "token_ids": [4]}]}, "not the number of token ids"),
        (1, {"choices": [{"index": 0, "delta": None}]}, "a choice has no delta"),
        (1, {"choices": [None]}, "a choice has no delta"),
        (1, {"choices": [{"index": 0, "finish_reason": None}]}, "a choice has no delta"),
        (1, {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": ""}]}, "an empty string, not null"),
        (4, {"usage": {"prompt_tokens": 9.0, "completion_tokens": 3.0, "total_tokens": 12.0}}, "in fractions"),
    ],
)
def test_a_chunk_that_breaks_a_rule_is_found(
    bodies: Any, sample: Callable[..., Sample], at: int, change: dict[str, Any], reason: str
) -> None:
    assert any(reason in found for found in reasons(sample(damaged(bodies, at=at, **change))))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"choices": [{"index": 0, "message": {"role": "tool"}, "finish_reason": "stop"}]}, 'role is not "assistant"'),
        ({"object": "chat.completion.chunk"}, 'object is not "chat.completion"'),
        ({"choices": [{"index": 0, "message": {"role": "assistant"}}]}, "there is no finish_reason"),
        ({"usage": None}, "usage is missing"),
        ({"created": True}, "created is no time stamp"),
    ],
)
def test_a_whole_answer_that_breaks_a_rule_is_found(
    bodies: Any, sample: Callable[..., Sample], body: dict[str, Any], reason: str
) -> None:
    value = json.loads(bodies.whole({"content": "Hello."})) | body
    assert reason in reasons(sample(json.dumps(value).encode(), streamed=False))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "a tool call has no id"),
        ({"function": {"arguments": "{}"}}, "a tool call has no name"),
        ({"function": {"name": "look", "arguments": {}}}, "the arguments of a tool call are no string"),
        ({"function": {"name": "look"}}, "the arguments of a tool call are no string"),
        ({"type": "custom"}, 'the type of a tool call is not "function"'),
    ],
)
def test_a_whole_call_that_breaks_a_rule_is_found(
    bodies: Any, sample: Callable[..., Sample], change: dict[str, Any], reason: str
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}} | change
    assert reason in reasons(sample(bodies.whole({"tool_calls": [call]}, "tool_calls"), streamed=False))


def test_function_call_beside_tool_calls_is_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    both = {"function_call": {"name": "look", "arguments": "{}"}}
    body = bodies.stream({"tool_calls": [HEAD]}, {"tool_calls": [REST]}, both, finish_reason="tool_calls")
    assert reasons(sample(body)) == ["function_call beside tool_calls"]
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    whole = bodies.whole({"tool_calls": [call], **both}, "tool_calls")
    assert reasons(sample(whole, streamed=False)) == ["function_call beside tool_calls"]


def test_done_is_the_end(bodies: Any, sample: Callable[..., Sample]) -> None:
    clean = bodies.stream({"content": "Hello."})
    assert find(sample(clean + b"\n: bye\n\n")) == ()
    late = bodies.sse([bodies.chunk({"content": "more"})], done=False)
    assert reasons(sample(clean + late)) == ["the stream goes on after [DONE]"]
    assert reasons(sample(clean + b"garbage")) == ["the stream goes on after [DONE]"]
    assert reasons(sample(clean[: -len(b"data: [DONE]\n\n")])) == ["the stream ends without [DONE]"]
    assert "the last event has no blank line, so that clients drop it" in reasons(sample(clean[:-1]))


def test_a_line_that_lost_its_prefix_is_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    body = bodies.stream({"content": "Hello"}, {"content": " there."}).replace(b"data: ", b"", 3)
    body = bodies.sse(bodies.chunks()[:1], done=False) + body
    assert "a line of the stream is no field of an event, so that clients drop it" in reasons(sample(body))


@pytest.mark.parametrize("streamed", [True, False])
def test_the_content_type_must_fit(bodies: Any, sample: Callable[..., Sample], streamed: bool) -> None:
    body = bodies.stream({"content": "a"}) if streamed else bodies.whole({"content": "a"})
    assert find(sample(body, streamed=streamed, content_type="text/html"))
    fits = "text/event-stream;charset=UTF-8" if streamed else "application/json; charset=utf-8"
    assert find(sample(body, streamed=streamed, content_type=fits)) == ()


@pytest.mark.parametrize(
    "token",
    ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<start_of_turn>", "<bos>"],
)
def test_a_template_token_is_found_in_every_channel(bodies: Any, sample: Callable[..., Sample], token: str) -> None:
    for channel in ("content", "reasoning"):
        (finding,) = find(sample(bodies.stream({channel: f"Hello.{token}"})))
        assert (finding.channel, finding.span, finding.excerpt) == (channel, (6, 6 + len(token)), f"Hello.{token}")
    arguments = {"index": 0, "function": {"arguments": json.dumps({"q": token})}}
    body = bodies.stream({"tool_calls": [HEAD]}, {"tool_calls": [arguments]}, finish_reason="tool_calls")
    assert reasons(sample(body)) == ["template token in tool_calls"]


def test_talking_of_template_tokens_is_no_breach(bodies: Any, sample: Callable[..., Sample]) -> None:
    body = bodies.stream({"content": "Hello."})
    assert find(sample(bodies.stream({"content": "It ends with <|im_end|>."}), topic=("tags",))) == ()
    assert find(sample(body.replace(b"Hello.", b"A < b | c > d, <s>, </think> and <|think|>."))) == ()


def chunked(choices: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"id": "x", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": choices} | fields


def choice(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish} | fields


USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
NULLS: dict[str, Any] = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}
STREAMS: dict[str, tuple[list[dict[str, Any]], bool]] = {
    "sglang": (
        [
            chunked([choice({**NULLS, "role": "assistant", "content": ""}, matched_stop=None)], usage=None),
            chunked([choice({**NULLS, "reasoning_content": "hm"}, matched_stop=None)], usage=None, created=8),
            chunked(
                [
                    choice(
                        {
                            **NULLS,
                            "tool_calls": [
                                {
                                    "id": "call_1",
                                    "index": 0,
                                    "type": "function",
                                    "function": {"name": "look", "arguments": ""},
                                }
                            ],
                        }
                    )
                ],
                created=8,
            ),
            chunked(
                [
                    choice(
                        {
                            **NULLS,
                            "tool_calls": [
                                {
                                    "id": None,
                                    "index": 0,
                                    "type": "function",
                                    "function": {"name": None, "arguments": "{}"},
                                }
                            ],
                        }
                    )
                ],
                created=9,
            ),
            chunked([choice(NULLS, "tool_calls", matched_stop=151645)], usage=None, created=9),
            chunked([], usage={**USAGE, "prompt_tokens_details": None, "reasoning_tokens": 1}, created=9),
        ],
        True,
    ),
    "llama-server": (
        [
            chunked([choice({"role": "assistant", "content": None})], system_fingerprint="b6"),
            chunked([choice({"content": "Hello."})], system_fingerprint="b6", created=8),
            chunked([choice({}, "stop")], system_fingerprint="b6", created=8),
            chunked([], usage=USAGE, timings={"prompt_n": 9}, created=8),
        ],
        True,
    ),
    "transformers serve": (
        [
            chunked([choice({"role": "assistant"})], system_fingerprint=""),
            chunked([choice({"content": "Hello."})], system_fingerprint=""),
            chunked([choice({}, "stop")], system_fingerprint="", usage=USAGE),
        ],
        False,
    ),
    "azure": (
        [
            {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []},
            chunked([choice({"role": "assistant", "content": "", "refusal": None})], obfuscation="aX"),
            chunked([choice({"content": "Hello."}, logprobs=None)], usage=None, service_tier="default"),
            chunked([choice({}, "stop")], usage=None),
            chunked([], usage=USAGE),
        ],
        True,
    ),
}


@pytest.mark.parametrize("server", STREAMS)
def test_the_habits_of_real_servers_are_no_breach(bodies: Any, sample: Callable[..., Sample], server: str) -> None:
    chunks, done = STREAMS[server]
    assert find(sample(bodies.sse(chunks, done=done))) == ()


def test_a_terse_server_breaks_no_rule(bodies: Any, sample: Callable[..., Sample]) -> None:
    """What clients do not need may be missing: ids, model, time stamps, object types, the index of the one choice."""
    terse = [
        {"choices": [{"delta": {"role": "assistant", "content": "Hello."}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    ]
    assert find(sample(bodies.sse(terse))) == ()


def test_only_the_ending_of_transformers_serve_excuses_a_missing_done(
    bodies: Any, sample: Callable[..., Sample]
) -> None:
    for server, (chunks, done) in STREAMS.items():
        if done:
            assert reasons(sample(bodies.sse(chunks, done=False))) == ["the stream ends without [DONE]"], server


def test_content_is_a_string(bodies: Any, sample: Callable[..., Sample]) -> None:
    parts = [{"type": "text", "text": "Hello."}]
    assert reasons(sample(bodies.stream({"content": parts}))) == ["content is a list of parts, not a string"]
    whole = sample(bodies.whole({"content": parts}), streamed=False)
    assert reasons(whole) == ["content is a list of parts, not a string"]


def test_deltas_that_all_come_twice_are_found_and_an_echo_is_not(bodies: Any, sample: Callable[..., Sample]) -> None:
    words = ["Good ", "morning ", "to ", "you."]
    twice = [{"content": word} for word in words for _ in range(2)]
    assert reasons(sample(bodies.stream(*twice))) == ["every delta comes twice"]
    assert reasons(sample(bodies.stream(*[{"content": "ha "} for _ in range(8)]))) == []


def test_tool_tags_are_left_to_the_detector_of_calls(bodies: Any, sample: Callable[..., Sample]) -> None:
    assert reasons(sample(bodies.stream({"content": "<|python_tag|>look.call()"}))) == []


def test_a_template_token_in_wide_bars_is_found(bodies: Any, sample: Callable[..., Sample]) -> None:
    assert reasons(sample(bodies.stream({"content": "Hello.<｜User｜>"}))) == ["template token in content"]

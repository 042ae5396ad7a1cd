"""The protocol's rules, each with a body that violates it; streams of real servers violate none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
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


# Whole results: for each rule the bodies on both sides of its edges, and the text that the finding shows.

ROLE = chunked([choice({"role": "assistant", "content": ""})])
END = chunked([choice({}, "stop")])
CALLED_END = chunked([choice({}, "tool_calls")])
COUNTED = chunked([], usage=USAGE)
Told = list[tuple[str, Any]]


def told(sample: Sample) -> list[tuple[str, str]]:
    assert all(finding.detector == "wire" and finding.exchange == 0 for finding in find(sample))
    return [(finding.reason, finding.excerpt) for finding in find(sample)]


def as_shown(expected: Told) -> list[tuple[str, str]]:
    """The excerpts as findings have them: text as it is, other values as JSON, cut to 120 characters."""
    rows = []
    for reason, value in expected:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((reason, text if len(text) <= 120 else text[:119] + "…"))
    return rows


def says(**delta: Any) -> dict[str, Any]:
    return chunked([choice(delta)])


def words(*texts: str, key: str = "content") -> list[dict[str, Any]]:
    return [ROLE, *(says(**{key: text}) for text in texts), END, COUNTED]


def arguments(*texts: str, at: int = 0) -> list[dict[str, Any]]:
    return [says(tool_calls=[{"index": at, "function": {"arguments": text}}]) for text in texts]


def fragments(*each: dict[str, Any]) -> list[dict[str, Any]]:
    return [ROLE, *(says(tool_calls=[one]) for one in each), CALLED_END, COUNTED]


NO_ROLE = "the first delta has no role"
REPEATS = "a delta repeats all that was said before it"
LATE = "a delta says something after the finish_reason"
CHANGES = "a later fragment of a tool call changes its {}"
AGAIN = "a later fragment of a tool call repeats its {}"
SECOND = "the {} of a tool call does not come in its first fragment"
LACKS = "the first fragment of a tool call has no {}"
NO_STRING = "an arguments fragment is no string"
NO_INDEX = "a tool-call fragment has no index"
ORDER = "the indices of the tool calls do not count up from 0"
TWO = choice({"content": "Hi."}) | {"index": 1}
RULES: list[tuple[list[dict[str, Any]], Told]] = [
    # the envelope
    ([ROLE | {"object": None}, says(content="Hi."), END, COUNTED], []),
    ([ROLE, says(content="Hi.") | {"object": "text"}, END, COUNTED],
     [('object is not "chat.completion.chunk"', {"object": "text"})]),
    ([chunked([]) | {"object": "text", "id": "y"}, ROLE, END, COUNTED], []),
    ([ROLE, END, COUNTED | {"object": "text"}], [('object is not "chat.completion.chunk"', {"object": "text"})]),
    ([ROLE, chunked([choice({"content": "Hi."}), TWO]), END, COUNTED],
     [("more than one choice, though one was asked for", [0, 1])]),
    ([ROLE, chunked([choice({"content": "Hi."}), {"index": 1}]), END, COUNTED],
     [("more than one choice, though one was asked for", [0, 1])]),
    ([ROLE, chunked([choice({"content": "Hello there,"}),
                     {"index": 1, "delta": {"content": "Hello there, Bob.", "tool_calls": [{"id": "a"}]}}]),
      END, COUNTED], [("more than one choice, though one was asked for", [0, 1])]),
    ([ROLE, *(chunked([choice({"content": text}), choice({"content": text}) | {"index": 1}]) for text in "abcd"), END,
      COUNTED], [("more than one choice, though one was asked for", [0, 1])]),
    ([ROLE, chunked([TWO]), END, COUNTED], [("the choice's index is not 0", {"index": 1})]),
    ([ROLE, chunked([TWO | {"index": None}]), END, COUNTED], []),
    ([ROLE, END | {"id": "y"}, COUNTED], [("id changes within the stream", {"id": ["x", "y"]})]),
    ([ROLE | {"id": None}, END | {"id": "y"}, COUNTED | {"id": "y"}], []),
    ([ROLE, says(content="Hi.") | {"model": None}, END | {"model": "n"}, COUNTED],
     [("model changes within the stream", {"model": ["m", "n"]})]),
    ([ROLE, END | {"created": True}, COUNTED], [("created is no time stamp", {"created": True})]),
    ([ROLE, END | {"created": "8"}, COUNTED], [("created is no time stamp", {"created": "8"})]),
    ([ROLE | {"created": None}, END | {"created": 3.5}, COUNTED], []),
    ([ROLE, says(content="Hi.") | {"created": 9}, END | {"created": 8}, COUNTED | {"created": 8}],
     [("created goes back within the stream", {"created": [9, 8]})]),
    # deltas
    ([ROLE, chunked([{"index": 0, "finish_reason": None}]), END, COUNTED],
     [("a choice has no delta", {"index": 0, "finish_reason": None})]),
    ([ROLE, chunked([None]), END, COUNTED], [("a choice has no delta", {})]),  # type: ignore[list-item]
    ([says(content="Hi."), END, COUNTED], [(NO_ROLE, choice({"content": "Hi."}))]),
    ([says(reasoning="Hm."), ROLE, END, COUNTED], [(NO_ROLE, choice({"reasoning": "Hm."}))]),
    ([says(reasoning_content="Hm."), ROLE, END, COUNTED], [(NO_ROLE, choice({"reasoning_content": "Hm."}))]),
    ([says(tool_calls=[HEAD]), CALLED_END, COUNTED], [(NO_ROLE, choice({"tool_calls": [HEAD]}))]),
    ([says(function_call={"name": "f"}), END, COUNTED], [(NO_ROLE, choice({"function_call": {"name": "f"}}))]),
    ([END, COUNTED], [(NO_ROLE, choice({}, "stop"))]),
    ([says(content=""), says(), ROLE, END, COUNTED], []),
    ([says(role="assistant"), says(role="assistant", content="Hi."), END, COUNTED], []),
    ([says(role="user"), END, COUNTED], [('role is not "assistant"', {"role": "user"})]),
    ([says(role="usuário"), END, COUNTED], [('role is not "assistant"', {"role": "usuário"})]),
    ([says(role="", content="Hi."), END, COUNTED], [('role is not "assistant"', {"role": ""})]),
    ([ROLE, END, says(content="Hi."), COUNTED], [(LATE, {"content": "Hi."})]),
    ([ROLE, END, says(content=""), says(), COUNTED], []),
    ([ROLE, chunked([choice({"content": "Hi."}, "stop")]), COUNTED], []),
    ([ROLE, chunked([choice({"content": "Hi."}, "")]), END, COUNTED],
     [("finish_reason is an empty string, not null", choice({"content": "Hi."}, ""))]),
    ([ROLE, END, chunked([choice({}, "length")]), COUNTED],
     [("more than one finish_reason", {"finish_reason": "length"})]),
    ([ROLE, says(content=[{"text": "Hi."}]), END, COUNTED],
     [("content is a list of parts, not a string", [{"text": "Hi."}])]),
    # everything twice
    (words("a", "a", "b", "b", "c", "c", "d", "d"), [("every delta comes twice", ["a", "a", "b", "b"])]),
    (words("a", "a", "b", "", "b", "c", "c", "d", "d"), [("every delta comes twice", ["a", "a", "b", "b"])]),
    (words("a", "a", "b", "b", "c", "c"), []),
    (words("a", "a", "b", "b", "c", "c", "c", "c"), []),
    (words("a", "a", "b", "b", "c", "c", "d", "d", "e"), []),
    (words("a", "a", "b", "b", "c", "c", "d", "d", "e", "f"), []),
    (words("a", "a", "b", "b", "c", "c", "d", "d", key="reasoning"), []),
    # everything so far once more
    (words("Hello there,", "Hello there, Bob."), [(REPEATS, "Hello there, Bob.")]),
    (words(" Hello there, ", "Hello there, Bob."), [(REPEATS, "Hello there, Bob.")]),
    (words("Hello there", "Hello there, Bob."), []),
    (words("Hello", " there,", "Hello there, Bob."), [(REPEATS, "Hello there, Bob.")]),
    (words("Hello there,", "Hello again, Bob."), []),
    (words("Hello there,", "Hello there, Bob.", key="reasoning"), [(REPEATS, "Hello there, Bob.")]),
    (words("Hello there,", "Hello there, Bob.", key="reasoning_content"), [(REPEATS, "Hello there, Bob.")]),
    ([ROLE, says(content=None, reasoning="Hello there,"), says(content="", reasoning="Hello there, B"), END, COUNTED],
     [(REPEATS, "Hello there, B")]),
    ([ROLE, says(content="Hello there,"), says(reasoning="Hello there, Bob."), END, COUNTED], []),
    (words("a", "ab", "abc", "abcd"), [(REPEATS, "abcd")]),
    (words("a", "ab", "", "abc", "abcd"), [(REPEATS, "abcd")]),
    (words("a", "ab", "abc"), []),
    (words("a", "ab", "abc", "x", "xy", "xyz"), []),
    (words("a", "ab", "abc", "abc", "abcd"), []),
    ([*words("N", "o.")[:-2], chunked([choice({"content": "No."}, "stop")]), COUNTED], [(REPEATS, "No.")]),
    ([*words("N", "o")[:-2], chunked([choice({"content": "No"}, "stop")]), COUNTED], []),
    ([*words("No.")[:-2], chunked([choice({"content": "No."}, "stop")]), COUNTED], []),
    ([*words("N", "o.")[:-2], chunked([choice({"content": "no."}, "stop")]), COUNTED], []),
    (words("N", "o.", "No."), []),
    ([ROLE, says(tool_calls=[HEAD]), *arguments('{"q": "look a', '{"q": "look at'), CALLED_END, COUNTED],
     [(REPEATS, '{"q": "look at')]),
    ([ROLE, says(tool_calls=[HEAD]), *arguments('{"q": "look at"}'), says(tool_calls=[HEAD | {"index": 1, "id": "b"}]),
      *arguments('{"q": "look at"}', at=1), CALLED_END, COUNTED], []),
    # fragments of calls
    (fragments(HEAD, REST), []),
    (fragments(HEAD | {"type": None}, REST | {"type": "function"}), []),
    (fragments(HEAD | {"type": "web"}, REST), [('the type of a tool call is not "function"', {"type": "web"})]),
    (fragments(HEAD | {"function": {"name": "look", "arguments": None}}, REST), []),
    (fragments(HEAD, {"index": 0, "id": "", "function": {"arguments": None}}),
     [(NO_STRING, {"index": 0, "id": "", "function": {"arguments": None}})]),
    (fragments(HEAD, REST | {"function": {"arguments": {"q": 1}}}),
     [(NO_STRING, REST | {"function": {"arguments": {"q": 1}}})]),
    (fragments(HEAD | {"function": {"name": "look", "arguments": 7}}),
     [(NO_STRING, HEAD | {"function": {"name": "look", "arguments": 7}})]),
    (fragments(HEAD, {"index": 0}), []),
    (fragments(HEAD, {"function": {"arguments": "{}"}}), [(NO_INDEX, {"function": {"arguments": "{}"}})]),
    (fragments(HEAD, REST | {"index": True}), [(NO_INDEX, REST | {"index": True})]),
    (fragments(HEAD, REST | {"id": "a"}), [(AGAIN.format("id"), REST | {"id": "a"})]),
    (fragments(HEAD, REST | {"id": "b"}), [(CHANGES.format("id"), REST | {"id": "b"})]),
    (fragments(HEAD, {"index": 0, "function": {"name": "look"}}),
     [(AGAIN.format("name"), {"index": 0, "function": {"name": "look"}})]),
    (fragments(HEAD, {"index": 0, "function": {"name": "see"}}),
     [(CHANGES.format("name"), {"index": 0, "function": {"name": "see"}})]),
    (fragments({**HEAD, "id": None}, REST | {"id": "a"}),
     [(LACKS.format("id"), {**HEAD, "id": None}), (SECOND.format("id"), REST | {"id": "a"})]),
    (fragments({"index": 0, "id": "a"}, {"index": 0, "function": {"name": "look"}}),
     [(LACKS.format("name"), {"index": 0, "id": "a"}),
      (SECOND.format("name"), {"index": 0, "function": {"name": "look"}})]),
    (fragments(HEAD | {"index": 1}), [(ORDER, HEAD | {"index": 1})]),
    (fragments(HEAD, HEAD | {"index": 1, "id": "b"}, HEAD | {"index": 2, "id": "c"}), []),
    (fragments(HEAD, HEAD | {"index": 2, "id": "c"}), [(ORDER, HEAD | {"index": 2, "id": "c"})]),
    ([ROLE, says(tool_calls=[HEAD]), says(function_call={"name": "f"}), CALLED_END, COUNTED],
     [("function_call beside tool_calls", "")]),
    ([ROLE, says(function_call={"name": "f"}), chunked([choice({}, "function_call")]), COUNTED], []),
    # the end
    ([ROLE, says(content="Hi."), COUNTED], [("there is no finish_reason", "")]),
    ([ROLE, chunked([choice({}, "done")]), COUNTED], [("unknown finish_reason", {"finish_reason": "done"})]),
    ([ROLE, CALLED_END, COUNTED], [("finish_reason tool_calls, but there is no call", "")]),
    ([ROLE, chunked([choice({}, "function_call")]), COUNTED],
     [("finish_reason function_call, but there is no call", "")]),
    (fragments(HEAD, HEAD | {"index": 1}), [("two tool calls have the same id", ["a", "a"])]),
    # usage
    ([ROLE, END], [("usage is missing", "")]),
    ([ROLE, END, COUNTED | {"usage": {"completion_tokens": 3}}],
     [("usage lacks prompt_tokens or completion_tokens", {"completion_tokens": 3})]),
    ([ROLE, END, COUNTED | {"usage": {"prompt_tokens": 9}}],
     [("usage lacks prompt_tokens or completion_tokens", {"prompt_tokens": 9})]),
    ([ROLE, END, COUNTED | {"usage": {"prompt_tokens": 9, "completion_tokens": 3}}], []),
    ([ROLE, END, COUNTED | {"usage": USAGE | {"total_tokens": 11}}],
     [("total_tokens is not prompt_tokens + completion_tokens", USAGE | {"total_tokens": 11})]),
    ([ROLE, END | {"usage": USAGE | {"total_tokens": 1}}, COUNTED], []),  # the last counts
    ([ROLE, END | {"usage": USAGE}, COUNTED | {"usage": USAGE | {"total_tokens": 0}}],
     [("total_tokens is not prompt_tokens + completion_tokens", USAGE | {"total_tokens": 0})]),
    ([ROLE, END, COUNTED | {"usage": USAGE | {"completion_tokens": 3.0}}],
     [("usage counts tokens in fractions, such as 12.0", USAGE | {"completion_tokens": 3.0})]),
    *[([ROLE, says(**{key: "Hi."}), END, COUNTED | {"usage": {"prompt_tokens": 9, "completion_tokens": 0}}],
       [("completion_tokens is 0, but there is an answer", {"prompt_tokens": 9, "completion_tokens": 0})])
      for key in ("content", "reasoning")],
    ([*fragments(HEAD)[:-1], COUNTED | {"usage": {"prompt_tokens": 9, "completion_tokens": 0}}],
     [("completion_tokens is 0, but there is an answer", {"prompt_tokens": 9, "completion_tokens": 0})]),
    ([ROLE, END, COUNTED | {"usage": {"prompt_tokens": 9, "completion_tokens": 0}}], []),
    ([ROLE, chunked([choice({"content": "Hi."}, token_ids=[4, 5, 6])]), END, COUNTED], []),
    ([ROLE, chunked([choice({"content": "Hi."}, token_ids=[4, 5])]), END, COUNTED],
     [("completion_tokens is not the number of token ids", USAGE | {"token_ids": 2})]),
]  # fmt: skip


@pytest.mark.parametrize(("chunks", "expected"), RULES)
def test_each_rule_of_a_stream_tells_what_it_saw(
    bodies: Any, sample: Callable[..., Sample], chunks: list[dict[str, Any]], expected: Told
) -> None:
    assert told(sample(bodies.sse(chunks))) == as_shown(expected)


CALL = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": "Hi."}, []),
        ({"role": "tool"}, [('role is not "assistant"', {"role": "tool"})]),
        ({"role": None}, [('role is not "assistant"', {"role": None})]),
        ({"content": [{"text": "Hi."}]}, [("content is a list of parts, not a string", [{"text": "Hi."}])]),
        ({"tool_calls": [CALL, CALL | {"id": "b"}]}, []),
        ({"tool_calls": [CALL | {"type": "web"}]}, [('the type of a tool call is not "function"', {"type": "web"})]),
        ({"tool_calls": [CALL | {"id": ""}]}, [("a tool call has no id", CALL | {"id": ""})]),
        ({"tool_calls": [CALL | {"id": None}] * 2}, [("a tool call has no id", CALL | {"id": None})]),
        (
            {"tool_calls": [CALL | {"function": {"arguments": "{}"}}]},
            [("a tool call has no name", CALL | {"function": {"arguments": "{}"}})],
        ),
        (
            {"tool_calls": [CALL | {"function": {"name": "look"}}]},
            [("the arguments of a tool call are no string", CALL | {"function": {"name": "look"}})],
        ),
        (
            {"tool_calls": [{"id": "a"}]},
            [("a tool call has no name", {"id": "a"}), ("the arguments of a tool call are no string", {"id": "a"})],
        ),
        ({"tool_calls": [CALL], "function_call": {"name": "f"}}, [("function_call beside tool_calls", "")]),
        ({"tool_calls": [], "function_call": {"name": "f"}}, []),
        ({"tool_calls": [CALL, CALL]}, [("two tool calls have the same id", ["a", "a"])]),
    ],
)
def test_each_rule_of_a_message_tells_what_it_saw(
    bodies: Any, sample: Callable[..., Sample], message: dict[str, Any], expected: Told
) -> None:
    body = bodies.whole(message, "tool_calls" if message.get("tool_calls") else "stop")
    assert told(sample(body, streamed=False)) == as_shown(expected)


def test_usage_may_be_missing_where_a_stream_was_not_asked_for_it(bodies: Any, sample: Callable[..., Sample]) -> None:
    one = sample(bodies.sse([ROLE, END]))
    for options, expected in (
        ({"include_usage": True}, [("usage is missing", "")]),
        ({"include_usage": False}, []),
        ({}, []),
        (None, []),
    ):
        exchange = replace(one.exchanges[0], request=one.exchanges[0].request | {"stream_options": options})
        assert told(replace(one, exchanges=(exchange,))) == expected


@pytest.mark.parametrize("streamed", [True, False])
def test_a_response_without_a_content_type_is_told_as_one(
    bodies: Any, sample: Callable[..., Sample], streamed: bool
) -> None:
    body = bodies.sse([ROLE, END, COUNTED]) if streamed else bodies.whole({"content": "Hi."})
    wanted = "text/event-stream" if streamed else "application/json"
    for headers, shown in (
        ((), "no content-type"),
        ((("content-type", "text/plain; x=1"),), "text/plain; x=1"),
        ((("content-type", f"{wanted.upper()} ; charset=utf-8"),), None),
    ):
        one = sample(body, streamed=streamed)
        one = replace(one, exchanges=(replace(one.exchanges[0], headers=headers),))
        assert told(one) == ([(f"content-type is not {wanted}", shown)] if shown else [])


CLEAN = [ROLE, END, COUNTED]
DONE_EVENT = b"data: [DONE]\n\n"
STRAY, AFTER, CUT, NO_DONE = (
    "a line of the stream is no field of an event, so that clients drop it",
    "the stream goes on after [DONE]",
    "the last event has no blank line, so that clients drop it",
    "the stream ends without [DONE]",
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"", DONE_EVENT, []),
        (b": alive\n\nevent: x\nid: 1\nretry: 9\n", DONE_EVENT, []),
        (b"one: 1\ntwo\n", DONE_EVENT, [(STRAY, "one: 1")]),
        (b"", DONE_EVENT + b": bye\n \n\n", []),
        (b"", DONE_EVENT + b": bye\n\nmore\nand more\n", [(AFTER, "more")]),
        (b"", DONE_EVENT + b"data: [DONE]", [(AFTER, "data: [DONE]")]),
        (b"", b"", [(NO_DONE, COUNTED)]),
        (b"", DONE_EVENT[:-1], [(CUT, "data: [DONE]"), (NO_DONE, COUNTED)]),
        (b"", b": alive\n", [(NO_DONE, COUNTED)]),
    ],
)
def test_the_framing_of_a_stream_is_told(
    bodies: Any, sample: Callable[..., Sample], before: bytes, after: bytes, expected: Told
) -> None:
    assert told(sample(before + bodies.sse(CLEAN, done=False) + after)) == as_shown(expected)


@pytest.mark.parametrize(
    ("finish", "usage", "fingerprint", "excused"),
    [
        ("stop", USAGE, "", True),
        (None, USAGE, "", False),
        ("stop", None, "", False),
        ("stop", USAGE, None, False),
        ("stop", USAGE, "b6", False),
    ],
)
def test_the_last_chunk_of_transformers_serve_excuses_a_missing_done(
    bodies: Any, sample: Callable[..., Sample], finish: str | None, usage: Any, fingerprint: str | None, excused: bool
) -> None:
    earlier = chunked([choice({"content": "Hi."}, None if finish else "stop")], usage=None if usage else USAGE)
    last = chunked([choice({}, finish)], usage=usage, system_fingerprint=fingerprint)
    found = told(sample(bodies.sse([ROLE, earlier, last], done=False)))
    assert found == ([] if excused else as_shown([(NO_DONE, last)]))


@pytest.mark.parametrize(
    ("asked", "given", "same"),
    [
        ("m", "m", True),
        ("org/Llama-3", "llama-3", True),
        ("llama-3", "/models/org/Llama-3/", True),
        ("llama-3", "llama-3:latest", True),
        ("llama-3-2026-11-01", "llama-3", True),
        ("llama-3", "llama-31", False),
        ("llama-3", "llama-3b", False),
        ("llama-3", "llama-3b:latest", False),
        ("llama-3", "org/llama", True),
        ("llama", "llama-3/other", False),
        ("llama-3", "lama-3", False),
        ("llama-3", "", True),
        ("llama-3", None, True),
        (None, "llama-3", True),
    ],
)
def test_a_name_is_that_of_the_model_asked_where_one_extends_the_other(
    bodies: Any, sample: Callable[..., Sample], asked: str | None, given: str | None, same: bool
) -> None:
    chunks = [chunk | {"model": given} for chunk in CLEAN]
    found = told(sample(bodies.sse(chunks), more={"model": asked}))
    reason = "another model answered than the one that was asked"
    assert found == ([] if same else as_shown([(reason, {"asked": asked, "answered": given})]))


def test_a_model_that_a_chunk_without_choices_names_is_no_other_model(
    bodies: Any, sample: Callable[..., Sample]
) -> None:
    chunks = [ROLE, END, COUNTED | {"model": None}, chunked([], model="router")]
    assert told(sample(bodies.sse(chunks), more={"model": "m"})) == []


def test_marks_in_each_channel_are_told_with_their_place(bodies: Any, sample: Callable[..., Sample]) -> None:
    call = {"index": 0, "function": {"arguments": '"<eos>\\u0007"'}}
    deltas = (
        {"reasoning": "Hm.<|end|><|end|>\x07"},
        {"content": "Hi.\x01<bos>"},
        {"tool_calls": [HEAD | {"function": {"name": "lo\x02ok"}}]},
        {"tool_calls": [call]},
    )
    body = bodies.stream(*deltas, finish_reason="tool_calls")
    controls = [
        Finding("wire", "control character in content", "Hi.\\x01<bos>", "content", 0, (3, 4)),
        Finding("wire", "control character in reasoning", "Hm.<|end|><|end|>\\x07", "reasoning", 0, (17, 18)),
        Finding("wire", "control character in tool_calls", "lo\\x02ok", "tool_calls", 0, (2, 3)),
    ]
    tokens = [
        Finding("wire", "template token in content", "Hi.\x01<bos>", "content", 0, (4, 9)),
        Finding("wire", "template token in reasoning", "Hm.<|end|><|end|>\x07", "reasoning", 0, (3, 10)),
        Finding("wire", "template token in tool_calls", '"<eos>\\u0007"', "tool_calls", 0, (1, 6)),
    ]
    name = Finding("wire", "the name of a tool call has characters that no tool's name has", "lo\ufffdok")
    both = [name, controls[0], tokens[0], controls[1], tokens[1], controls[2], tokens[2]]
    assert list(find(sample(body))) == both
    assert list(find(sample(body, topic=("tags",)))) == [name, *controls]
    asked = {"messages": [{"role": "user", "content": "What is <BOS>?"}]}
    assert list(find(sample(body, more=asked))) == [each for each in both if each != tokens[0]]


def test_each_exchange_has_its_own_findings(bodies: Any, sample: Callable[..., Sample]) -> None:
    bad = sample(bodies.sse([ROLE, CALLED_END, COUNTED]))
    good = sample(bodies.sse(CLEAN))
    both = replace(bad, exchanges=bad.exchanges + good.exchanges + bad.exchanges)
    assert find(both) == tuple(
        Finding("wire", "finish_reason tool_calls, but there is no call", exchange=index) for index in (0, 2)
    )


# What a parser made of calls: the names are those of TOOLS_OF_FOUR.

PARSER = {
    "missing": "the name of a tool call has letters missing",
    "many": "the name of a tool call has letters too many",
    "twice": "the name of a tool call comes twice",
    "two": "the names of two tool calls are in one",
    "address": "the name of a tool call has its address around it",
    "characters": "the name of a tool call has characters that no tool's name has",
}
TOOLS_OF_FOUR: list[Any] = [
    "no tool",
    {"type": "function"},
    *({"type": "function", "function": {"name": name}} for name in ("look_up", "stop", "get_weather")),
    {"type": "function", "function": {"name": "ask", "parameters": {"required": ["q"]}}},
]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("look_up", None),
        ("look_upxyz", "many"),
        ("look_upwxyz", None),
        ("look", "missing"),
        ("loo", None),
        ("get_weather123", "many"),
        ("get_weather1234", None),
        ("get_weat", "missing"),
        ("get_wea", None),
        ("xlook_up", "many"),
        ("look_uq", None),
        ("xook_u", None),
        ("stopxy", "many"),
        ("stopxyz", None),
        ("st", "missing"),
        ("s", None),
        ("as", "missing"),
        ("a", None),
        ("stopstop", "twice"),
        ("stopstopstop", "twice"),
        ("stopask", "two"),
        ("askask", "twice"),
        ("tools.stop", "address"),
        ("function:stop", "address"),
        ("stop:123", "address"),
        ("stop#123", "characters"),
        ("stop:1234", None),
        ("sto p", "characters"),
    ],
)
def test_a_name_is_garbled_where_a_parser_may_have_made_it(
    bodies: Any, sample: Callable[..., Sample], name: str, what: str | None
) -> None:
    body = bodies.whole({"tool_calls": [CALL | {"function": {"name": name, "arguments": "{}"}}]}, "tool_calls")
    found = told(sample(body, streamed=False, more={"tools": TOOLS_OF_FOUR}))
    assert found == ([(PARSER[what], name)] if what else [])


JOINED, STRING = (
    "the arguments of two tool calls are in one",
    "the arguments of a tool call are a JSON string that holds JSON",
)
WITHOUT = "one of parallel calls comes without arguments"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (['{"q": 1} ; {"q": 2}'], [(JOINED, '{"q": 1} ; {"q": 2}')]),
        ([' {"q": 1}\n{"q": 2} '], [(JOINED, '{"q": 1} {"q": 2}')]),
        (['{"q": 1}[2]'], []),
        (['[1]{"q": 2}'], []),
        (['"{\\"q\\": 1}"'], [(STRING, '"{\\"q\\": 1}"')]),
        (['"[1]"'], []),
        (['"word"'], []),
        (["{" * 5000], []),
        (['{"q": "</parameter>"}'], [("markup of the tool call in its arguments", "</parameter")]),
        (['{"q": 1}', "{}"], [(WITHOUT, ["ask", "{}"])]),
        (["{}", '{"q": 1}'], [(WITHOUT, ["ask", "{}"])]),
        (['{"q": 1}', " "], [(WITHOUT, ["ask", " "])]),
        (['{"q": 1}', '{"q'], []),
        (["{}", "{}"], []),
        (['{"q": 1}'], []),
    ],
)
def test_arguments_that_no_model_wrote_so_are_told(
    bodies: Any, sample: Callable[..., Sample], texts: list[str], expected: Told
) -> None:
    calls = [CALL | {"id": str(at), "function": {"name": "ask", "arguments": text}} for at, text in enumerate(texts)]
    found = told(
        sample(bodies.whole({"tool_calls": calls}, "tool_calls"), streamed=False, more={"tools": TOOLS_OF_FOUR})
    )
    assert found == as_shown(expected)


def test_a_tool_that_needs_no_argument_may_be_called_without_beside_one_that_has_some(
    bodies: Any, sample: Callable[..., Sample]
) -> None:
    calls = [CALL | {"function": {"name": "ask", "arguments": '{"q": 1}'}}]
    calls += [CALL | {"id": name, "function": {"name": name, "arguments": "{}"}} for name in ("stop", "walk")]
    body = bodies.whole({"tool_calls": calls}, "tool_calls")
    assert told(sample(body, streamed=False, more={"tools": TOOLS_OF_FOUR})) == []

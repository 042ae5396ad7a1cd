"""Streamed and unstreamed answers are compared only for the same tokens, and only the server is blamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.parity import (
    compare_derendered,
    compare_transports,
    derender_length,
    derender_request,
    derender_stream_request,
)
from annie_eval.errors import ExchangeError
from annie_eval.wire.sample import Sample


@pytest.fixture
def compared(bodies: Any, sample: Callable[..., Sample]) -> Callable[..., tuple[Finding, ...]]:
    """Compare a streamed message with a whole one; their token ids are equal unless given."""

    def run(
        streamed: dict[str, Any], whole: dict[str, Any], ids: tuple[Any, Any] = ((1, 2), (1, 2)), finish: str = "stop"
    ) -> tuple[Finding, ...]:
        chunks = bodies.chunks(streamed, finish_reason=finish)
        for chunk in chunks[:2]:
            chunk["choices"][0]["token_ids"] = None
        chunks[2]["choices"][0]["token_ids"] = ids[0] and list(ids[0])
        other = bodies.whole(whole, finish, token_ids=ids[1] and list(ids[1]))
        return compare_transports(sample(bodies.sse(chunks)), sample(other, streamed=False))

    return run


def calls(*arguments: str | None) -> dict[str, Any]:
    return {
        "tool_calls": [
            {"index": i, "id": f"{i}{a}", "type": "function", "function": {"name": "look", "arguments": a}}
            for i, a in enumerate(arguments)
        ]
    }


Compared = Callable[..., tuple[Finding, ...]]


def test_equal_replies_pass(compared: Compared) -> None:
    assert compared({"content": "Hello."}, {"content": "Hello."}) == ()


def test_white_space_around_and_null_for_nothing_are_no_difference(compared: Compared) -> None:
    assert compared({"content": "\n\nHello. "}, {"content": "Hello.", "reasoning": ""}) == ()
    assert compared(calls('{"a": 1, "b": 2}'), {"content": None, **calls('{"b":2,"a":1}')}) == ()


def test_other_content_from_the_same_tokens_is_found(compared: Compared) -> None:
    (finding,) = compared({"content": "Hello.</think>"}, {"content": "Hello."})
    assert finding.channel == "content"
    assert finding.reason == "the same token ids, but other content when streamed than when not"
    assert "</think>" in finding.excerpt


def test_an_answer_trapped_in_reasoning_one_way_is_found(compared: Compared) -> None:
    found = compared({"content": "Hello."}, {"content": None, "reasoning": "Hello."})
    assert [finding.channel for finding in found] == ["content", "reasoning"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((), ("{}",)),
        (("{}",), ('{"a": 1}',)),
        (('{"a": "Par',), ("{}",)),
        (('{"a": 1}', "{}"), ('{"a": 1}',)),
        (('{"a": "Par',), ('{"a": "Pari',)),
    ],
)
def test_other_calls_from_the_same_tokens_are_found(
    compared: Compared, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    (finding,) = compared(calls(*one), calls(*other))
    assert finding.channel == "tool_calls"


def test_other_tokens_are_never_compared(compared: Compared) -> None:
    assert compared({"content": "Hello."}, {"content": "Hi."}, ((1, 2), (1, 3))) == ()
    assert compared({"content": "Hello."}, {"content": "Hi."}, (None, None)) == ()


def test_a_cut_stream_may_hold_back_what_it_could_not_finish(compared: Compared) -> None:
    assert compared({"content": "Hello"}, {"content": "Hello <tool_c"}, finish="length") == ()
    assert compared(calls('{"a": "Par'), calls("{}"), finish="length") == ()
    assert compared({"content": "Hello"}, {"content": "Bye"}, finish="length")


def test_derender_bodies_carry_the_exchange_as_it_was(bodies: Any, sample: Callable[..., Sample]) -> None:
    chunks = bodies.chunks({"content": "Hello."})
    assert derender_request(sample(bodies.sse(chunks)).exchanges[0]) is None
    chunks[0]["prompt_token_ids"] = [7, 8, 9]
    chunks[1]["choices"][0]["token_ids"] = [1, 2, 3]
    exchange = sample(bodies.sse(chunks)).exchanges[0]
    whole = derender_request(exchange)
    assert whole is not None
    assert whole["stream"] is False
    # The last id is the stop token, which the parsers never see.
    assert whole["generate_response"]["choices"] == [{"index": 0, "token_ids": [1, 2], "finish_reason": "stop"}]
    assert derender_length(exchange) == 2
    assert whole["chat_request"]["messages"] == exchange.request["messages"]
    assert "stream_options" not in whole["chat_request"]
    first = derender_stream_request(exchange, 0, 1, None)
    last = derender_stream_request(exchange, 1, 2, {"role_sent": True})
    assert first is not None
    assert last is not None
    assert first["generate_chunk"]["choices"] == [{"index": 0, "token_ids": [1], "finish_reason": None}]
    assert last["generate_chunk"]["choices"] == [{"index": 0, "token_ids": [2], "finish_reason": "stop"}]
    assert (first["stream_state"], last["stream_state"]) == (None, {"role_sent": True})
    assert first["prompt_token_ids"] == [7, 8, 9]


def test_derendered_replies_are_compared(bodies: Any) -> None:
    chunks = [json.dumps({"chunk": chunk, "stream_state": {}}).encode() for chunk in bodies.chunks({"content": "Hi."})]
    assert compare_derendered(bodies.whole({"content": "Hi."}), chunks) == ()
    (finding,) = compare_derendered(bodies.whole({"content": None}), chunks, index=1)
    assert (finding.channel, finding.exchange) == ("content", 1)
    with pytest.raises(ExchangeError, match="derender answered no chunk"):
        compare_derendered(bodies.whole({"content": "Hi."}), [b'{"error": {}}'])


@pytest.mark.parametrize(("finish", "output"), [("stop", [1, 2]), ("tool_calls", [1, 2]), ("length", [1, 2, 3])])
def test_the_whole_bodies_that_have_an_exchange_derendered(
    bodies: Any, sample: Callable[..., Sample], finish: str, output: list[int]
) -> None:
    chunks = bodies.chunks({"content": "Hello."}, finish_reason=finish)
    chunks[0]["prompt_token_ids"] = [7, 8, 9]
    chunks[1]["choices"][0]["token_ids"] = [1, 2, 3]
    exchange = sample(bodies.sse(chunks), more={"model": "m"}).exchanges[0]
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hello."}]}
    head = {"prompt_token_ids": [7, 8, 9], "prompt_tokens": 3}
    assert derender_request(exchange) == {
        **head,
        "stream": False,
        "chat_request": {**asked, "stream": False},
        "generate_response": {
            "request_id": "derender",
            "choices": [{"index": 0, "token_ids": output, "finish_reason": finish}],
            "prompt_token_ids": [7, 8, 9],
        },
    }
    for start, stop, state in ((0, 1, None), (1, len(output), {"n": 1}), (len(output) - 1, 9, {})):
        ended = finish if stop >= len(output) else None
        choice = {"index": 0, "token_ids": output[start:stop], "finish_reason": ended}
        assert derender_stream_request(exchange, start, stop, state) == {
            **head,
            "stream": True,
            "chat_request": {**asked, "stream": True, "stream_options": {"include_usage": True}},
            "generate_chunk": {"request_id": "derender", "choices": [choice]},
            "stream_state": state,
        }
    assert derender_length(exchange) == len(output)


def test_without_ids_of_both_the_prompt_and_the_answer_nothing_is_derendered(
    bodies: Any, sample: Callable[..., Sample]
) -> None:
    for prompt, output in ((None, [1, 2]), ([7], None), ([7], []), ([7], [1])):
        chunks = bodies.chunks({"content": "Hello."})
        chunks[0]["prompt_token_ids"] = prompt
        chunks[1]["choices"][0]["token_ids"] = output
        exchange = sample(bodies.sse(chunks)).exchanges[0]
        assert derender_request(exchange) is None, (prompt, output)
        assert derender_stream_request(exchange, 0, 1, None) is None
        assert derender_length(exchange) == 0


def test_a_difference_between_derendered_replies_is_of_the_first_exchange_unless_told(bodies: Any) -> None:
    chunks = [json.dumps({"chunk": chunk}).encode() for chunk in bodies.chunks({"content": "Hi."})]
    other = bodies.whole({"content": "Hi, Bob."})
    expected = Finding(
        "wire",
        "the same token ids, but other content when streamed than when not",
        "streamed: 'Hi.' / unstreamed: 'Hi, Bob.'",
        "content",
    )
    assert compare_derendered(other, chunks) == (expected,)
    assert compare_derendered(other, chunks, 2) == (replace(expected, exchange=2),)
    with pytest.raises(ExchangeError) as refused:
        compare_derendered(other, [b'{"c": "' + 90 * b"y" + b'"}'])
    assert str(refused.value) == 'derender answered no chunk (KeyError): b\'{"c": "' + 73 * "y" + "'"

"""Reading a timed stream: when each part arrived, and how many tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annie_eval.errors import ExchangeError
from annie_eval.timing.connection import TimedResponse
from annie_eval.timing.stream import Observed, observe

MS = 1_000_000


def stream(*reads: tuple[int, list[dict[str, Any]]], done: bool = True, status: int = 200) -> TimedResponse:
    """A response from (milliseconds, chunks that this read brought)."""
    body, stamps = b"", []
    for i, (ms, chunks) in enumerate(reads):
        part = b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks)
        if done and i == len(reads) - 1:
            part += b"data: [DONE]\n\n"
        body += part
        stamps.append((ms * MS, len(part)))
    return TimedResponse(status, body, tuple(stamps))


def delta(finish: str | None = None, count: int | None = None, **fields: Any) -> dict[str, Any]:
    chunk: dict[str, Any] = {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}
    if count is not None:
        chunk["usage"] = {"prompt_tokens": 10, "completion_tokens": count}
    return chunk


def usage(count: int, **details: Any) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": count, **details}}


ROLE = delta(role="assistant", content="")


def times(seen: Observed) -> tuple[int | None, ...]:
    return tuple(
        None if t is None else t // MS for t in (seen.role, seen.first_token, seen.first_content, seen.last_token)
    )


def test_an_early_role_chunk_is_no_token() -> None:
    seen = observe(stream((1, [ROLE]), (90, [delta(content="a")]), (120, [delta(content="b"), usage(2)])))
    assert times(seen) == (1, 90, 90, 120)


@pytest.mark.parametrize(
    ("pieces", "ends"),
    [
        (["Hello", " there.", " And", " more."], 120),
        (["Hello there. And", " more."], 90),
        (["Ask Dr.", " Jones", " today.", " Now."], 150),
        (["It is ", "Sunday."], 120),
        (["これは", "本です。", "はい。"], 120),
        (["No", " end", " yet"], None),
    ],
)
def test_the_first_sentence_is_complete_with_its_last_mark(pieces: list[str], ends: int | None) -> None:
    reads = [(90 + 30 * n, [delta(content=piece)]) for n, piece in enumerate(pieces)]
    seen = observe(stream((1, [ROLE]), (60, [delta(reasoning="I think so. Yes.")]), *reads, (300, [usage(9)])))
    assert (None if seen.first_sentence is None else seen.first_sentence // MS) == ends


def test_a_role_chunk_that_brings_text_is_a_token() -> None:
    seen = observe(stream((90, [delta(role="assistant", content="a")]), (120, [delta(content="b"), usage(2)])))
    assert times(seen) == (None, 90, 90, 120)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_the_first_token_but_not_the_first_content(name: str) -> None:
    seen = observe(stream((50, [delta(**{name: "hm"})]), (80, [delta(content="a"), usage(2)])))
    assert times(seen) == (None, 50, 80, 80)


def test_an_empty_token_counts_by_continuous_usage() -> None:
    """Half a UTF-8 character is a token without text; only the count shows it."""
    seen = observe(
        stream(
            (1, [delta(role="assistant", count=0)]),
            (40, [delta(content="", count=1)]),
            (70, [delta(content="é", count=2)]),
        )
    )
    assert times(seen) == (1, 40, 70, 70)
    assert seen.completion_tokens == 2


def test_a_role_chunk_is_no_token_even_if_its_usage_says_so() -> None:
    early = delta(role="assistant", content="", count=1)
    seen = observe(stream((1, [early]), (90, [delta(content="a", count=1)]), (120, [delta(content="b", count=2)])))
    assert times(seen) == (1, 90, 90, 120)


def test_the_rate_leaves_out_what_the_first_chunk_brought() -> None:
    chunks = [(100 + 80 * i, [delta(content="x" * 8, count=8 * (i + 1))]) for i in range(8)]
    seen = observe(stream(*chunks))
    assert seen.counting == "usage"
    assert seen.rate == pytest.approx(100.0)


def test_chunks_read_at_once_are_one_moment() -> None:
    seen = observe(
        stream((100, [delta(content="a", count=1), delta(content="b", count=2)]), (130, [delta(content="c", count=3)]))
    )
    assert seen.arrivals == ((100 * MS, 2), (130 * MS, 3))
    assert seen.gaps == (30 * MS,)


def test_one_token_a_chunk_is_borne_out_by_usage() -> None:
    reads = [(100 + 10 * i, [delta(content="a")]) for i in range(20)]
    seen = observe(stream(*reads, (300, [delta("length"), usage(20)])))
    assert (seen.counting, seen.last_token) == ("chunks", 290 * MS)
    assert seen.rate == pytest.approx(100.0)


def test_uncounted_bursts_are_unknown() -> None:
    reads = [(100 + 80 * i, [delta(content="tok " * 8)]) for i in range(4)]
    seen = observe(stream(*reads, (400, [delta("length"), usage(32)])))
    assert seen.counting == "unknown"
    assert seen.rate == pytest.approx(100.0), "the share of the text stands in"


def test_the_last_moment_is_that_of_the_last_text_however_short() -> None:
    reads = [(100, [delta(content="long words " * 4)]), (180, [delta(content="long words " * 4)])]
    seen = observe(stream(*reads, (260, [delta(content=".")]), (300, [delta("length"), usage(8)])))
    assert (seen.counting, seen.last_token) == ("unknown", 260 * MS)


def test_without_usage_nothing_is_counted() -> None:
    seen = observe(stream((1, [delta(content="a")]), (2, [delta("stop", content="b")])))
    assert (seen.counting, seen.completion_tokens) == ("unknown", None)


def test_without_usage_an_answer_that_ends_by_its_length_is_as_long_as_asked_for() -> None:
    singles = [(100 + 10 * i, [delta(content="a")]) for i in range(20)]
    seen = observe(stream(*singles, (300, [delta("length")])), 20)
    assert (seen.counting, seen.completion_tokens) == ("asked", 20)
    eights = [(100 + 80 * i, [delta(content="tok " * 8)]) for i in range(4)]
    assert observe(stream(*eights, (400, [delta("length")])), 32).counting == "guessed"
    assert observe(stream(*eights, (400, [delta("stop")])), 32).completion_tokens is None


def test_a_first_chunk_of_several_tokens_is_not_taken_for_one() -> None:
    """Eight tokens at once, then one by one: 57 chunks for 64 tokens are not one chunk a token."""
    reads = [(100, [delta(content="tok " * 8)]), *((100 + 10 * i, [delta(content="tok ")]) for i in range(1, 57))]
    seen = observe(stream(*reads, (700, [delta("length"), usage(64)])))
    assert seen.counting == "unknown"
    assert seen.rate == pytest.approx(100.0)


def test_a_tool_call_is_complete_with_its_last_fragment() -> None:
    def call(arguments: str, **more: Any) -> dict[str, Any]:
        return delta(tool_calls=[{"index": 0, "function": {"arguments": arguments, **more}}])

    seen = observe(
        stream(
            (50, [call("", name="remember")]),
            (80, [call('{"a": ')]),
            (110, [call("1}")]),
            (140, [delta("tool_calls")]),
        )
    )
    assert (seen.first_token, seen.call) == (50 * MS, 110 * MS)
    broken = observe(stream((50, [call("", name="remember")]), (80, [call('{"a": ')]), (140, [delta("length")])))
    assert broken.call is None


def test_usage_details_and_server_metrics_are_kept() -> None:
    last = usage(1, prompt_tokens_details={"cached_tokens": 7}) | {"metrics": {"generation_time_ms": 3.0}}
    seen = observe(stream((1, [delta(content="a")]), (2, [last])))
    assert (seen.prompt_tokens, seen.cached_tokens, seen.server) == (10, 7, {"generation_time_ms": 3.0})


def test_completions_have_text_without_delta() -> None:
    chunk = {"choices": [{"index": 0, "text": "a", "finish_reason": None}]}
    seen = observe(stream((70, [chunk]), (90, [chunk, usage(2)])))
    assert times(seen) == (None, 70, 70, 90)


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (stream((1, [delta(content="a")]), done=False), "broke off"),
        (stream((1, [{"error": {"message": "out of memory"}}])), "out of memory"),
        (TimedResponse(500, b"boom", ((1, 4),)), "HTTP status 500: boom"),
        (TimedResponse(200, b"", ()), "empty"),
        (TimedResponse(200, b"<html>", ((1, 6),)), "HTML"),
    ],
)
def test_a_broken_stream_is_no_measurement(response: TimedResponse, message: str) -> None:
    with pytest.raises(ExchangeError, match=message):
        observe(response)

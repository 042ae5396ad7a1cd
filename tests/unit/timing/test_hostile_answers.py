"""Whatever a server answers, a timing request is measured or says why not: the timing process does not die of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.errors import ExchangeError
from annie_eval.timing.connection import TimedResponse
from annie_eval.timing.measurement import measurement
from annie_eval.timing.prompts import Prepared
from annie_eval.timing.server_metrics import block_size, difference, parse, per_request
from annie_eval.timing.stream import observe
from tests.support.growth import LINEAR, growth
from tests.support.hostile import STREAMS

PREPARED = Prepared("/x", {"max_tokens": 8}, 64, True)


@given(STREAMS, st.lists(st.integers(1, 400), max_size=6))
def test_an_answer_is_measured_or_says_why_not(body: bytes, cuts: list[int]) -> None:
    ends = sorted({len(body), *(cut for cut in cuts if cut < len(body))})
    sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    reads = tuple((1000 * (at + 1), size) for at, size in enumerate(sizes))
    try:
        seen = observe(TimedResponse(200, body, reads), 64)
    except ExchangeError:
        return
    for counted in (None, per_request(seen.server)):
        made = measurement("short", 64, PREPARED, seen, counted=counted, busy=0, bounds=None)
        json.dumps(made.as_dict(), allow_nan=False)


COUNTERS = (
    "num_requests_running", "request_success_total", "time_to_first_token_seconds_sum", "prompt_tokens_total",
    "request_decode_time_seconds_sum", "spec_decode_num_drafts_total", "spec_decode_num_accepted_tokens_total",
)  # fmt: skip
VALUES = st.lists(
    st.sampled_from(["0", "1", "1e308", "1e999", "nan", "-inf", "9" * 400, "-1", "x", "1e-400"]),
    min_size=2 * len(COUNTERS),
    max_size=2 * len(COUNTERS),
)


@given(VALUES, VALUES)
def test_counters_that_are_no_numbers_are_none(before: list[str], after: list[str]) -> None:
    texts = [
        "\n".join(f'vllm:{COUNTERS[i % len(COUNTERS)]}{{engine="{i}"}} {value}' for i, value in enumerate(values))
        for values in (before, after)
    ]
    first, second = map(parse, texts)
    int(first.get("running", 0))
    difference(first, second)


@pytest.mark.parametrize(("text", "size"), [("16", 16), ("0", None), ("9" * 5000, None), ("9" * 30, None)])
def test_a_block_size_is_a_number_that_can_be_one(text: str, size: int | None) -> None:
    assert block_size(f'vllm:cache_config_info{{block_size="{text}"}} 1') == size


def test_a_call_in_many_pieces_takes_linear_time() -> None:
    def run(pieces: int) -> Callable[[], object]:
        call = {"index": 0, "function": {"name": "f", "arguments": "x" * 400}}
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        body = f"data: {chunk}\n\n".encode() * pieces + b"data: [DONE]\n\n"
        return lambda: observe(TimedResponse(200, body, ((1000, len(body)),)))

    assert growth(run, 1500) < LINEAR

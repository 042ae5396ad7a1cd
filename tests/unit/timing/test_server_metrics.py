"""The server's own metrics, and which of the client's times they confirm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annie_eval.timing.measurement import Measurement
from annie_eval.timing.server_metrics import ServerMetrics, block_size, difference, disagreements, parse, per_request

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="smollm2"} 0.0
vllm:num_requests_waiting{engine="0",model_name="smollm2"} 2.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="smollm2"} 4.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="smollm2"} 3.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="other"} 9.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="smollm2"} 7.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="smollm2"} 0.5
vllm:time_to_first_token_seconds_sum{engine="1",model_name="smollm2"} 0.25
vllm:prompt_tokens_total{engine="0",model_name="smollm2"} 1.41e+05
vllm:cache_config_info{_block_size_resolved="True",block_size="128",cache_dtype="auto",hash_block_size="None"} 1.0
process_cpu_seconds_total 12.0
"""


def seen(ttft: float = 90.0, tokens: int = 64, itl: float = 30.0, prompt: int | None = 70) -> Measurement:
    return Measurement(
        "short",
        0,
        prompt_tokens=prompt,
        completion_tokens=tokens,
        ttft_ms=ttft,
        last_ms=ttft + (tokens - 1) * itl,
        rate=1e3 / itl,
        counting="usage",
    )


AGREED = ServerMetrics(1, ttft_ms=89.0, decode_ms=63 * 30.0, prompt_tokens=70, generation_tokens=64, cached_tokens=0)


def test_counters_are_summed_over_engines_and_reasons_of_the_own_model() -> None:
    found = parse(METRICS, "smollm2")
    assert (found["finished"], found["ttft_sum"], found["waiting"], found["prompt_tokens"]) == (7, 0.75, 2, 141000)


def test_what_is_no_number_is_no_counter() -> None:
    lines = METRICS + 'vllm:generation_tokens_total{model_name="smollm2"} NaN\nvllm:prefix_cache_hits_total many\n'
    assert parse(lines, "smollm2") == parse(METRICS, "smollm2")


def test_the_block_size_is_the_real_one() -> None:
    assert block_size(METRICS) == 128
    assert block_size("") is None


def test_differences_are_exact() -> None:
    before = {"finished": 3.0, "ttft_sum": 1.0, "queue_sum": 0.0, "prefill_sum": 0.0, "prompt_tokens": 10.0}
    after = {"finished": 4.0, "ttft_sum": 1.09, "queue_sum": 0.001, "prefill_sum": 0.08, "prompt_tokens": 80.0}
    counted = difference(before, after)
    assert (counted.requests, counted.prompt_tokens, counted.decode_ms) == (1, 70, None)
    assert counted.ttft_ms == pytest.approx(90.0)
    assert counted.queue_prefill_ms == pytest.approx(81.0)


def test_speculative_decoding_yields_more_tokens_a_step() -> None:
    assert difference({}, {"drafts": 10.0, "accepted": 15.0}).tokens_per_step == 2.5
    assert difference({}, {}).tokens_per_step == 1.0


def test_a_server_that_agrees_leaves_no_doubt() -> None:
    assert disagreements(seen(), AGREED) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ttft_ms": 80.0}, "TTFT 90.0 ms, server 80.0 ms"),
        ({"ttft_ms": 95.0}, "TTFT 90.0 ms, server 95.0 ms"),
        ({"decode_ms": 1700.0}, "decode of 63 tokens 1890.0 ms, server 1700.0 ms"),
        ({"generation_tokens": 32}, "generated tokens 64, server 32"),
        ({"prompt_tokens": 7000}, "prompt tokens 70, server 7000"),
        ({"requests": 2}, "2 requests finished meanwhile"),
    ],
)
def test_each_disagreement_is_named(change: dict[str, float], message: str) -> None:
    assert disagreements(seen(), replace(AGREED, **change)) == (message,)  # type: ignore[arg-type]


def test_short_answers_have_no_rate_to_confirm() -> None:
    assert disagreements(seen(tokens=4), replace(AGREED, decode_ms=500.0, generation_tokens=4)) == ()


def test_per_request_metrics_confirm_where_counters_are_missing() -> None:
    """vLLM's `time_to_first_token_ms` there is prefill alone: a lower bound, no TTFT."""
    metrics = {"time_to_first_token_ms": 80.0, "queue_time_ms": 5.0, "generation_time_ms": 1890.0}
    assert disagreements(seen(), per_request(metrics)) == ()
    assert (
        "queue and prefill alone took 95.0"
        in disagreements(seen(), per_request({**metrics, "queue_time_ms": 15.0}))[0]
    )

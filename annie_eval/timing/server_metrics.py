"""Reads the server's Prometheus metrics before and after a request and compares them with the client's measurement.

Quantiles of the histograms are too coarse (vLLM's TTFT buckets go from 0.1 s to 0.25 s), but the differences of `_sum`
and `_count` around a single request are exact. Names and definitions are in vLLM's `v1/metrics/loggers.py` and
`v1/metrics/stats.py`. Its TTFT is the time from the arrival at the API server, before tokenisation, to the first token
in the same process. Its decode time is the time from the first to the last token by the engine's clock. The time of
the first token is taken before detokenisation, for which the detokeniser reads the whole prompt
(`FastIncrementalDetokenizer` and the first `DecodeStream.step`). The client waits for that, 0.35 to 1.3 us per prompt
token, and the metrics do not include it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from annie_eval.timing.connection import Connection, LostConnection
from annie_eval.untrusted.limits import MAX_COUNT

TTFT_SLACK_MS = 3.0  # for HTTP, JSON and SSE, which the server's times do not include
LEAST_TOKENS = 16  # the decode rate of a shorter answer is not compared
SLACK = 0.02  # relative tolerance of the decode rate, and of TTFT in addition to TTFT_SLACK_MS
_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_NAMES = {
    "running": "vllm:num_requests_running",
    "waiting": "vllm:num_requests_waiting",
    "finished": "vllm:request_success_total",
    "ttft_sum": "vllm:time_to_first_token_seconds_sum",
    "ttft_count": "vllm:time_to_first_token_seconds_count",
    "queue_sum": "vllm:request_queue_time_seconds_sum",
    "prefill_sum": "vllm:request_prefill_time_seconds_sum",
    "decode_sum": "vllm:request_decode_time_seconds_sum",
    "decode_count": "vllm:request_decode_time_seconds_count",
    "prompt_tokens": "vllm:prompt_tokens_total",
    "generation_tokens": "vllm:generation_tokens_total",
    "cached_tokens": "vllm:prefix_cache_hits_total",
    "drafts": "vllm:spec_decode_num_drafts_total",
    "accepted": "vllm:spec_decode_num_accepted_tokens_total",
}


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    """Changes of the server's counters between two reads; None for a counter that the server does not have.

    Attributes:
        requests: number of requests that finished. If it is 1, all other values are those of the client's request.
        ttft_ms, queue_prefill_ms, decode_ms: sums over these requests.
        tokens_per_step: mean number of tokens per engine step, above 1 with speculative decoding.
    """

    requests: int | None = None
    ttft_ms: float | None = None
    queue_prefill_ms: float | None = None
    decode_ms: float | None = None
    prompt_tokens: int | None = None
    generation_tokens: int | None = None
    cached_tokens: int | None = None
    tokens_per_step: float = 1.0


def parse(text: str, model: str | None = None) -> dict[str, float]:
    """The counters of `_NAMES` by their short names, summed over engines and labels; only those of `model`."""
    wanted = {name: ours for ours, name in _NAMES.items()}
    found: dict[str, float] = {}
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        match = _LINE.match(line)
        if match is None or match[1] not in wanted:
            continue
        labels = match[2] or ""
        if model is not None and "model_name=" in labels and f'model_name="{model}"' not in labels:
            continue
        ours = wanted[match[1]]
        with contextlib.suppress(ValueError):  # a value that is not a number is ignored
            if abs(value := float(match[3])) <= MAX_COUNT:
                found[ours] = found.get(ours, 0.0) + value
    return found


def block_size(text: str) -> int | None:
    """Tokens per block of the prefix cache, from vLLM's `cache_config_info`; None if it is not there."""
    match = re.search(r'^vllm:cache_config_info\{.*?\bblock_size="([1-9]\d{0,8})"', text, re.MULTILINE)
    return int(match[1]) if match else None


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> ServerMetrics:
    """The changes between two reads of the counters."""

    def delta(name: str) -> float | None:
        return after[name] - before.get(name, 0.0) if name in after else None

    def whole(name: str) -> int | None:
        value = delta(name)
        return None if value is None else round(value)

    def ms(*names: str) -> float | None:
        values = [delta(name) for name in names]
        return None if None in values else sum(v for v in values if v is not None) * 1e3

    drafts, accepted = delta("drafts") or 0.0, delta("accepted") or 0.0
    return ServerMetrics(
        requests=whole("finished"),
        ttft_ms=ms("ttft_sum"),
        queue_prefill_ms=ms("queue_sum", "prefill_sum"),
        decode_ms=ms("decode_sum"),
        prompt_tokens=whole("prompt_tokens"),
        generation_tokens=whole("generation_tokens"),
        cached_tokens=whole("cached_tokens"),
        tokens_per_step=1.0 + accepted / drafts if drafts else 1.0,
    )


def per_request(metrics: Mapping[str, object]) -> ServerMetrics:
    """The metrics that vLLM adds to an answer with `--enable-per-request-metrics`.

    Their `time_to_first_token_ms` is the prefill time only, so `ttft_ms` stays None.
    """

    def number(name: str) -> float | None:
        value = metrics.get(name)
        return float(value) if isinstance(value, int | float) and abs(value) <= MAX_COUNT else None

    prefill, queue = number("time_to_first_token_ms"), number("queue_time_ms")
    return ServerMetrics(
        requests=1,
        queue_prefill_ms=None if prefill is None else prefill + (queue or 0.0),
        decode_ms=number("generation_time_ms"),
    )


class SeenByClient(Protocol):
    """What the client measured for one request; `Measurement` implements it."""

    @property
    def ttft_ms(self) -> float | None: ...

    @property
    def decode(self) -> tuple[int, float] | None:
        """(tokens after the first chunk, milliseconds that they took); None if their number is unknown."""

    @property
    def prompt_tokens(self) -> int | None: ...

    @property
    def completion_tokens(self) -> int | None: ...


def disagreements(seen: SeenByClient, counted: ServerMetrics) -> tuple[str, ...]:
    """Differences between the client's measurement and the server's metrics; () if they agree or there are no metrics.

    TTFT: the client's value includes the transport, so client - server must be between -1 ms and 3 ms + 2 %.
    Decode time: within 2 % or 3 ms, whichever is more. Token counts: equal.
    """
    if counted.requests is not None and counted.requests != 1:
        return (f"{counted.requests} requests finished meanwhile",)
    found = []
    client = seen.ttft_ms
    if counted.ttft_ms is not None and client is not None:
        extra = client - counted.ttft_ms
        if not -1.0 <= extra <= TTFT_SLACK_MS + SLACK * client:
            found.append(f"TTFT {client:.1f} ms, server {counted.ttft_ms:.1f} ms")
    elif counted.queue_prefill_ms is not None and client is not None and client < counted.queue_prefill_ms - 1.0:
        found.append(f"TTFT {client:.1f} ms, but queue and prefill alone took {counted.queue_prefill_ms:.1f} ms")
    n = seen.completion_tokens
    if counted.decode_ms and n is not None and n >= LEAST_TOKENS and seen.decode is not None:
        tokens, span = seen.decode
        server = counted.decode_ms * tokens / (n - 1)
        if abs(span - server) > max(SLACK * server, TTFT_SLACK_MS):
            found.append(f"decode of {tokens} tokens {span:.1f} ms, server {server:.1f} ms")
    for what, client_count, server_count in (
        ("prompt tokens", seen.prompt_tokens, counted.prompt_tokens),
        ("generated tokens", n, counted.generation_tokens),
    ):
        if client_count is not None and server_count is not None and client_count != server_count:
            found.append(f"{what} {client_count}, server {server_count}")
    return tuple(found)


class MetricsReader:
    """Reads the server's counters over HTTP. `available` is False if the server lacks vLLM's `/metrics`."""

    def __init__(self, connection: Connection, model: str | None) -> None:
        self._connection, self.model = connection, model
        self._path = connection.path.removesuffix("/v1") + "/metrics"
        text = self._text()
        self.block_size = block_size(text)
        self.available = "running" in parse(text, model)

    def _text(self) -> str:
        try:
            response = self._connection.exchange("GET", self._path)
        except LostConnection:
            return ""
        return response.body.decode("utf-8", "replace") if response.status == 200 else ""

    def look(self) -> dict[str, float]:
        """The current counters; empty if the server has none."""
        return parse(self._text(), self.model) if self.available else {}

    def settled(self, before: Mapping[str, float], requests: int = 1) -> dict[str, float]:
        """The counters when `requests` more have finished, or after one second. vLLM updates them after the answer."""
        until = time.monotonic() + 1.0
        while True:
            after = self.look()
            booked = after.get("finished", 0.0) - before.get("finished", 0.0)
            if not self.available or booked >= requests or time.monotonic() > until:
                return after
            time.sleep(0.01)

    def wait_quiet(self, limit: float) -> tuple[dict[str, float], int]:
        """Wait until the server has no running or waiting requests, at most `limit` seconds.

        Returns:
            The last counters, and the number of requests that were running or waiting then.
        """
        until = time.monotonic() + limit
        while True:
            now = self.look()
            busy = int(now.get("running", 0) + now.get("waiting", 0))
            if not busy or time.monotonic() > until:
                return now, busy
            time.sleep(0.05)

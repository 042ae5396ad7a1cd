"""The server's Prometheus metrics around a request, and whether they agree with the client.

Histogram quantiles cannot gate anything here (vLLM's TTFT buckets jump from 0.1 s to 0.25 s), but the difference of
`_sum` and `_count` around a single request is exact. Names and definitions: vLLM, `v1/metrics/loggers.py` and
`v1/metrics/stats.py`. TTFT there runs from the arrival at the API server, before tokenisation, to the first token in
the same process; decode time runs from the first to the last token on the engine's clock. The first token is stamped
before it is made text, and for that the detokeniser first reads the whole prompt (`FastIncrementalDetokenizer` and the
first `DecodeStream.step`): 0.35 to 1.3 us a prompt token that the client waits for and the account does not hold.
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

TTFT_SLACK_MS = 3.0  # HTTP, JSON and SSE on both sides of the server's two stamps
LEAST_TOKENS = 16  # an answer shorter than that has no decode rate worth the name
SLACK = 0.02  # relative, for TTFT on top of the above, and for the decode rate
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
    """What the server says happened between two looks at its counters; None where it has no such counter.

    Attributes:
        requests: how many finished; 1 means that the figures below are those of the client's request alone.
        ttft_ms, queue_prefill_ms, decode_ms: sums over these requests.
        tokens_per_step: mean tokens an engine step yielded, above 1 under speculative decoding.
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
    """The counters that matter, by our names, summed over engines and labels; other models' lines are left out."""
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
        with contextlib.suppress(ValueError):  # no number is no counter
            if abs(value := float(match[3])) <= MAX_COUNT:
                found[ours] = found.get(ours, 0.0) + value
    return found


def block_size(text: str) -> int | None:
    """Tokens in a prefix-cache block, from vLLM's `cache_config_info`."""
    match = re.search(r'^vllm:cache_config_info\{.*?\bblock_size="([1-9]\d{0,8})"', text, re.MULTILINE)
    return int(match[1]) if match else None


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> ServerMetrics:
    """The account of what happened between two looks."""

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
    """The account on the answer itself, from vLLM's `--enable-per-request-metrics`.

    Its `time_to_first_token_ms` is prefill alone, so that TTFT itself is not confirmed by it.
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
    """What the client saw of one request; a `Measurement` is one."""

    @property
    def ttft_ms(self) -> float | None: ...

    @property
    def decode(self) -> tuple[int, float] | None:
        """Tokens after the first moment, and the milliseconds that they took; None where nobody counted them."""

    @property
    def prompt_tokens(self) -> int | None: ...

    @property
    def completion_tokens(self) -> int | None: ...


def disagreements(seen: SeenByClient, counted: ServerMetrics) -> tuple[str, ...]:
    """What the server's metrics do not confirm; () where it confirms the client, or says nothing.

    TTFT: the client sees what the server stamps plus the way there and back, so client - server must lie between 0
    and 3 ms + 2 %. Decode: the two rates within 2 %, or the two spans within 3 ms, where a span is so short that
    2 % of it is less than the client can tell.
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
    """The server's counters over HTTP. `available` is False for a server without vLLM's `/metrics`."""

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
        """The counters now; empty where the server has none."""
        return parse(self._text(), self.model) if self.available else {}

    def settled(self, before: Mapping[str, float], requests: int = 1) -> dict[str, float]:
        """The counters once `requests` more are accounted for, or after a second; vLLM books an answer late."""
        until = time.monotonic() + 1.0
        while True:
            after = self.look()
            booked = after.get("finished", 0.0) - before.get("finished", 0.0)
            if not self.available or booked >= requests or time.monotonic() > until:
                return after
            time.sleep(0.01)

    def wait_quiet(self, limit: float) -> tuple[dict[str, float], int]:
        """Wait until nothing runs or waits, at most `limit` seconds.

        Returns:
            The counters at the last look, and how many requests the server was busy with then.
        """
        until = time.monotonic() + limit
        while True:
            now = self.look()
            busy = int(now.get("running", 0) + now.get("waiting", 0))
            if not busy or time.monotonic() > until:
                return now, busy
            time.sleep(0.05)

"""A server with known timing: every byte is sent at a defined time, from a separate process.

`python truth_server.py '{"ttft_ms": 90, "itl_ms": 30}'` prints its port and serves until standard input is closed.
Deadlines are absolute, so that errors do not accumulate; the last half millisecond before each is spent in a busy
loop. The clock starts when the request line is read.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 16
KNOWN = {"ignore_eos", "cache_salt", "chat_template_kwargs"}


@dataclass(frozen=True)
class Truth:
    """The behaviour of the server.

    Attributes:
        ttft_ms: time from the request to the first token, plus `prefill_us` for each prompt token not cached.
        burst: tokens per chunk; a chunk is sent when its last token is due.
        first_now: with bursts, the first token is sent alone immediately, like with vLLM's stream_interval.
        early_role: the role chunk is sent immediately instead of with the first token.
        reasoning: number of reasoning tokens before the first content.
        stall_ms, stall_at: one pause before that token.
        jitter_ms: standard deviation of each token's time around its due time.
        at_once: the complete answer is sent with its last token, like through a buffering proxy.
        tokens: fixed answer length; None obeys max_tokens.
        finish: the finish_reason of answers without a tool call.
        usage: `continuous`, `final` or `none`.
        cache: has a prefix cache, in blocks of 16 tokens, keyed by salt.
        report_cached: reports `cached_tokens`.
        truncate: keeps and counts only that many prompt tokens.
        lie: reports the full length of truncated prompts.
        completions: has /completions, which takes token ids.
        tokenize: has /tokenize; `same` gives every word the same id, `deep` returns deeply nested JSON.
        round_ids: reports the length of prompts of ids in multiples of this.
        tokenize_us: delay of the first token for each word of a /completions prompt that is text.
        strict: refuses fields that OpenAI's API does not have.
        bare: also refuses `stream_options`, and lists no models.
        metrics: has vLLM's /metrics.
        hidden_ms: delay of the client's stream that is not in the server's metrics.
        outside_us: delay of the first token per prompt token that is not in the metrics either.
        others: number of other clients' requests that finish with each request, by the metrics.
        busy_ms: time after start during which `num_requests_running` is 1.
        fail_at: this request (counted from 1) breaks in the middle.
        max_model_len: reported, if set.
    """

    ttft_ms: float = 90.0
    itl_ms: float = 30.0
    prefill_us: float = 0.0
    burst: int = 1
    first_now: bool = False
    early_role: bool = False
    reasoning: int = 0
    stall_ms: float = 0.0
    stall_at: int = 10
    jitter_ms: float = 0.0
    at_once: bool = False
    tokens: int | None = None
    finish: str = "length"
    usage: str = "continuous"
    cache: bool = False
    report_cached: bool = True
    truncate: int | None = None
    lie: bool = False
    completions: bool = True
    tokenize: str = ""
    round_ids: int = 1
    tokenize_us: float = 0.0
    strict: bool = False
    bare: bool = False
    metrics: bool = True
    hidden_ms: float = 0.0
    outside_us: float = 0.0
    others: int = 0
    busy_ms: float = 0.0
    fail_at: int = 0
    tool_tokens: int = 20
    max_model_len: int | None = 32768


class _State:
    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.lock = threading.Lock()
        self.born = time.perf_counter()
        self.started = time.time()
        self.requests = 0
        self.seen: dict[str, set[int]] = {}
        self.counters = dict.fromkeys(
            ("success", "ttft", "decode", "queue", "prefill", "prompt", "generation", "hits"), 0.0
        )

    def cached(self, salt: str, tokens: list[Any]) -> int:
        """Number of cached tokens (complete blocks at the beginning of an earlier prompt); stores this prompt."""
        if not self.truth.cache:
            return 0
        known = self.seen.setdefault(salt, set())
        hit, prefix = 0, 0
        for end in range(BLOCK, len(tokens) + 1, BLOCK):
            prefix = hash((prefix, *tokens[end - BLOCK : end]))
            if prefix in known and hit == end - BLOCK and end < len(tokens):
                hit = end
            known.add(prefix)
        return hit


def _wait(deadline: float) -> None:
    left = deadline - time.perf_counter() - 0.0005
    if left > 0:
        time.sleep(left)
    while time.perf_counter() < deadline:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    state: _State

    def parse_request(self) -> bool:
        self.begun = time.perf_counter()
        return super().parse_request()

    def log_message(self, *_: Any) -> None:
        pass

    def _reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self) -> None:
        truth = self.state.truth
        if self.path == "/v1/models" and not truth.bare:
            entry: dict[str, Any] = {"id": "truth", "object": "model"}
            if truth.max_model_len:
                entry["max_model_len"] = truth.max_model_len
            self._reply(200, json.dumps({"object": "list", "data": [entry]}).encode())
        elif self.path == "/health":
            self._reply(200, b"{}")
        elif self.path == "/metrics" and truth.metrics:
            self._reply(200, self._metrics().encode(), "text/plain")
        else:
            self._reply(404, b'{"error": {"message": "not found"}}')

    def _metrics(self) -> str:
        c, labels = self.state.counters, '{engine="0",model_name="truth"}'
        busy = (time.perf_counter() - self.state.born) * 1e3 < self.state.truth.busy_ms
        values = {
            "num_requests_running": float(busy),
            "num_requests_waiting": 0.0,
            "time_to_first_token_seconds_sum": c["ttft"],
            "time_to_first_token_seconds_count": c["success"],
            "request_queue_time_seconds_sum": c["queue"],
            "request_prefill_time_seconds_sum": c["prefill"],
            "request_decode_time_seconds_sum": c["decode"],
            "request_decode_time_seconds_count": c["success"],
            "prompt_tokens_total": c["prompt"],
            "generation_tokens_total": c["generation"],
            "prefix_cache_hits_total": c["hits"],
        }
        lines = [f"vllm:{name}{labels} {value!r}" for name, value in values.items()]
        lines.append(
            f'vllm:request_success_total{{engine="0",finished_reason="length",model_name="truth"}} {c["success"]}'
        )
        lines.append(f'vllm:cache_config_info{{block_size="{BLOCK}",engine="0"}} 1.0')
        lines.append(f"process_start_time_seconds {self.state.started!r}")
        return "\n".join(lines) + "\n"

    def do_POST(self) -> None:
        truth, begun = self.state.truth, self.begun
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = self.path == "/v1/chat/completions"
        if self.path == "/tokenize" and truth.tokenize:
            ids = [1 if truth.tokenize == "same" else sum(word.encode()) for word in body["prompt"].split()]
            answer = b"[" * 200_000 if truth.tokenize == "deep" else json.dumps({"tokens": ids}).encode()
            self._reply(200, answer)
            return
        if not chat and not (truth.completions and self.path == "/v1/completions"):
            self._reply(404, b'{"error": {"message": "not found"}}')
            return
        options = body.get("stream_options", {})
        if truth.bare and options:
            self._reply(422, b'{"error": {"message": "unknown field stream_options"}}')
            return
        if truth.strict and (KNOWN & set(body) or "continuous_usage_stats" in options):
            self._reply(400, b'{"error": {"message": "unknown field"}}')
            return
        with self.state.lock:
            self.state.requests += 1
            number = self.state.requests
        prompt = json.dumps(body["messages"]).split() if chat else body["prompt"]
        tokens = prompt if isinstance(prompt, list) else prompt.split()
        kept = tokens[: truth.truncate] if truth.truncate else tokens
        cached = self.state.cached(body.get("cache_salt", ""), kept)
        first = begun + (truth.ttft_ms + truth.prefill_us / 1e3 * (len(kept) - cached)) / 1e3
        if not chat and not isinstance(prompt, list):
            first += truth.tokenize_us / 1e6 * len(tokens)
        count = truth.tokens or body.get("max_tokens") or body.get("max_completion_tokens") or 16
        tool = chat and bool(body.get("tools"))
        if tool:
            count = truth.tool_tokens
        prompt_tokens = len(tokens) if truth.lie else len(kept)
        if not chat and isinstance(prompt, list):
            prompt_tokens = -(-prompt_tokens // truth.round_ids) * truth.round_ids
        usage: dict[str, Any] = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + count}
        if truth.report_cached:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        self._stream(number, first, count, chat=chat, tool=tool, options=options, usage=usage)
        with self.state.lock:
            c = self.state.counters
            c["success"] += 1 + truth.others
            c["ttft"] += first - begun
            c["prefill"] += first - begun
            c["decode"] += (count - 1) * truth.itl_ms / 1e3 + truth.stall_ms / 1e3
            c["prompt"] += len(kept)
            c["generation"] += count
            c["hits"] += cached

    def _stream(
        self,
        number: int,
        first: float,
        count: int,
        *,
        chat: bool,
        tool: bool,
        options: dict[str, Any],
        usage: dict[str, Any],
    ) -> None:
        truth, draw = self.state.truth, random.Random(number)
        continuous = truth.usage == "continuous" and options.get("continuous_usage_stats")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

        def send(value: dict[str, Any] | str) -> None:
            text = value if isinstance(value, str) else json.dumps(value)
            data = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def chunk(delta: dict[str, Any], done: int, finish: str | None = None) -> dict[str, Any]:
            choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
            choice |= {"delta": delta} if chat else {"text": delta.get("content", "")}
            kind = "chat.completion.chunk" if chat else "text_completion"
            value: dict[str, Any] = {"id": "x", "object": kind, "created": 0, "model": "truth", "choices": [choice]}
            if continuous:
                value["usage"] = {**usage, "completion_tokens": done}
            return value

        role = {"role": "assistant", "content": ""}
        if chat and truth.early_role:
            send(chunk(role, 0))
        ends = [*range(truth.burst, count, truth.burst), count]
        if truth.first_now:
            ends = sorted({1, *(min(1 + end, count) for end in ends)})
        before = 0
        for end in ends:
            if truth.fail_at == number and before:
                self.close_connection = True
                return
            # The first chunk is sent at the TTFT, whatever its content; the rest is paced by tokens.
            due = first + (end - ends[0]) * truth.itl_ms / 1e3
            due += truth.stall_ms / 1e3 if end > truth.stall_at else 0.0
            due += draw.gauss(0, truth.jitter_ms) / 1e3 if truth.jitter_ms and before else 0.0
            if truth.at_once:
                due = first + (count - 1) * truth.itl_ms / 1e3
            outside = first + truth.outside_us / 1e6 * usage["prompt_tokens"]
            _wait(max(due, outside) + truth.hidden_ms / 1e3)
            if chat and not truth.early_role and not before:
                send(chunk(role, 0))
            text = "tok " * (end - before)
            if tool:
                send(chunk({"tool_calls": [self._call(before, end, count)]}, end))
            elif chat and before < truth.reasoning:
                send(chunk({"reasoning": text}, end))
            else:
                send(chunk({"content": text}, end))
            before = end
        send(chunk({}, count, "tool_calls" if tool else truth.finish))
        if truth.usage != "none":
            kind = "chat.completion.chunk" if chat else "text_completion"
            send(
                {
                    "id": "x",
                    "object": kind,
                    "created": 0,
                    "model": "truth",
                    "choices": [],
                    "usage": {**usage, "completion_tokens": count},
                }
            )
        send("[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _call(self, before: int, end: int, count: int) -> dict[str, Any]:
        """The next fragment of a call; its arguments are complete with the last token."""
        if before == 0:
            return {"index": 0, "id": "call_1", "type": "function", "function": {"name": "remember", "arguments": "{"}}
        part = '"a": "b"}' if end == count else " "
        return {"index": 0, "function": {"arguments": part}}


@contextmanager
def serve(truth: Truth) -> Iterator[str]:
    """Run the server in a separate process; yields its base URL."""
    command = [sys.executable, __file__, json.dumps(asdict(truth))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def main() -> None:
    with contextlib.suppress(OSError, AttributeError):  # if allowed, so that other load does not change the timing
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    _Handler.state = _State(Truth(**json.loads(sys.argv[1])))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gc.freeze()
    gc.disable()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

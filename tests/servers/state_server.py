"""A server with a toy model and one planted fault in its state, in this process or over HTTP.

The toy model is greedy: what follows is drawn from the whole prompt and the tokens so far, so that the same prompt has
the same distributions. As on a real server, each answer is rounded otherwise, and near ties turn on it; or what is
computed in another shape (tokens cached, requests in the batch) is, and the same shape gives the same numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from annie_eval.http_client import Response, TransportError

FAULTS = (
    "other_prompt",  # a cached prefix has the state of another prompt
    "beyond_block",  # the same, only where more than `LONG` tokens are cached
    "many_tools",  # the same, only with more than 20 tools
    "after_cancel",  # the same, only after a request was cancelled
    "after_too_long",  # the same, only after a request was refused for its length
    "batch",  # the state of another prompt, in batches of more than eight
    "one_in_a_thousand",  # one token in a thousand is another one, with the log-probability that it has
    "one_in_a_thousand_told_likely",  # the same, and the log-probabilities are made to fit
    "dropped_call",  # one streamed call in twenty is lost by the parser
)
LONG = 2048
_WORDS = (
    "red",
    "blue",
    "kettle",
    "lamp",
    "door",
    "seven",
    "nine",
    "the",
    "a",
    "is",
    "was",
    "on",
    "under",
    "key",
    "box",
)
_CANDIDATES = 6


@dataclass
class StateServer:
    """Answers as `annie_eval.http_client.Client` does.

    Attributes:
        fault: one of `FAULTS`; "" for none.
        strength: how much of the state is another prompt's, where the fault is of that kind.
        rounding: nats, one standard deviation of each logit, drawn again for each answer.
        shape_rounding: the same, drawn once for each prompt, token and shape; at one token in twenty four times that.
        block: tokens in a block of the prefix cache; 0 for no cache.
        cached_tokens, logprobs, salts: it tells of cached tokens, gives log-probabilities, takes `cache_salt`.
        model_len: listed, unless it is 0.
    """

    fault: str = ""
    seed: int = 0
    strength: float = 1.0
    rounding: float = 0.05
    shape_rounding: float = 0.0
    block: int = 128
    cached_tokens: bool = True
    logprobs: bool = True
    salts: bool = True
    token_ids: bool = True
    model_len: int = 32768
    asked: int = 0
    _running: int = 0
    _cancelled: bool = False
    _refused: bool = False
    _seen: dict[str, set[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.fault in ("", *FAULTS)
        self._draw = random.Random(self.seed)

    async def request(self, method: str, path: str, payload: bytes | None = None) -> Response:
        entry = {"id": "toy", "object": "model"} | ({"max_model_len": self.model_len} if self.model_len else {})
        return Response(200, (), json.dumps({"object": "list", "data": [entry]}).encode(), ())

    async def post(self, path: str, body: Mapping[str, Any]) -> Response:
        self.asked += 1
        if "cache_salt" in body and not self.salts:
            raise TransportError("HTTP 400: unknown field cache_salt", resend=False, status=400)
        prompt = json.dumps([body.get("tools"), body["messages"]])
        tokens = [prompt[at : at + 4] for at in range(0, len(prompt), 4)]
        if self.model_len and len(tokens) + body["max_tokens"] > self.model_len:
            self._refused = True
            raise TransportError("HTTP 400: this model's maximum context length", resend=False, status=400)
        self._running += 1
        try:
            # A long answer takes its time, so that it can be cancelled.
            await asyncio.sleep(0.2 if body.get("stream") and body["max_tokens"] >= 100 else 0)
            return Response(200, (), self._answer(body, prompt, tokens), ())
        except asyncio.CancelledError:
            self._cancelled = True
            raise
        finally:
            self._running -= 1

    def _cached(self, salt: str, tokens: list[str]) -> int:
        known, hit, chain = self._seen.setdefault(salt, set()), 0, 0
        for end in range(self.block, len(tokens), self.block) if self.block else ():
            chain = hash((chain, *tokens[end - self.block : end]))
            hit = end if chain in known and hit == end - self.block else hit
            known.add(chain)
        return hit

    def _corrupt(self, body: Mapping[str, Any], cached: int) -> bool:
        return {
            "other_prompt": cached > 0,
            "beyond_block": cached > LONG,
            "many_tools": cached > 0 and len(body.get("tools", ())) > 20,
            "after_cancel": cached > 0 and self._cancelled,
            "after_too_long": cached > 0 and self._refused,
            "batch": self._running > 8,
        }.get(self.fault, False)

    def _answer(self, body: Mapping[str, Any], prompt: str, tokens: list[str]) -> bytes:
        cached = self._cached(str(body.get("cache_salt", "")), tokens)
        weight = self.strength if self._corrupt(body, cached) else 0.0
        sent: list[int] = []
        rows, digest = [], zlib.crc32(prompt.encode())
        shape = (cached, self._running)
        while len(sent) < body["max_tokens"]:
            logits = self._logits(digest, tuple(sent), weight, shape)
            token = max(logits, key=logits.__getitem__)
            if self.fault.startswith("one_in_a_thousand") and self._draw.random() < 0.001:
                token = min(logits, key=logits.__getitem__)
                if self.fault.endswith("told_likely"):
                    logits[token] = max(logits.values()) + 3.0
            rows.append(_row(logits, token, body.get("top_logprobs", 0)))
            sent.append(token)
        call = bool(body.get("tools")) and "logprobs" not in body
        if call:
            sent = list(range(12))  # a call is what a model is sure of
        if call and self.fault == "dropped_call" and body.get("stream") and self._draw.random() < 0.05:
            call = False
        return self._reply(body, sent, rows, len(tokens), cached, call=call)

    def _logits(self, prompt: int, sent: tuple[int, ...], weight: float, shape: tuple[int, int]) -> dict[int, float]:
        own = _distribution(prompt, sent)
        if weight:
            other = _distribution(0, sent)
            own = {
                token: (1 - weight) * own.get(token, -8.0) + weight * other.get(token, -8.0)
                for token in {*own, *other}
            }
        own = {token: logit + self._draw.gauss(0.0, self.rounding) for token, logit in own.items()}
        if self.shape_rounding:
            draw = random.Random(hash((self.seed, prompt, *sent, *shape)))
            sigma = self.shape_rounding * (4.0 if draw.random() < 0.05 else 1.0)
            own = {token: logit + draw.gauss(0.0, sigma) for token, logit in own.items()}
        return own

    def _reply(
        self, body: Mapping[str, Any], sent: list[int], rows: list[Any], length: int, cached: int, *, call: bool
    ) -> bytes:
        usage: dict[str, Any] = {"prompt_tokens": length, "completion_tokens": len(sent)}
        usage["total_tokens"] = length + len(sent)
        if self.cached_tokens:
            usage["prompt_tokens_details"] = {"cached_tokens": cached}
        words = " ".join(_WORDS[token] for token in sent)
        message: dict[str, Any] = {"role": "assistant", "content": words}
        if call:
            function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"query": "keys"}'}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}],
            }
        choice: dict[str, Any] = {"index": 0, "finish_reason": "tool_calls" if call else "stop"}
        if self.token_ids and body.get("return_token_ids"):
            choice["token_ids"] = sent
        base = {"id": "x", "created": 0, "model": "toy"}
        if body.get("stream"):
            chunk = {**base, "object": "chat.completion.chunk", "choices": [{**choice, "delta": message}]}
            last = {**base, "object": "chat.completion.chunk", "choices": [], "usage": usage}
            return b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in (chunk, last)) + b"data: [DONE]\n\n"
        if body.get("logprobs") and self.logprobs:
            choice["logprobs"] = {"content": rows}
        value = {**base, "object": "chat.completion", "choices": [{**choice, "message": message}], "usage": usage}
        return json.dumps(value).encode()


@lru_cache(200_000)
def _distribution(prompt: int, sent: tuple[int, ...]) -> Mapping[int, float]:
    """Logits of a few tokens: now and then a near tie, mostly a clear one."""
    draw = random.Random(hash((prompt, *sent)))
    chosen = draw.sample(range(len(_WORDS)), _CANDIDATES)
    level, out = 0.0, {}
    for token in chosen:
        out[token] = level
        level -= draw.expovariate(1 / 2.5)
    return out


def _row(logits: Mapping[int, float], token: int, top: int) -> dict[str, Any]:
    total = math.log(sum(map(math.exp, logits.values())))
    likely = sorted(logits, key=logits.__getitem__, reverse=True)[:top]

    def entry(each: int) -> dict[str, Any]:
        return {"token": f" {_WORDS[each]}", "logprob": logits[each] - total, "bytes": None}

    return {**entry(token), "top_logprobs": [entry(each) for each in likely]}


@contextmanager
def serve(server: StateServer) -> Iterator[str]:
    """The same server over HTTP, in threads of this process; yields its base URL."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            if self.path == "/v1/models":
                self._send(200, asyncio.run(server.request("GET", "/models")).body)
            else:
                self._send(404, b"{}")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                with lock:
                    answer = asyncio.run(server.post("/chat/completions", body)).body
            except TransportError as error:
                self._send(error.status or 500, json.dumps({"error": {"message": error.cause}}).encode())
                return
            with contextlib.suppress(OSError):
                self._send(200, answer)

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}/v1"
    finally:
        listening.shutdown()
        listening.server_close()

"""Parsing a sample's tokens again: differences are attributed to the server's parsers only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import ExchangeError
from annie_eval.http_client import Client, Response, TransportError
from annie_eval.profile.types import Expect, Gate, Limits, Scenario, Turn, Variant
from annie_eval.run.derender import CHUNK, NotOffered, derender
from annie_eval.run.judge import judge
from annie_eval.wire import parse
from annie_eval.wire.sample import Exchange, Sample

IDS = list(range(20, 31))  # the last one is the stop token
WORDS = [f"w{i} " for i in IDS]


def sample(ids: list[int] | None = IDS) -> Sample:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    value: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    if ids is not None:
        choice["token_ids"] = ids
        value["prompt_token_ids"] = [1, 2]
    body = json.dumps(value).encode()
    request = {"model": "m", "messages": [], "stream": False}
    exchange = Exchange(request, 200, (), body, (), parse.parse(body, streamed=False), Expect())
    return Sample("s", Scenario("s", "c", (Turn("hi"),)), Variant(), (exchange,), {}, Limits())


class Server:
    """Parses tokens to words; `lose` drops the word of one chunk, as a parser that swallows a delta does."""

    def __init__(self, *, lose: int | None = None, breaks: bool = False) -> None:
        self.lose, self.breaks, self.chunks = lose, breaks, 0

    async def post(self, path: str, body: Mapping[str, Any]) -> Response:
        assert path == "/chat/completions/derender"
        if self.breaks:
            raise TransportError("HTTP 500", resend=True)
        base = {"id": "1", "created": 1, "model": "m"}
        if not body["stream"]:
            text = "".join(WORDS[i - 20] for i in body["generate_response"]["choices"][0]["token_ids"])
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            value: dict[str, Any] = {**base, "object": "chat.completion", "choices": [choice]}
        else:
            given = body["generate_chunk"]["choices"][0]
            text = "".join(WORDS[i - 20] for i in given["token_ids"])
            delta = {} if self.chunks == self.lose else {"content": text}
            self.chunks += 1
            choice = {"index": 0, "delta": delta, "finish_reason": given["finish_reason"]}
            chunk = {**base, "object": "chat.completion.chunk", "choices": [choice]}
            value = {"chunk": chunk, "stream_state": {"n": self.chunks}}
        return Response(200, (), json.dumps(value).encode(), ())


def run(server: Server, of: Sample | None = None) -> tuple[Finding, ...]:
    return asyncio.run(derender(cast(Client, server), of or sample()))


def test_parsers_that_agree_with_themselves_are_clean() -> None:
    server = Server()
    assert run(server) == ()
    assert server.chunks == -(-(len(IDS) - 1) // CHUNK)  # every token but the stop token, CHUNK at a time


def test_a_swallowed_delta_is_found_and_turns_the_wire_gate_red() -> None:
    findings = run(Server(lose=1))
    assert [finding.detector for finding in findings] == ["wire"]
    assert judge(Gate("tools", ("restraint",), ()), sample(), derendered=findings).findings == ()
    assert findings[0] in judge(Gate("wire_integrity", ("wire",), ()), sample(), derendered=findings).findings


def test_without_token_ids_nothing_is_sent() -> None:
    assert run(Server(breaks=True), sample(None)) == ()


def test_an_endpoint_that_breaks_is_an_error() -> None:
    with pytest.raises(ExchangeError, match="derender: HTTP 500"):
        run(Server(breaks=True))


@pytest.mark.parametrize("status", [403, 404, 405])
def test_an_endpoint_that_is_switched_off_is_no_fault_of_the_sample(status: int) -> None:
    """vLLM without --enable-scale-out: a GET of the path says 405, a POST 403."""

    class Off(Server):
        async def post(self, path: str, body: Mapping[str, Any]) -> Response:
            raise TransportError(f"HTTP {status}", resend=False, status=status)

    with pytest.raises(NotOffered, match=f"HTTP {status}"):
        run(Off())

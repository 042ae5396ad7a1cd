"""A server that answers a profile's scenarios with their examples in vLLM 0.32's format, with one planted fault.

    python -m tests.servers.fault_server --profile annie --port 8000 [--fault NAME] [--latency MS] [--itl MS]

It implements HTTP/1.1 with asyncio and only the standard library, so that a fault can be in any byte. `GET /_count`
returns how often each request was answered completely.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annie_eval.profile.load import load
from annie_eval.profile.types import Profile, Scenario
from tests.servers.faults import FAULTS
from tests.servers.faults.fault import Fault, FaultResponse
from tests.servers.faults.http import head, write
from tests.servers.faults.reply import Ask, Call, Reply, chunks, dump, limited, whole

MODEL = "annie-test"
_MAX_MODEL_LEN = 32_768


class Script:
    """Maps a request to a step of a scenario."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._steps: dict[tuple[str, ...], list[tuple[Scenario, int]]] = defaultdict(list)
        for scenario in profile.scenarios:
            prompts = [str(message["content"]) for message in scenario.history if message["role"] == "user"]
            for turn, step in enumerate(scenario.turns):
                prompts.append(step.user)
                self._steps[tuple(prompts)].append((scenario, turn))

    def find(self, body: Mapping[str, Any]) -> Ask:
        messages = [m for m in body.get("messages") or [] if m.get("role") != "system"]
        prompts = tuple(str(m.get("content")) for m in messages if m.get("role") == "user")
        for scenario, turn in self._steps.get(prompts, ()):
            if self._fits(scenario, messages, body):
                return Ask(body, scenario, turn, int(messages[-1]["role"] == "tool"))
        return Ask(body)

    def _fits(self, scenario: Scenario, messages: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> bool:
        offered = [tool["function"]["name"] for tool in body.get("tools") or []]
        return (
            list(messages[: len(scenario.history)]) == list(scenario.history)
            and offered == list(self._profile.tools if scenario.tools is None else scenario.tools)
            and body.get("max_tokens") == (scenario.max_tokens or self._profile.sampling.max_tokens)
        )


_serial = itertools.count(int(time.time()))


_THOUGHT = "A short answer in plain words will do here. "


def good_reply(ask: Ask) -> Reply:
    """The scenario's example, with thinking and token limit."""
    example: Mapping[str, Any] = {"content": "All right."}
    if ask.scenario is not None:
        step = ask.scenario.turns[ask.turn]
        example = (step.then_example if ask.round else step.example) or example
    calls = tuple(
        Call(f"chatcmpl-tool-{next(_serial):016x}", call["function"]["name"], call["function"]["arguments"])
        for call in example.get("tool_calls") or ()
    )
    thought = _THOUGHT if ask.thinking else None
    reply = Reply(example.get("content"), thought, calls, "tool_calls" if calls else "stop")
    limit = ask.body.get("max_tokens")
    if not isinstance(limit, int):
        return reply
    if ask.expect.truncated and ask.thinking:
        return limited(replace(reply, reasoning=_THOUGHT * limit), limit)
    cut = limited(reply, limit)
    return replace(cut, finish="length") if ask.expect.truncated else cut


class FaultServer:
    """The server in a thread of this process: `with FaultServer(load("annie"), fault="http-500") as url: ...`.

    Args:
        fault: a name from `faults.FAULTS`; None for no fault.
        latency: milliseconds from a request to the first byte of its response.
        itl: milliseconds between two frames of a stream.
    """

    def __init__(
        self,
        profile: Profile,
        fault: str | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        latency: float = 0,
        itl: float = 0,
    ) -> None:
        self.script = Script(profile)
        self.fault: Fault | None = None if fault is None else FAULTS[fault]
        self.host, self.port = host, port
        self.latency, self.itl = latency / 1000, itl / 1000
        self.started = time.time()
        self.received = 0
        self.answered: Counter[str] = Counter()
        self._sent: Counter[bytes] = Counter()
        self._prey: set[str] | None = None
        if self.fault is not None and self.fault.where != "*":
            self._prey = {s.id for s in profile.gate_scenarios(profile.gates[self.fault.where])}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-server", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connection, self.host, self.port, limit=1 << 20, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def __enter__(self) -> str:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self.listen(), self._loop).result()
        return self.url

    def __exit__(self, *exc: object) -> None:
        async def stop() -> None:
            self._server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client left, or the server stops
        finally:
            self._connections.discard(task)
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = start.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        payload = await reader.readexactly(int(headers.get("content-length", 0)))
        path = target.partition("?")[0]
        if method == "POST" and path == "/v1/chat/completions":
            return await self._chat(reader, writer, payload)
        status, content_type, body = self._fixed(method, path, payload)
        writer.write(head(status, content_type, len(body)) + body)
        await writer.drain()
        return True

    def _fixed(self, method: str, path: str, payload: bytes) -> tuple[int, str, bytes]:
        if method == "GET" and path in ("/health", "/ping"):
            return 200, "application/json", b""
        if method == "GET" and path == "/version":
            return 200, "application/json", dump({"version": "0.32.0"})
        if method == "GET" and path == "/v1/models":
            return 200, "application/json", dump(_models())
        if method == "GET" and path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", _metrics(self.received, self.started).encode()
        if method == "GET" and path == "/_count":
            return 200, "application/json", dump({"received": self.received, "answered": self.answered})
        if path == "/v1/chat/completions/derender":  # like vLLM 0.32 without --enable-scale-out
            status, message = (403, "Scale-out endpoints are disabled.") if method == "POST" else (405, "Not Allowed")
            return status, "application/json", dump({"error": {"message": message, "code": status}})
        return 404, "application/json", b'{"detail":"Not Found"}'

    async def _chat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, payload: bytes) -> bool:
        self.received += 1
        try:
            body = json.loads(payload)
        except ValueError:
            body = None
        if not isinstance(body, dict) or body.get("model") != MODEL:
            message = (
                "no JSON object" if not isinstance(body, dict) else f"The model `{body.get('model')}` does not exist."
            )
            refusal = dump({"error": {"message": message, "type": "NotFoundError", "param": "model", "code": 404}})
            writer.write(head(404, "application/json", len(refusal)) + refusal)
            await writer.drain()
            return True
        digest = hashlib.sha256(payload).digest()
        self._sent[digest] += 1
        ask = self.script.find(body)
        fault = self.fault
        if fault is None or not self._strikes(fault, ask, self._sent[digest]):
            fault = None
        response = _response(ask, fault)
        if self.latency:
            await asyncio.sleep(self.latency)
        if fault is not None and fault.send is not None:
            return await fault.send(reader, writer, response)
        await write(writer, response, self.itl)
        self.answered[_label(ask, digest)] += 1
        return True

    def _strikes(self, fault: Fault, ask: Ask, times: int) -> bool:
        """Whether the fault applies.

        Most do not apply to prompts outside of scenarios, so that the run reaches its samples.
        """
        if fault.first and times > 1:
            return False
        if ask.scenario is None:
            return fault.strangers and fault.only(ask)
        return (self._prey is None or ask.scenario.id in self._prey) and fault.only(ask)


def _response(ask: Ask, fault: Fault | None) -> FaultResponse:
    """The response to a request, with the fault at its stage."""
    reply = good_reply(ask)
    envelope = {"id": f"chatcmpl-{next(_serial):016x}", "created": int(time.time()), "model": MODEL}
    if fault is not None and fault.reply is not None:
        reply = fault.reply(reply, ask)
    if ask.streamed:
        values = chunks(reply, ask, envelope)
        if fault is not None and fault.chunks is not None:
            values = fault.chunks(values)
        frames = [b"data: " + dump(value) + b"\n\n" for value in values]
        response = FaultResponse("text/event-stream; charset=utf-8", [*frames, b"data: [DONE]\n\n"])
    else:
        value = whole(reply, ask, envelope)
        if fault is not None and fault.message is not None:
            value = fault.message(value)
        response = FaultResponse("application/json", [dump(value)])
    return response if fault is None or fault.response is None else fault.response(response, ask)


def _label(ask: Ask, digest: bytes) -> str:
    name = "other" if ask.scenario is None else f"{ask.scenario.id}/{ask.turn}.{ask.round}"
    return f"{name}#{digest.hex()[:12]}"


def _models() -> dict[str, Any]:
    card = {"id": MODEL, "object": "model", "created": 1_795_000_000, "owned_by": "vllm", "root": MODEL}
    return {"object": "list", "data": [card | {"parent": None, "max_model_len": _MAX_MODEL_LEN, "permission": []}]}


def _metrics(requests: int, started: float) -> str:
    label = f'{{engine="0",model_name="{MODEL}"}}'
    lines = [("num_requests_running", 0), ("num_requests_waiting", 0), ("request_success_total", requests)]
    counters = "".join(f"vllm:{name}{label} {value}\n" for name, value in lines)
    return f"{counters}process_start_time_seconds {started}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--profile", default="annie", metavar="NAME|PATH")
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME", help=f"one of: {', '.join(FAULTS)}")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="before the first byte")
    parser.add_argument("--itl", type=float, default=0, metavar="MS", help="between the frames of a stream")
    options = parser.parse_args()
    server = FaultServer(
        load(options.profile),
        options.fault,
        host=options.host,
        port=options.port,
        latency=options.latency,
        itl=options.itl,
    )

    async def serve() -> None:
        listening = await server.listen()
        print(server.url, flush=True)
        await listening.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()

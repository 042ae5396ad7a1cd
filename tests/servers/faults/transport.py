"""Faults of the transport, and invalid bodies: these must be an ERROR, never a miss or a pass."""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import replace
from socket import SO_LINGER, SOL_SOCKET

from tests.servers.faults.fault import Fault, FaultResponse, Send
from tests.servers.faults.http import chunked, encoded, head
from tests.servers.faults.reply import Ask

_PAGE = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\n"


def _status(status: int, message: str, *headers: str) -> Send:
    """An error response in vLLM's format."""
    body = b'{"error":{"message":"%b","type":"Error","param":null,"code":%d}}' % (message.encode(), status)

    async def send(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
        writer.write(head(status, "application/json", len(body), *headers) + body)
        await writer.drain()
        return True

    return send


def _reset(writer: StreamWriter) -> None:
    """Close the connection with a reset."""
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _part(share: float, *, reset: bool) -> Send:
    """Some of the response's bytes, then a reset or a plain end of the connection."""

    async def send(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
        data = encoded(response)
        body = data.index(b"\r\n\r\n") + 4
        writer.write(data[: body + int((len(data) - body) * share)] if share else b"")
        await writer.drain()
        if reset:
            await asyncio.sleep(0.02)  # an immediate reset would discard the bytes before it
            _reset(writer)
        return False

    return send


async def _stall(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """Send nothing while the client waits."""
    await reader.read()
    return False


async def _stall_midway(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    data = encoded(response)
    writer.write(data[: len(data) * 2 // 3])
    await writer.drain()
    await reader.read()
    return False


async def _drip(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """Send a byte from time to time, without an end."""
    for byte in encoded(response):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)
    return False


def _body(
    change: Callable[[list[bytes]], list[bytes]], content_type: str | None = None
) -> Callable[..., FaultResponse]:
    def changed(response: FaultResponse, ask: Ask) -> FaultResponse:
        return replace(response, frames=change(response.frames), content_type=content_type or response.content_type)

    return changed


async def _wrong_length(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """A content-length longer than the body."""
    body = b"".join(response.frames)
    writer.write(head(200, response.content_type, len(body) + 100, "connection: close") + body)
    await writer.drain()
    return False


async def _bad_chunk(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """A chunk whose length is not a number."""
    writer.write(head(200, response.content_type, None) + chunked(response.frames[0]) + b"zz\r\nhello\r\n")
    await writer.drain()
    return False


async def _no_last_chunk(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """A chunked body without its end marker."""
    data = head(200, response.content_type, None) + b"".join(map(chunked, response.frames))
    writer.write(data)
    await writer.drain()
    return False


async def _no_http(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    writer.write(b"\x16\x03\x01\x02\x00 not HTTP\r\n\r\n")
    await writer.drain()
    return False


async def _close_after(reader: StreamReader, writer: StreamWriter, response: FaultResponse) -> bool:
    """A correct answer, after which the connection is closed without notice, which servers may do."""
    writer.write(encoded(response))
    await writer.drain()
    return False


def _cut_json(frames: list[bytes]) -> list[bytes]:
    """The last event with content is truncated, and the response ends normally."""
    at = max(0, len(frames) - 3)
    return [*frames[:at], frames[at][: len(frames[at]) // 2], *([b"\n\n", *frames[at + 1 :]] if at else [])]


def _error_event(frames: list[bytes]) -> list[bytes]:
    error = b'{"error":{"message":"EngineCore encountered an issue.","type":"InternalServerError","code":500}}'
    return [error] if len(frames) == 1 else [*frames[:2], b"data: " + error + b"\n\n", frames[-1]]


def _nan(frames: list[bytes]) -> list[bytes]:
    return [frame.replace(b'"logprobs":null', b'"logprobs":NaN') for frame in frames]


def _twice(frames: list[bytes]) -> list[bytes]:
    return [frame.replace(b'"logprobs":null', b'"logprobs":null,"logprobs":[]') for frame in frames]


def _not_utf8(frames: list[bytes]) -> list[bytes]:
    at = min(1, len(frames) - 1)
    broken = frames[at].replace(b'"index"', b'"\xff\xfe":1,"index"', 1)
    return [*frames[:at], broken, *frames[at + 1 :]]


def _error(name: str, about: str, send: Send, *, where: str = "*", patient: bool = False) -> Fault:
    return Fault(name, about, "ERROR", where, send=send, patient=patient)


def _bodies(name: str, about: str, response: Callable[..., FaultResponse]) -> Fault:
    return Fault(name, about, "ERROR", response=response)


def _survived(name: str, about: str, send: Send, *, first: bool = True) -> Fault:
    return Fault(name, about, "PASS", first=first, send=send)


FAULTS = [
    _error("http-500", "every request fails", _status(500, "Internal server error")),
    _error("http-500-some", "the requests of one category fail", _status(500, "out of memory"), where="factual"),
    _error("http-429", "always too many requests", _status(429, "Too many requests")),
    _error("http-401", "no access", _status(401, "Unauthorized")),
    _error("reset", "a reset before any byte", _part(0, reset=True)),
    _error("reset-midway", "a reset in the middle of the body", _part(0.6, reset=True)),
    _error("closed-midway", "the connection ends in the middle of the body", _part(0.6, reset=False)),
    _error("no-last-chunk", "a chunked body without its end", _no_last_chunk),
    _error("bad-chunk", "a chunk length that is no number", _bad_chunk),
    _error("wrong-length", "a content-length beyond the body", _wrong_length),
    _error("no-http", "bytes that are no HTTP", _no_http),
    _error("stall", "no byte, ever", _stall, where="factual", patient=True),
    _error("stall-midway", "no further byte, ever", _stall_midway, where="factual", patient=True),
    _error("drip", "a byte now and then", _drip, where="factual", patient=True),
    _bodies("html", "an HTML page with status 200", _body(lambda f: [_PAGE], "text/html")),
    _bodies("html-as-json", "the same under the right content type", _body(lambda f: [_PAGE])),
    _bodies("empty-body", "status 200 and no body", _body(lambda f: [])),
    _bodies("garbage", "random bytes", _body(lambda f: [bytes(range(128, 256)) + b"\n\n\x00\x01"])),
    _bodies("not-utf8", "a byte that is no UTF-8", _body(_not_utf8)),
    _bodies("cut-json", "JSON that ends in the middle", _body(_cut_json)),
    _bodies("nan", "NaN in the JSON", _body(_nan)),
    _bodies("duplicate-envelope-key", "one key twice in the envelope", _body(_twice)),
    _bodies("error-in-200", "an error object, in the middle of a stream or alone", _body(_error_event)),
    _bodies("no-choices", "an answer without choices", _body(lambda f: [b'{"id":"x","choices":[]}'])),
    _bodies("null", "the body null", _body(lambda f: [b"null"])),
    _survived("http-500-once", "each request fails once", _status(500, "try again")),
    _survived("http-503-once", "each request is put off once", _status(503, "busy", "retry-after: 0")),
    _survived("reset-once", "each request is reset once", _part(0, reset=True)),
    _survived("closes-connections", "no connection is used twice", _close_after, first=False),
]

"""Builds the bytes of an HTTP/1.1 response in uvicorn's format."""

from __future__ import annotations

import asyncio
from asyncio import StreamWriter
from http import HTTPStatus

from tests.servers.faults.fault import FaultResponse


def head(status: int, content_type: str, length: int | None, *extra: str) -> bytes:
    """Status line and headers; a length of None announces the chunked transfer coding."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    lines = [start, "server: uvicorn", f"content-type: {content_type}", framing]
    return "\r\n".join([*lines, *extra, "", ""]).encode()


def chunked(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding; the empty one ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def is_stream(response: FaultResponse) -> bool:
    return response.content_type.startswith("text/event-stream")


def encoded(response: FaultResponse) -> bytes:
    """A complete response: a stream as chunks, anything else with its length."""
    if is_stream(response):
        body = b"".join(map(chunked, [*response.frames, b""]))
        return head(200, response.content_type, None) + body
    body = b"".join(response.frames)
    return head(200, response.content_type, len(body)) + body


async def write(writer: StreamWriter, response: FaultResponse, itl: float = 0) -> None:
    """Write a response; `itl` is the pause after each frame of a stream, in seconds."""
    if not itl or not is_stream(response):
        writer.write(encoded(response))
    else:
        writer.write(head(200, response.content_type, None))
        for frame in response.frames:
            writer.write(chunked(frame))
            await writer.drain()
            await asyncio.sleep(itl)
        writer.write(chunked(b""))
    await writer.drain()

"""The HTTP client returns the received bytes with timestamps, and names errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from annie_eval.http_client import Client, Response, TransportError, masker

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def exchange(handler: Handler, *, timeout: float = 5.0, api_key: str | None = None, times: int = 1) -> list[Response]:
    """Send `times` requests over one client to a server that treats each connection with `handler`."""

    async def run() -> list[Response]:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(f"http://127.0.0.1:{port}/v1", api_key=api_key, timeout=timeout)
        try:
            return [await client.post("/chat/completions", {"n": n}) for n in range(times)]
        finally:
            server.close()

    return asyncio.run(run())


def answers(*parts: bytes, close: bool = True) -> Handler:
    """Read one request, then write the parts one socket write each."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        if close:
            writer.close()

    return handler


def test_chunked_body_is_joined_and_every_read_stamped() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
    (response,) = exchange(answers(head, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"))
    assert response.body == b"abcde"
    assert [size for _, size in response.reads] == [3, 2]
    first, second = (at for at, _ in response.reads)
    assert 0 < first < second
    assert ("x-a", "b") in response.headers


def test_body_without_length_ends_with_the_connection() -> None:
    (response,) = exchange(answers(b"HTTP/1.1 200 OK\r\n\r\nhello"))
    assert response.body == b"hello"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_connection_closed_right_after_an_answer_is_no_obstacle() -> None:
    assert [r.body for r in exchange(answers(OK), times=3)] == [b"ok"] * 3


@pytest.mark.parametrize("pieces", [1, 2])
def test_bytes_behind_an_answer_are_not_the_next_one(pieces: int) -> None:
    stray = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
    parts = (OK + stray,) if pieces == 1 else (OK, stray)
    assert [r.body for r in exchange(answers(*parts, close=False), times=3)] == [b"ok"] * 3


def test_a_request_on_which_the_server_hangs_up_is_not_sent_again_unseen() -> None:
    seen: list[bytes] = []

    async def every_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await reader.read(65536):
            seen.append(request)
            if len(seen) == 2:
                break
            writer.write(OK)
        writer.close()

    with pytest.raises(TransportError, match="closed before any answer"):
        exchange(every_second, times=2)
    assert len(seen) == 2


def test_an_answer_in_endless_pieces_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annie_eval.http_client.MAX_PIECES", 1000)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(TransportError, match="more than 200000 pieces"):
        exchange(answers(head, b"1\r\nx\r\n" * 2000))


@pytest.mark.parametrize(
    ("parts", "cause", "resend"),
    [
        ((b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\nboom",), "HTTP 500: boom", True),
        ((b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 2\r\n\r\n",), "HTTP 429", True),
        ((b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno",), "HTTP 400: no", False),
        ((), "connection closed before any answer", True),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",), "broke off after 3 bytes", False),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",), "broke off after 3 bytes", False),
        ((b"\x00\xff not http at all\r\n\r\n",), "not an HTTP answer", False),
    ],
)
def test_what_broke_is_named(parts: tuple[bytes, ...], cause: str, resend: bool) -> None:
    with pytest.raises(TransportError) as caught:
        exchange(answers(*parts))
    assert cause in caught.value.cause
    assert caught.value.resend is resend


def test_stalled_answer_ends_at_the_time_limit_and_is_not_sent_again() -> None:
    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(1)
        writer.close()

    with pytest.raises(TransportError, match=r"no complete answer within 0\.1 s") as caught:
        exchange(stall, timeout=0.1)
    assert not caught.value.resend


def test_an_echoed_api_key_is_masked_everywhere() -> None:
    body = b'{"error": "bad key s\\"cret and s%22cret"}'
    head = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Echo: s"cret\r\n\r\n' % len(body)
    (response,) = exchange(answers(head + body), api_key='s"cret')
    assert b"cret" not in response.body
    assert len(response.body) == len(body)
    assert all("cret" not in value for _, value in response.headers)
    with pytest.raises(TransportError) as caught:
        exchange(answers(b'HTTP/1.1 401 No\r\nContent-Length: 6\r\n\r\ns"cret'), api_key='s"cret')
    assert "cret" not in caught.value.cause
    assert b"cret" not in caught.value.body


def test_without_a_key_nothing_is_masked() -> None:
    assert masker(None)(b"abc") == b"abc"
    assert masker("")(b"abc") == b"abc"


def test_a_key_escaped_twice_or_as_html_is_masked() -> None:
    mask = masker('sk-"quoted"&more')
    for body in (b"sk-&quot;quoted&quot;&amp;more", rb"sk-\\\"quoted\\\"&more", rb"sk-\"quoted\"&more"):
        assert mask(b"key " + body + b".") == b"key " + b"*" * len(body) + b"."


@pytest.mark.parametrize("body", [rb"a2V5\/b<>&", rb"a2V5/b\u003c\u003e\u0026"])
def test_a_key_is_masked_as_other_languages_write_json(body: bytes) -> None:
    assert masker("a2V5/b<>&")(b"key " + body + b".") == b"key " + b"*" * len(body) + b"."


@pytest.mark.parametrize("key", ["x", "1", "token", "EMPTY"])
def test_a_placeholder_for_a_key_leaves_answers_as_they_are(key: str) -> None:
    answer = json.dumps({"usage": {"prompt_tokens": 1}, "content": f"It is {key}, next."}).encode()
    assert masker(key)(answer) == answer
    assert masker(key)(f"no access for Bearer {key}".encode()) == b"no access for Bearer " + b"*" * len(key)

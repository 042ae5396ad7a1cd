"""The timing connection: timestamps before parsing, opened before timing, broken servers are named."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from annie_eval.timing.connection import Connection, LostConnection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text)


@contextmanager
def raw_server(*connections: list[list[bytes | float]]) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each request of each connection with a script of bytes and pauses; an empty script closes."""
    received: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for scripts in connections:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have given up
                for script in scripts:
                    received.append(peer.recv(1 << 20))
                    for step in script:
                        if isinstance(step, bytes):
                            peer.sendall(step)
                        else:
                            time.sleep(step)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", received


@pytest.fixture
def connect() -> Iterator[Callable[..., tuple[Connection, list[bytes]]]]:
    with ExitStack() as stack:

        def make(*scripts: list[list[bytes | float]], timeout: float = 5.0) -> tuple[Connection, list[bytes]]:
            url, received = stack.enter_context(raw_server(*scripts))
            connection = Connection(url, "key", timeout)
            stack.callback(connection.close)
            return connection, received

        yield make


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\nok"


def test_each_socket_read_has_its_own_stamp(connect: Callable[..., tuple[Connection, list[bytes]]]) -> None:
    script = [CHUNKED, chunk(b"one"), 0.05, chunk(b"two") + chunk(b"three"), 0.05, b"0\r\n\r\n"]
    connection, _ = connect([script])
    response = connection.exchange("POST", "/v1/x", b"{}")
    assert response.body == b"onetwothree"
    (first, a), (second, b) = response.reads
    assert (a, b) == (3, 8), "two chunks that came in one read share its stamp"
    assert 0.04e9 < second - first < 0.09e9


def test_a_chunk_cut_in_two_is_stamped_when_each_part_comes(
    connect: Callable[..., tuple[Connection, list[bytes]]],
) -> None:
    connection, _ = connect([[CHUNKED, b"6\r\nabc", 0.05, b"def\r\n0\r\n\r\n"]])
    response = connection.exchange("GET", "/")
    assert [count for _, count in response.reads] == [3, 3]
    assert response.reads[1][0] - response.reads[0][0] > 0.04e9


def test_each_exchange_has_a_connection_of_its_own(connect: Callable[..., tuple[Connection, list[bytes]]]) -> None:
    connection, received = connect([[WHOLE]], [[WHOLE]])
    assert [connection.exchange("POST", "/v1/x", b"{}").body for _ in range(2)] == [b"ok", b"ok"]
    assert len(received) == 2
    assert b"Authorization: Bearer key\r\n" in received[0]
    assert received[0].endswith(b"Content-Length: 2\r\n\r\n{}"), "head and body leave in one write"


def test_a_connection_that_the_server_closed_is_reopened_before_it_is_timed(
    connect: Callable[..., tuple[Connection, list[bytes]]],
) -> None:
    connection, _ = connect([], [[WHOLE]])
    connection.open()
    time.sleep(0.05)
    assert connection.exchange("GET", "/").body == b"ok"


@pytest.mark.parametrize("late", [0.0, 0.05])
def test_bytes_behind_an_answer_are_not_the_next_one(
    connect: Callable[..., tuple[Connection, list[bytes]]], late: float
) -> None:
    stray = HEAD + b"Content-Length: 5\r\n\r\nstray"
    connection, _ = connect([[WHOLE, late, stray]], [[WHOLE]])
    assert [connection.exchange("GET", "/").body for _ in range(2)] == [b"ok", b"ok"]


def test_a_connection_closed_right_after_an_answer_is_no_obstacle() -> None:
    """As llama.cpp's server does it: the close is under way when the next request leaves."""
    with raw_server(*[[[WHOLE]]] * 50) as (url, _):
        connection = Connection(url)
        assert {connection.exchange("GET", "/").body for _ in range(50)} == {b"ok"}


@pytest.mark.parametrize("script", [[HEAD + b"\r\n", *[b"x" * 65536] * 20], [CHUNKED, *[b"1\r\nx\r\n" * 9000] * 3]])
def test_an_answer_without_end_is_given_up(
    connect: Callable[..., tuple[Connection, list[bytes]]],
    script: list[bytes | float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("annie_eval.timing.connection.MAX_BODY", 1 << 20)
    monkeypatch.setattr("annie_eval.timing.connection.MAX_PIECES", 20_000)
    connection, _ = connect([script])
    with pytest.raises(LostConnection, match="the answer is larger than"):
        connection.exchange("GET", "/")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ([HEAD + b"Content-Length: 9\r\n\r\nok"], "7 bytes before the end"),
        ([CHUNKED, b"5\r\nab"], "connection broke"),
        ([b"SSH-2.0-OpenSSH\r\n"], "connection broke"),
        ([], "connection broke"),
    ],
)
def test_a_broken_answer_is_named(
    connect: Callable[..., tuple[Connection, list[bytes]]], script: list[bytes | float], message: str
) -> None:
    connection, _ = connect([script])
    with pytest.raises(LostConnection, match=message):
        connection.exchange("GET", "/")


def test_the_time_limit_is_for_the_whole_exchange(connect: Callable[..., tuple[Connection, list[bytes]]]) -> None:
    drip: list[bytes | float] = [CHUNKED]
    for _ in range(20):
        drip += [chunk(b"x"), 0.05]
    connection, _ = connect([drip], timeout=0.2)
    begun = time.monotonic()
    with pytest.raises(LostConnection, match=r"no complete answer within 0\.2 s"):
        connection.exchange("GET", "/")
    assert time.monotonic() - begun < 0.6


def test_nobody_there_is_named() -> None:
    with pytest.raises(LostConnection, match=r"cannot connect to 127\.0\.0\.1:9"):
        Connection("http://127.0.0.1:9/v1").exchange("GET", "/")

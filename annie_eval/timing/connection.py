"""Sends HTTP/1.1 requests and records the time of every socket read, before the bytes are parsed.

`http.client` parses headers and chunked transfer coding. This module owns the socket, because the time of each `recv`
is needed, which no client library provides.

Each exchange has its own connection, opened before timing starts, like in `annie_eval.http_client`. A server may close
a connection after an answer without notice (llama.cpp does after a stream); this does not affect the next exchange.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import time
import urllib.parse
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any

from annie_eval.untrusted.limits import MAX_BODY, MAX_PIECES, too_large

_READ = 1 << 16
_ACCEPT = 0.002  # seconds in which a server accepts a new connection, so that this is not part of the timing


class LostConnection(Exception):
    """No connection, a lost connection, a time-out, or invalid HTTP."""


@dataclass(frozen=True, slots=True)
class TimedResponse:
    """One complete response.

    Attributes:
        body: de-chunked, byte for byte.
        reads: (nanoseconds since just before the request was written, number of body bytes read by then).
    """

    status: int
    body: bytes
    reads: tuple[tuple[int, int], ...]


class _StampedSocket(io.RawIOBase):
    """A socket as a raw file that records when its latest read returned."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self.stamp = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._sock.recv_into(buffer)
        self.stamp = time.perf_counter_ns()
        return count

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """The method that HTTPResponse needs."""
        return io.BufferedReader(self, _READ)


class Connection:
    """Exchanges with one server, one after the other.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        api_key: sent as a bearer token.
        timeout: seconds for one exchange.
    """

    def __init__(self, base_url: str, api_key: str | None = None, timeout: float = 120.0) -> None:
        url = urllib.parse.urlsplit(base_url)
        self._host, self._tls = url.hostname or "127.0.0.1", url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        self.path = url.path.rstrip("/")
        self._timeout = timeout
        name = f"[{self._host}]" if ":" in self._host else self._host
        head = [f"Host: {name}:{self._port}", "Accept: */*", "Accept-Encoding: identity", "User-Agent: annie-eval"]
        if api_key:
            head.append(f"Authorization: Bearer {api_key}")
        self._head = "\r\n".join(head)
        self._context: ssl.SSLContext | None = None
        self._sock: socket.socket | None = None  # the connection for the next exchange

    def open(self) -> None:
        """Open the connection for the next exchange, so that opening is not part of its timing.

        A server may close an idle connection at any time (uvicorn after 5 s); then the socket is readable.
        """
        if self._sock is not None and not select.select([self._sock], [], [], 0)[0]:
            return
        self.close()
        if self._tls and self._context is None:
            self._context = ssl.create_default_context()
        try:
            sock = socket.create_connection((self._host, self._port), self._timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self._host)
        except OSError as error:
            raise LostConnection(f"cannot connect to {self._host}:{self._port}: {error}") from None
        self._sock = sock
        time.sleep(_ACCEPT)

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def exchange(self, method: str, path: str, payload: bytes = b"") -> TimedResponse:
        """Send one request in one write and read its response to the end; `path` is absolute.

        Raises:
            LostConnection: see there; also for a response that is too large.
        """
        self.open()
        sock, self._sock = self._sock, None
        assert sock is not None
        with contextlib.closing(sock):
            return self._exchange(sock, method, path, payload)

    def _exchange(self, sock: socket.socket, method: str, path: str, payload: bytes) -> TimedResponse:
        head = f"{method} {path} HTTP/1.1\r\n{self._head}\r\n"
        if payload:
            head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        request = head.encode() + b"\r\n" + payload
        stamped = _StampedSocket(sock, time.monotonic() + self._timeout)
        sock.settimeout(self._timeout)
        try:
            start = time.perf_counter_ns()
            sock.sendall(request)
            response = HTTPResponse(stamped, method=method)  # type: ignore[arg-type]  # needs makefile and no more
            response.begin()
            parts: list[bytes] = []
            reads: list[tuple[int, int]] = []
            size = 0
            while part := response.read1(_READ):
                stamp = stamped.stamp - start
                parts.append(part)
                size += len(part)
                if size > MAX_BODY or len(parts) > MAX_PIECES:
                    raise LostConnection(too_large())
                if reads and reads[-1][0] == stamp:
                    reads[-1] = (stamp, reads[-1][1] + len(part))
                else:
                    reads.append((stamp, len(part)))
            if response.length:
                raise LostConnection(f"connection lost {response.length} bytes before the end of the answer")
        except TimeoutError:
            raise LostConnection(f"no complete answer within {self._timeout:g} s") from None
        except (OSError, HTTPException, ValueError) as error:
            message = str(error) or type(error).__name__
            raise LostConnection(f"connection broke: {message}") from None
        return TimedResponse(response.status, b"".join(parts), tuple(reads))

"""HTTP client: sends one request and returns the raw bytes of the response, with the time of each socket read.

h11 implements the protocol and this module the sockets, because client libraries (openai, httpx) do not return the
body as it arrived: they decode, join and re-chunk it.

Each exchange has its own connection. On a reused connection, extra bytes after one response would be read as the next
one, and a server that closes the connection could not be distinguished from one that broke.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import random
import re
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h11

from annie_eval.text import printable
from annie_eval.untrusted.limits import MAX_BODY, MAX_PIECES, too_large

if TYPE_CHECKING:
    import ssl

_READ = 65536
_SECRET = 6  # characters


class TransportError(Exception):
    """The exchange broke. `resend`: it may be sent again, because no byte of a response had arrived."""

    def __init__(self, cause: str, *, resend: bool, status: int | None = None, body: bytes = b"", wait: float = 0):
        cause = printable(cause)  # the message may quote the server
        super().__init__(cause)
        self.cause, self.resend, self.status, self.body, self.wait = cause, resend, status, body, wait


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; see `annie_eval.wire.sample.Exchange` for the fields."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reads: tuple[tuple[int, int], ...]


class Client:
    """A client for one server.

    Args:
        base_url: such as `http://127.0.0.1:8000/v1`.
        api_key: sent as a bearer token, and masked byte for byte if a server echoes it.
        timeout: seconds for one exchange, from connecting to the last byte.
    """

    def __init__(self, base_url: str, *, api_key: str | None = None, timeout: float = 120.0) -> None:
        url = urllib.parse.urlsplit(base_url)
        self._tls = url.scheme == "https"
        self._host = url.hostname or "127.0.0.1"
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path.rstrip("/")
        self._timeout = timeout
        self._mask = masker(api_key)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._headers = [
            ("host", f"{host}:{self._port}"),
            ("user-agent", "annie-eval"),
            ("accept", "*/*"),
        ]
        if api_key:
            self._headers.append(("authorization", f"Bearer {api_key}"))
        self._context: ssl.SSLContext | None = None

    async def post(self, path: str, body: Mapping[str, Any]) -> Response:
        """Send one request and read its response to the end. See `request`."""
        return await self.request("POST", path, json.dumps(body).encode())

    async def request(self, method: str, path: str, payload: bytes | None = None) -> Response:
        """Make one exchange.

        Raises:
            TransportError: no connection, a lost connection, a time-out, a status other than 200, a body that is too
                large.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, path, payload)
        except TimeoutError:
            # Not sent again: the server may still be working on it.
            raise TransportError(f"no complete answer within {self._timeout:g} s", resend=False) from None

    async def _exchange(self, method: str, path: str, payload: bytes | None) -> Response:
        reader, writer = await self._connect()
        try:
            response = await self._send_and_read(reader, writer, method, path, payload)
        finally:
            writer.close()
        if response.status != 200:
            raise _refused(response)
        return response

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._tls and self._context is None:
            import ssl

            self._context = ssl.create_default_context()
        try:
            return await asyncio.open_connection(self._host, self._port, ssl=self._context, limit=_READ)
        except OSError as error:
            # asyncio writes "[Errno 111] Connect call failed" and the address again.
            cause = os.strerror(error.errno) if isinstance(error, ConnectionError) and error.errno else error
            raise TransportError(f"no connection to {self._host}:{self._port} ({cause})", resend=True) from None

    async def _send_and_read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, payload: bytes | None
    ) -> Response:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_READ)
        headers = [*self._headers]
        if payload is not None:
            headers += [("content-type", "application/json"), ("content-length", str(len(payload)))]
        parts = [http.send(h11.Request(method=method, target=self._path + path, headers=headers))]
        if payload is not None:
            parts.append(http.send(h11.Data(data=payload)))
        parts.append(http.send(h11.EndOfMessage()))
        chunks: list[bytes] = []
        reads: list[tuple[int, int]] = []
        head: h11.Response | None = None
        size = at = 0
        start = time.perf_counter_ns()
        try:
            writer.write(b"".join(part for part in parts if part))
            await writer.drain()
            start = time.perf_counter_ns()
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    data = await reader.read(_READ)
                    at = time.perf_counter_ns() - start
                    if not data and head is None and not http.trailing_data[0]:
                        raise _unanswered()
                    http.receive_data(data)
                elif isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    chunks.append(bytes(event.data))
                    size += len(event.data)
                    if reads and reads[-1][0] == at:
                        reads[-1] = (at, reads[-1][1] + len(event.data))
                    else:
                        reads.append((at, len(event.data)))
                    if size > MAX_BODY or len(chunks) > MAX_PIECES:
                        raise TransportError(too_large(), resend=False, status=head.status_code if head else None)
                elif isinstance(event, h11.EndOfMessage):
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    raise _unanswered()
        except OSError as error:
            if head is None:
                raise _unanswered() from None
            cause = f"connection lost after {size} bytes of the answer ({error or type(error).__name__})"
            raise self._lost(cause, head, chunks) from None
        except h11.RemoteProtocolError as error:
            if head is None:
                raise TransportError(self._mask_text(f"not an HTTP answer ({error})"), resend=False) from None
            raise self._lost(f"the answer broke off after {size} bytes ({error})", head, chunks) from None
        assert head is not None
        named = tuple((n.decode("latin-1").lower(), self._mask_text(v.decode("latin-1"))) for n, v in head.headers)
        return Response(head.status_code, named, self._mask(b"".join(chunks)), tuple(reads))

    def _lost(self, cause: str, head: h11.Response, chunks: list[bytes]) -> TransportError:
        return TransportError(
            self._mask_text(cause), resend=False, status=head.status_code, body=self._mask(b"".join(chunks))
        )

    def _mask_text(self, text: str) -> str:
        return self._mask(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def _unanswered() -> TransportError:
    return TransportError("connection closed before any answer", resend=True)


def masker(secret: str | None) -> Callable[[bytes], bytes]:
    """A function that overwrites a secret with asterisks, also where JSON, HTML or a URL has escaped it.

    The length stays the same, so that spans and read sizes are still valid. Keys of fewer than `_SECRET` characters
    are placeholders ("x", "EMPTY", "token") that may occur in answers by chance: they are only masked after "Bearer".
    """
    if not secret:
        return lambda data: data
    escaped = json.dumps(secret)[1:-1]
    forms = {
        secret,
        escaped,
        json.dumps(escaped)[1:-1],
        escaped.replace("/", "\\/"),  # as PHP writes JSON
        escaped.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"),  # as Go does
        html.escape(secret),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
    }
    needles = sorted((form.encode() for form in forms), key=len, reverse=True)
    before = b"" if len(secret) >= _SECRET else b"(?<=Bearer )"
    pattern = re.compile(before + b"(?:" + b"|".join(map(re.escape, needles)) + b")")

    def mask(data: bytes) -> bytes:
        return pattern.sub(lambda found: b"*" * len(found.group()), data)

    return mask


def _refused(response: Response) -> TransportError:
    body = " ".join(response.body[:200].decode("utf-8", "replace").split())
    cause = f"HTTP {response.status}" + (f": {body}" if body else "")
    overloaded = response.status == 429 or response.status >= 500
    wait = 0.0
    if overloaded:
        after = dict(response.headers).get("retry-after", "")
        wait = min(float(after), 5.0) if after.isdigit() else 0.0
    return TransportError(cause, resend=overloaded, status=response.status, body=response.body, wait=wait)


def backoff(attempt: int) -> float:
    """Seconds to wait before sending again: 0.2, 0.4, 0.8 ... with a quarter of jitter."""
    return float(0.2 * 2**attempt * (1 + random.random() / 4))

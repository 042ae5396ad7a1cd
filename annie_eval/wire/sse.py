"""Parses server-sent events (WHATWG HTML, section 9.2) of a streamed chat completion.

Sources: the WHATWG HTML standard, section 9.2 (server-sent events); RFC 8259 (JSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.strict_json import strict_json

DONE = "[DONE]"
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELDS = {"data", "event", "id", "retry"}


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event of a stream.

    Attributes:
        start, end: byte offsets in the body, from the event's first field to the end of the blank line that
            dispatches it; a client can process the event when byte `end - 1` has been read.
        data: its `data:` lines, joined by line feeds.
        value: the JSON object in `data`; None for `[DONE]` and everything after it.
    """

    start: int
    end: int
    data: str
    value: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stream:
    """A body read as an event stream.

    Attributes:
        events: in order of arrival.
        stray: (offset, text) of lines before `[DONE]` that are neither field, comment nor blank. By the standard,
            clients ignore them, so that their content is lost.
        rest: bytes of a last event without its blank line, which clients ignore by the standard.
    """

    events: tuple[Event, ...]
    stray: tuple[tuple[int, str], ...]
    rest: bytes

    @property
    def done(self) -> int | None:
        """Position of the first `[DONE]` among the events."""
        return next((i for i, event in enumerate(self.events) if event.value is None), None)


def read_stream(body: bytes) -> Stream:
    """Read a body as an event stream, and the data of each event up to `[DONE]` as a JSON object.

    A last event without its blank line is not dispatched, by the standard, because it may be incomplete.

    Raises:
        ExchangeError: empty, no event at all, not UTF-8, data that is no JSON object.
    """
    found: list[Event] = []
    stray: list[tuple[int, str]] = []
    data: list[str] = []
    begun: int | None = None
    done = False
    for start, end, raw in _lines(body):
        try:
            line = raw.decode("utf-8", "replace" if done else "strict")
        except UnicodeDecodeError as error:
            raise ExchangeError(f"byte {start + error.start} of the stream is not UTF-8: {quote(raw)}") from None
        if not line:
            if data:
                text = "\n".join(data)
                done = done or text.strip() == DONE  # openai-python checks only the beginning
                assert begun is not None
                found.append(Event(begun, end, text, None if done else json_object(text, f"event {len(found) + 1}")))
            data, begun = [], None
            continue
        name, _, value = line.partition(":")
        if not name:
            continue  # a comment, such as a server's keep-alive
        if begun is None:
            begun = start
        if name == "data":
            data.append(value.removeprefix(" "))
        elif name not in _FIELDS and not done:
            stray.append((start, line))
    if not found:
        raise ExchangeError(_no_stream(body))
    return Stream(tuple(found), tuple(stray), b"" if begun is None else body[begun:])


def _lines(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, line) of every terminated line; `end` is after the line terminator."""
    start = len(_BOM) if body.startswith(_BOM) else 0
    for mark in _LINE_END.finditer(body, start):
        yield start, mark.end(), body[start : mark.start()]
        start = mark.end()
    if start < len(body):
        # An unterminated line may be stray or truncated: it counts as begun, and dispatches nothing.
        yield start, len(body), body[start:]


def _no_stream(body: bytes) -> str:
    """Why a body without an event is not a stream."""
    if not body.strip():
        return "the stream is empty"
    if looks_html(body):
        return f"HTML instead of an event stream: {quote(body)}"
    try:
        value = strict_json(body.decode())
    except ValueError:
        return f"not an event stream: {quote(body)}"
    if isinstance(value, dict):
        try:
            refuse_error(value)
        except ExchangeError as error:
            return str(error)
    return f"a JSON body instead of an event stream: {quote(body)}"


def looks_html(body: bytes) -> bool:
    """Whether a body is HTML or XML: no JSON value and no event begins with `<`."""
    return body.removeprefix(_BOM).lstrip().startswith(b"<")


def json_object(text: str, where: str) -> Mapping[str, Any]:
    """Parse a JSON object. Raises ExchangeError, which names `where`."""
    try:
        value = strict_json(text)
    except ValueError as error:
        raise ExchangeError(f"{where} is not valid JSON ({quote(str(error))}): {quote(text)}") from None
    if not isinstance(value, dict):
        raise ExchangeError(f"{where} is {kind(value)}, not an object: {quote(text)}")
    return value


def refuse_error(value: Mapping[str, Any]) -> None:
    """Raise ExchangeError with the server's message, if a JSON object is an error report.

    OpenAI's form is `{"error": {"message": ...}}`; transformers serve sends a bare string, and vLLM up to 0.9 the
    inner object alone, marked `"object": "error"`.
    """
    error = value.get("error")
    if error is None and value.get("object") == "error":
        error = value
    if error is None:
        return
    text = error.get("message") if isinstance(error, Mapping) else error
    raise ExchangeError(f"the server reported an error: {quote(text if isinstance(text, str) else json.dumps(error))}")


def kind(value: Any) -> str:
    """A JSON value's type, in words."""
    if value is None:
        return "missing or null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names[type(value)]


def quote(received: bytes | str) -> str:
    """The start of a received text, printable on one line."""
    text = received.decode("utf-8", "replace") if isinstance(received, bytes) else received
    shown = " ".join(text.split())
    shown = "".join(c if c.isprintable() else "\ufffd" for c in shown)
    return shown if len(shown) <= 120 else shown[:119] + "…"

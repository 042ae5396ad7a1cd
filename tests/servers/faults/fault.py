"""The type of a planted fault: where it applies, at which stage of a reply, and which gates must fail."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.servers.faults.reply import Ask, Reply

Where = Callable[[Ask], bool]


@dataclass(frozen=True)
class FaultResponse:
    """A response to be written: its body in the pieces that the server sends."""

    content_type: str
    frames: list[bytes]


# Writes the response (or something else) to the connection; returns whether the connection may be used again.
Send = Callable[[StreamReader, StreamWriter, FaultResponse], Awaitable[bool]]


@dataclass(frozen=True)
class Fault:
    """One defect.

    Attributes:
        about: description in one line.
        expect: exactly the gates of profile `annie` that must fail; `"ERROR"` if the run must be an ERROR; `"PASS"`
            for trouble that the sampler must tolerate; `"PROBE"` for faults that only a probe finds, `"REPEATS"` for
            those that only repeats decide.
        where: the gate whose scenarios are affected, `"*"` for every scenario.
        only: a further condition on the request.
        first: it affects a request only the first time it is sent.
        reply, chunks, message, response, send: the stages, each changing the result of the previous one: the content,
            the chunks of a stream, the object of an unstreamed answer, the bytes of either, and how they are written.
        patient: it takes as long as the profile's time limit for a request.
        strangers: it also affects prompts outside of scenarios.
    """

    name: str
    about: str
    expect: frozenset[str] | str
    where: str = "*"
    only: Where = lambda ask: True
    first: bool = False
    reply: Callable[[Reply, Ask], Reply] | None = None
    chunks: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    message: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    response: Callable[[FaultResponse, Ask], FaultResponse] | None = None
    send: Send | None = None
    patient: bool = False
    strangers: bool = False


def gates(*names: str) -> frozenset[str]:
    return frozenset(names)

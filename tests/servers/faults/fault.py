"""What a planted fault is: where it strikes, at which stage of a reply, and which gates must turn red for it."""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.servers.faults.reply import Ask, Reply

Where = Callable[[Ask], bool]


@dataclass(frozen=True)
class FaultResponse:
    """A response about to be written: its body in the pieces in which the server sends it."""

    content_type: str
    frames: list[bytes]


# Writes the response (or something else) to the connection, and says whether the connection may be used again.
Send = Callable[[StreamReader, StreamWriter, FaultResponse], Awaitable[bool]]


@dataclass(frozen=True)
class Fault:
    """One defect.

    Attributes:
        about: one line: what is wrong.
        expect: the gates of profile `annie` that must be red and no others; `"ERROR"` where the run must be one;
            `"PASS"` for trouble that a sampler must survive; `"PROBE"` for what only a probe meets,
            `"REPEATS"` for what only repeats decide.
        where: the gate whose scenarios it strikes, `"*"` for every scenario.
        only: a further condition on the request.
        first: it strikes only the first time that a request is sent.
        reply, chunks, message, response, send: the stages, each changing what the one before made: what is said,
            the chunks of a stream, the object of a whole answer, the bytes of either, and how they are written.
        patient: it takes as long as the profile's time limit for a request.
        strangers: it strikes prompts of no scenario as well.
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

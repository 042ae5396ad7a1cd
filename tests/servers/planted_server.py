"""Servers with a planted regression: the fault server's correct answers, changed like by a configuration mistake.

Each change is a function of the correct reply or the response, so that everything else is the same byte for byte.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from annie_eval.profile.types import Profile
from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS
from tests.servers.faults.fault import Fault, FaultResponse
from tests.servers.faults.reply import Ask, Call, Reply

_draw = random.Random(3)
_WORDS = ("Sure", "Well", "Of course", "Right", "Yes", "Gladly", "Okay", "Certainly")


def renamed_tool(reply: Reply, ask: Ask) -> Reply:
    """web_search is called by another name."""
    calls = tuple(
        Call(call.id, "search_web" if call.name == "web_search" else call.name, call.arguments) for call in reply.calls
    )
    return replace(reply, calls=calls)


def lost_tool_parser(reply: Reply, ask: Ask) -> Reply:
    """Calls are returned as the text that the model wrote."""
    if not reply.calls:
        return reply
    text = "\n".join(
        f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n</tool_call>' for call in reply.calls
    )
    return replace(reply, content=text, calls=(), finish="stop")


def lost_reasoning_parser(reply: Reply, ask: Ask) -> Reply:
    """Thinking is returned as the text that the model wrote."""
    if not reply.reasoning:
        return reply
    return replace(reply, content=f"<think>\n{reply.reasoning}\n</think>\n\n{reply.content or ''}", reasoning=None)


def raised_temperature(reply: Reply, ask: Ask) -> Reply:
    """Every answer begins with random words; nothing else is wrong."""
    if not reply.content or reply.calls:
        return reply
    return replace(reply, content=f"{_draw.choice(_WORDS)}, {_draw.choice(_WORDS).lower()}, {reply.content}")


def longer_prompt(response: FaultResponse, ask: Ask) -> FaultResponse:
    """A chat template with a few more words: every prompt has seven more tokens."""

    def more(frame: bytes) -> bytes:
        head, data = (b"data: ", frame[6:]) if frame.startswith(b"data: {") else (b"", frame)
        try:
            value = json.loads(data)
        except ValueError:
            return frame
        usage = value.get("usage") if isinstance(value, dict) else None
        if usage:
            usage["prompt_tokens"] += 7
            usage["total_tokens"] += 7
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        return head + text + (b"\n\n" if head else b"")

    return replace(response, frames=[more(frame) for frame in response.frames])


# name -> stages of a fault (tests/servers/faults/fault.py)
PLANTS: dict[str, dict[str, Callable[..., object]]] = {
    "renamed-tool": {"reply": renamed_tool},
    "lost-tool-parser": {"reply": lost_tool_parser},
    "lost-reasoning-parser": {"reply": lost_reasoning_parser},
    "raised-temperature": {"reply": raised_temperature},
    "longer-prompt": {"response": longer_prompt},
    "longer-prompt-and-worse": {"reply": lost_tool_parser, "response": longer_prompt},
}


@contextmanager
def served(profile: Profile, plant: str | None = None, **more: float) -> Iterator[str]:
    """The URL of a server with this regression, or without one. The names of the fault server's faults also work."""
    server = FaultServer(profile, plant if plant in FAULTS else None, **more)  # type: ignore[arg-type]
    if plant in PLANTS:
        server.fault = Fault(plant, "a regression", frozenset(), **PLANTS[plant])  # type: ignore[arg-type]
    with server as url:
        yield url

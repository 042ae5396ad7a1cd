"""The interface of a teacher: it writes a batch of conversations on request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from annie_data.conversation import Message
from annie_data.mix import Kind


@dataclass(frozen=True, slots=True)
class Order:
    """The request for one batch.

    Attributes:
        kind: the kind of conversations.
        calls: whether each must (True) or must not (False) call a tool; None: either.
        count: how many.
        number: 0 for the first batch of its kind, 1 for the next, failed ones included.
        thinking: whether the last reply must have reasoning; None leaves it to the teacher.
        avoid: first words of existing conversations.
    """

    kind: Kind
    calls: bool | None
    count: int
    number: int
    thinking: bool | None = None
    avoid: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """A part of an answer that was not kept, or why there was no answer."""

    cause: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation as a teacher wrote it, before it is checked."""

    messages: list[Message]
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TeacherAnswer:
    """A teacher's answer to an order."""

    drafts: Sequence[Draft]
    drops: Sequence[Drop] = ()


class Teacher(Protocol):
    """The one interface of all teachers."""

    #: name for `meta.teacher`; a resumed run must have the same
    name: str
    #: best number of conversations per batch
    batch: int

    def write(self, order: Order) -> TeacherAnswer:
        """Write one batch. Problems are listed in `drops`; raises UsageError only if a retry cannot help."""
        ...


def excerpt(text: str) -> str:
    """The start of a text on one line, in characters that can be written to any file."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return line if len(line) <= 120 else f"{line[:119]}…"

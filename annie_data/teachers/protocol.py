"""The interface of a teacher, which writes a batch of conversations when it is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from annie_data.conversation import Message
from annie_data.mix import Kind


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for in one batch.

    Attributes:
        kind: what the conversations are.
        calls: whether each must (True) or must not (False) call a tool; None where either will do.
        count: how many.
        number: 0 for the first batch of its kind, 1 for the next, failed ones included.
        thinking: whether the last reply is to hold a thought; None leaves it to the teacher.
        avoid: first words of conversations that there are already.
    """

    kind: Kind
    calls: bool | None
    count: int
    number: int
    thinking: bool | None = None
    avoid: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """Something that a teacher wrote and that was not kept, or why it wrote nothing."""

    cause: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation as a teacher wrote it, before it is checked."""

    messages: list[Message]
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TeacherAnswer:
    """What came back for an order."""

    drafts: Sequence[Draft]
    drops: Sequence[Drop] = ()


class Teacher(Protocol):
    """The one interface of all teachers."""

    #: how `meta.teacher` names it, and what a resumed run must find again
    name: str
    #: how many conversations it is best asked for at once
    batch: int

    def write(self, order: Order) -> TeacherAnswer:
        """One batch. What went wrong is told in `drops`; UsageError only where asking again cannot help."""
        ...


def excerpt(text: str) -> str:
    """The start of a text on one line, in characters that can be written to any file."""
    line = " ".join(text.encode(errors="replace").decode().split())
    return line if len(line) <= 120 else f"{line[:119]}…"

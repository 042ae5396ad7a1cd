"""What the generator makes: one exchange of a conversation, with or without a tool call."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its good answer.

    Attributes:
        family: what it exercises, such as `memory.where`.
        user: what is said, before noise (`wording.spoken` adds it).
        reply: the spoken answer; after a call, the answer to its result.
        thought: one or two short sentences for thinking mode, before the reply or the call.
        call: tool name and argument, None where no tool is wanted.
        result: what the tool answers.
        thought_after: the thought before the reply to a result.
        question: whether `user` asks (it decides the mark at its end).
        again: how the exchange may be asked about a moment later: (question, answer) pairs.
    """

    family: str
    user: str
    reply: str
    thought: str
    call: tuple[str, str | int] | None = None
    result: str = ""
    thought_after: str = ""
    question: bool = True
    again: tuple[tuple[str, str], ...] = ()

    def said(self, user: str) -> "Exchange":
        """The same with the request worded otherwise."""
        return replace(self, user=user)


Family = Callable[[Random], Exchange]

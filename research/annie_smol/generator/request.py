"""What the generator makes: one exchange of a conversation, with or without a tool call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
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
        expect: what any good answer must say, as a scenario's `expect`; it travels in the line's `meta`.
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
    expect: dict[str, Any] | None = None

    def stating(self, *phrases: str, number: int | None = None, never: Sequence[str] = ()) -> "AnsweredRequest":
        """The same, with what a good answer states: one of some phrases, or a number, and what it never does."""
        answer: dict[str, Any] = {"number": number} if number is not None else {"any_of": list(phrases)}
        if never:
            answer["none_of"] = list(never)
        return replace(self, expect={"answer": answer})

    def worded(self, user: str) -> "AnsweredRequest":
        """The same with the request worded otherwise."""
        return replace(self, user=user)


Family = Callable[[Random], AnsweredRequest]

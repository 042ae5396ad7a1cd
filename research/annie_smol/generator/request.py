"""The type of a generated exchange: a request and its good answer, with or without a tool call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class AnsweredRequest:
    """A request and its good answer.

    Attributes:
        family: kind of request, such as `memory.where`.
        user: the request before noise, which `wording.spoken` adds.
        reply: the spoken answer; after a call, the answer to its result.
        thought: one or two short sentences for thinking mode, before the reply or the call.
        call: tool name and argument, None if no tool is called.
        result: result of the tool.
        thought_after: the thought before the reply to a result.
        question: whether `user` is a question (for the punctuation mark).
        expect: what any good answer must state, like a scenario's `expect`; stored in the line's `meta`.
        again: later questions about the exchange: (question, answer) pairs.
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
        """The same with an expectation: one of some phrases, or a number, and phrases that must not be stated."""
        answer: dict[str, Any] = {"number": number} if number is not None else {"any_of": list(phrases)}
        if never:
            answer["none_of"] = list(never)
        return replace(self, expect={"answer": answer})

    def worded(self, user: str) -> "AnsweredRequest":
        """The same with another wording of the request."""
        return replace(self, user=user)


Family = Callable[[Random], AnsweredRequest]

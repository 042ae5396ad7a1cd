"""The requests of the state probes: a question behind a long prefix that does not change. Pure.

A prefix is the profile's system prompt and tools, further made-up tools, and a conversation about made-up things in a
house. Its words depend on its length alone, so that two runs ask the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annie_eval.profile.types import Profile

ANSWER_TOKENS = 24
TOP = 5
"""How many of the likeliest tokens are asked for: a server may refuse more."""
_THINGS = ("ladder", "blue bucket", "spare key", "kettle", "sewing box", "torch", "rain coat", "tape", "old radio")
_PLACES = ("in the hall", "under the stairs", "on the top shelf", "in the shed", "behind the door", "in the attic")
_PEOPLE = ("Mara", "Owen", "Priya", "Tomas", "Lena", "Jack")
_DOING = ("put", "left", "found", "wants", "lent", "moved", "hid")
_RECALLS = (
    "What was the very last thing that I told you?",
    "What was the first thing that I told you?",
    "Where is the kettle?",
    "Who moved the blue bucket?",
    "What did Mara do?",
    "What is in the attic?",
    "Where is the spare key?",
    "What happened to the old radio?",
    "What is under the stairs?",
    "Who was in the shed?",
    "What did Owen do with the tape?",
    "Where is the rain coat?",
)
_LEAST_TOLD = 600  # characters, however long system prompt and tools are: else there is nothing to ask about
LEAST_QUESTIONS = 3
"""In each of two conversations: of fewer answers no difference is beyond chance."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A conversation that questions follow.

    Attributes:
        tokens: how long it is, about.
        tools: how many tools are offered; None offers the profile's own.
        other: a number that makes it another conversation of the same length.
    """

    tokens: int
    tools: int | None = None
    other: int = 0

    @property
    def label(self) -> str:
        """`behind a prefix of 600 tokens with 20 tools`."""
        return f"behind a prefix of {self.tokens} tokens" + ("" if self.tools is None else f" with {self.tools} tools")


def recalls(count: int) -> list[str]:
    """Questions whose answers depend on the prefix, so that another prefix's state shows."""
    return list(_RECALLS[: max(LEAST_QUESTIONS, count)])


def questions(profile: Profile, most: int) -> list[str]:
    """The profile's own first questions, of as many categories as can be."""
    by_category: dict[str, list[str]] = {}
    for scenario in profile.scenarios:
        by_category.setdefault(scenario.category, []).append(scenario.turns[0].user)
    asked: list[str] = []
    for turn in range(max(map(len, by_category.values()), default=0)):
        asked += [turns[turn] for turns in by_category.values() if turn < len(turns)]
    return list(dict.fromkeys(asked))[:most]


def calls(profile: Profile) -> list[str]:
    """The prompts of the profile that want a call, asked without history."""
    return [
        one.turns[0].user
        for one in profile.scenarios
        if one.turns[0].expect.calls and not one.history and one.tools is None and profile.tools
    ]


def request(
    profile: Profile, prefix: Prefix, question: str, *, model: str, salt: str | None, tokens: int = ANSWER_TOKENS
) -> dict[str, Any]:
    """One greedy request whose answer comes whole and with log-probabilities.

    Args:
        salt: of the prefix cache; None sends none.
        tokens: at most, in the answer.
    """
    body: dict[str, Any] = {
        "model": model,
        "messages": [*_history(profile, prefix), {"role": "user", "content": question}],
        "temperature": 0.0,
        "max_tokens": tokens,
        "seed": 0,
        "stream": False,
        "logprobs": True,
        "top_logprobs": TOP,
    }
    offered = _tools(profile, prefix.tools)
    if offered:
        body["tools"] = offered
    if profile.serving.thinking_kwarg:
        body["chat_template_kwargs"] = {profile.serving.thinking_kwarg: False}
    if salt is not None:
        body["cache_salt"] = salt
    return body


def _history(profile: Profile, prefix: Prefix) -> list[dict[str, Any]]:
    """Messages of about so many tokens, at four characters a token; never so few that they tell nothing."""
    messages = [{"role": "system", "content": profile.system_prompt}] if profile.system_prompt else []
    left = 4 * prefix.tokens - len(profile.system_prompt) - sum(map(_length, _tools(profile, prefix.tools)))
    left = max(left, _LEAST_TOLD) if prefix.tokens else 0
    draw = random.Random(f"{prefix.tokens} {prefix.other}")
    while left > 0:
        # A message of about 300 characters: a template adds a few tokens to each.
        notes: list[str] = []
        while left > 0 and sum(map(len, notes)) < 300:
            who, done, what, where = map(draw.choice, (_PEOPLE, _DOING, _THINGS, _PLACES))
            notes.append(f"{who} {done} the {what} {where} on day {draw.randrange(1, 365)}.")
            left -= len(notes[-1]) + 1
        messages += [{"role": "user", "content": " ".join(notes)}, {"role": "assistant", "content": "Noted."}]
    return messages


def _length(tool: Mapping[str, Any]) -> int:
    return len(str(tool))


def _tools(profile: Profile, count: int | None) -> Sequence[Mapping[str, Any]]:
    own = list(profile.tools.values())
    if count is None:
        return own
    return [*own[:count], *(_tool(number) for number in range(len(own) + 1, count + 1))]


def _tool(number: int) -> dict[str, Any]:
    draw = random.Random(number)
    thing, where = draw.choice(_THINGS), draw.choice(_PLACES)
    return {
        "type": "function",
        "function": {
            "name": f"switch_{number}",
            "description": f"Switch lamp {number} beside the {thing} {where}.",
            "parameters": {
                "type": "object",
                "properties": {"on": {"type": "boolean"}},
                "required": ["on"],
                "additionalProperties": False,
            },
        },
    }

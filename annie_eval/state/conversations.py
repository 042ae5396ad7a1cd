"""Builds the requests of the state probes: a question after a long, fixed prefix. Pure functions.

A prefix is the profile's system prompt, a number of tools, and a conversation that answers the same few questions
several times. Its words depend only on its length, so that two runs send the same requests.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annie_eval.profile.types import Profile

ANSWER_TOKENS = 10
TOP = 5
"""`top_logprobs` of a request. Some servers refuse more."""
_THINGS = ("kettle", "lamp", "door", "ladder", "bucket", "torch", "radio", "basket", "mirror", "candle")
_WORDS = (
    *("mint", "gold", "river", "stone", "red", "blue", "tiger", "apple", "silver", "lemon"),
    *("ocean", "paper", "sugar", "eagle", "green", "cotton", "winter", "bread", "music", "iron"),
)
_PLACES = ("in the hall", "under the stairs", "on the top shelf", "in the shed", "behind the door", "in the attic")
_AT_A_TIME, _TIMES = 3, 3  # a part of the conversation asks about this many things, each this often
_PAIR = 90  # characters of a question with its answer, including what a chat template adds
LEAST_QUESTIONS = 3
"""Minimum number of questions per conversation. With fewer, no difference would be statistically significant."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The conversation before a question.

    Attributes:
        tokens: approximate length.
        tools: number of tools offered; None offers the profile's own.
        other: selects one of several conversations of the same length. Those with an odd number have no answer in
            common with those with an even number.
    """

    tokens: int
    tools: int | None = None
    other: int = 0

    @property
    def label(self) -> str:
        """`behind a prefix of 600 tokens with 20 tools`."""
        return f"behind a prefix of {self.tokens} tokens" + (f" with {self.tools} tools" if self.tools else "")


def recalls(profile: Profile, prefix: Prefix, count: int) -> list[str]:
    """`count` questions that the prefix has already answered, evenly spread over it, the last one included.

    A model repeats the answer with high confidence, and after another conversation it repeats another answer.
    """
    things = [thing for part in range(_parts(profile, prefix)) for thing in _things(part)]
    count = min(len(things), max(LEAST_QUESTIONS, count))
    return [_question(things[-1 - at * len(things) // count]) for at in range(count)]


def questions(profile: Profile, most: int) -> list[str]:
    """At most `most` first questions of the profile's scenarios, taken from all categories in turn."""
    by_category: dict[str, list[str]] = {}
    for scenario in profile.scenarios:
        by_category.setdefault(scenario.category, []).append(scenario.turns[0].user)
    asked: list[str] = []
    for turn in range(max(map(len, by_category.values()), default=0)):
        asked += [turns[turn] for turns in by_category.values() if turn < len(turns)]
    return list(dict.fromkeys(asked))[:most]


def calls(profile: Profile) -> list[str]:
    """First prompts of the scenarios that expect a tool call and have neither a history nor their own tools."""
    return [
        one.turns[0].user
        for one in profile.scenarios
        if one.turns[0].expect.calls and not one.history and one.tools is None and profile.tools
    ]


def request(
    profile: Profile, prefix: Prefix, question: str, *, model: str, salt: str | None, tokens: int = ANSWER_TOKENS
) -> dict[str, Any]:
    """The body of one greedy, unstreamed request with log-probabilities.

    Args:
        salt: `cache_salt`; None sends none.
        tokens: `max_tokens`.
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
    """The messages of the prefix. Each part of it asks a few questions several times."""
    messages = [{"role": "system", "content": profile.system_prompt}] if profile.system_prompt else []
    draw = random.Random(f"{prefix.tokens} {prefix.other}")
    for part in range(_parts(profile, prefix)):
        words = draw.sample(_WORDS[prefix.other % 2 :: 2], _AT_A_TIME)
        for _ in range(_TIMES):
            for thing, word in zip(_things(part), words, strict=True):
                messages.append({"role": "user", "content": _question(thing)})
                messages.append({"role": "assistant", "content": f"The word for {thing} is {word}."})
    return messages


def _parts(profile: Profile, prefix: Prefix) -> int:
    """Number of parts in the prefix, at four characters per token; at least 1, or 0 for an empty prefix."""
    left = 4 * prefix.tokens - len(profile.system_prompt) - sum(map(_length, _tools(profile, prefix.tools)))
    return max(1, round(left / (_AT_A_TIME * _TIMES * _PAIR))) if prefix.tokens else 0


def _things(part: int) -> list[str]:
    chosen = random.Random(part).sample(_THINGS, _AT_A_TIME)
    return [f"{thing} {part + 1}" if part else thing for thing in chosen]


def _question(thing: str) -> str:
    return f"What is the word for {thing}?"


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

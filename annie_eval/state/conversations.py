"""The requests of the state probes: a question behind a long prefix that does not change. Pure.

A prefix is the profile's system prompt, tools if wanted, and a conversation in which the same questions are answered
alike. Its words depend on its length alone, so that two runs ask the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annie_eval.profile.types import Profile

ANSWER_TOKENS = 10
TOP = 5
"""How many of the likeliest tokens are asked for: a server may refuse more."""
_THINGS = ("kettle", "lamp", "door", "ladder", "bucket", "torch", "radio", "basket", "mirror", "candle")
_WORDS = (
    *("mint", "gold", "river", "stone", "red", "blue", "tiger", "apple", "silver", "lemon"),
    *("ocean", "paper", "sugar", "eagle", "green", "cotton", "winter", "bread", "music", "iron"),
)
_PLACES = ("in the hall", "under the stairs", "on the top shelf", "in the shed", "behind the door", "in the attic")
_AT_A_TIME, _TIMES = 3, 3  # things that are asked about in turn, and how often, before others come
_PAIR = 90  # characters that a question and its answer are worth, with what a template puts around them
LEAST_QUESTIONS = 3
"""In each of two conversations: of fewer answers no difference is beyond chance."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """A conversation that questions follow.

    Attributes:
        tokens: how long it is, about.
        tools: how many tools are offered; None offers the profile's own.
        other: a number that makes it another conversation of the same length; an odd one shares no answer with an
            even one.
    """

    tokens: int
    tools: int | None = None
    other: int = 0

    @property
    def label(self) -> str:
        """`behind a prefix of 600 tokens with 20 tools`."""
        return f"behind a prefix of {self.tokens} tokens" + (f" with {self.tools} tools" if self.tools else "")


def recalls(profile: Profile, prefix: Prefix, count: int) -> list[str]:
    """Questions that the prefix has answered before, from all over it, the last among them.

    A model goes on as the conversation did: it is sure of the answer, and behind another conversation of another one.
    """
    things = [thing for part in range(_parts(profile, prefix)) for thing in _things(part)]
    count = min(len(things), max(LEAST_QUESTIONS, count))
    return [_question(things[-1 - at * len(things) // count]) for at in range(count)]


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
    """Messages of about so many tokens: parts, in each of which a few things are asked about again and again."""
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
    """How many parts make up the prefix, at four characters a token; at least one, unless it is empty."""
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

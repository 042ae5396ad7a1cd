"""The types of a sample: requests, responses byte for byte, and the channels parsed from them.

Everything here is frozen data. Text is exactly what the server sent: nothing is stripped or repaired, and chunks are
joined only as the protocol says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from annie_eval.profile.types import Speech

if TYPE_CHECKING:
    from annie_eval.profile.types import Expect, Limits, Scenario, Variant

Channel = Literal["content", "reasoning", "tool_calls"]
# OpenAI's, and `repetition` of vLLM.
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "function_call", "content_filter", "repetition"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call as received. `arguments` is the joined text, valid JSON or not; missing parts are None."""

    id: str | None
    name: str | None
    arguments: str | None
    index: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts reported by the server; None if not reported."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The channels of one reply. None means that the channel was missing or null, "" that it was empty.

    `reasoning` is read from `reasoning` (vLLM >= 0.11) and `reasoning_content` (older vLLM, SGLang, llama-server).
    """

    content: str | None = None
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    token_ids: tuple[int, ...] | None = None
    prompt_text: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response.

    Attributes:
        request: the JSON body that was sent.
        status: HTTP status code.
        headers: response headers, lower-case names, in order of arrival.
        body: the response body, de-chunked, byte for byte (the API key, should a server echo it, is masked).
        reads: for each socket read with body bytes: (nanoseconds since the request was written, number of bytes).
        answer: the channels parsed from `body` by `annie_eval.wire.parse`.
        turn, round: the turn of the scenario; round 0 answers the user, round n >= 1 answers the tool results of
            round n - 1.
        expect: what a good answer to this request is.
    """

    request: Mapping[str, Any]
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reads: tuple[tuple[int, int], ...]
    answer: Answer
    expect: Expect
    turn: int = 0
    round: int = 0

    @property
    def streamed(self) -> bool:
        return bool(self.request.get("stream"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered scenario in one variant. This is the only input of detectors.

    Attributes:
        tools: JSON Schema of the parameters of every offered tool, by tool name.
        limits: the profile's limits on spoken answers.
        speech: what the profile's speech engine can pronounce.
    """

    key: str
    scenario: Scenario
    variant: Variant
    exchanges: tuple[Exchange, ...]
    tools: Mapping[str, Mapping[str, Any]]
    limits: Limits
    speech: Speech = field(default_factory=Speech)

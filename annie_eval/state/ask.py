"""Sends the probes of the server's state. Each probe sends the same requests in two states and keeps both answers."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from annie_eval.detectors.parity import same_output
from annie_eval.errors import ExchangeError
from annie_eval.gates.server_state import Comparison, Difference, ProbeResult, Reading, judge, judge_again
from annie_eval.http_client import Response, TransportError
from annie_eval.profile.types import Profile, StateProbes
from annie_eval.state.conversations import Prefix, calls, questions, recalls, request
from annie_eval.strict_json import strict_json
from annie_eval.wire import logprobs
from annie_eval.wire.parse import parse
from annie_eval.wire.sample import Answer, Usage

_CHAT = "/chat/completions"
_CANCELLED_AT = (0.1, 0.4, 0.8)  # fractions of the time that a complete answer took
_MARGIN = 1.3  # a prefix may be longer than requested by this factor
_LONG = 200  # max_tokens of a request that is cancelled
_GREEDY = 40  # max_tokens of the probe `greedy`; tokens after the first difference are not compared
_PER_CALL = 64  # max_tokens of the probe `stream`


class Server(Protocol):
    """The part of `annie_eval.http_client.Client` that the probes use."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Response: ...

    async def request(self, method: str, path: str) -> Response: ...


class NotChecked(Exception):
    """A probe cannot run on this server. The message says why."""


@dataclass(slots=True)
class Asking:
    """One server and what is known about it.

    Attributes:
        context: the server's context length in tokens; None if it does not report one.
        batch: number of concurrent requests that fill a batch.
        salts: the server accepts `cache_salt`.
        token_ids: the server returns the token ids of its answers.
    """

    server: Server
    profile: Profile
    model: str
    context: int | None = None
    batch: int = 16
    salts: bool = True
    token_ids: bool = False
    _took: float = 0.0
    _known: bool = False
    _cannot: str = ""
    _warm: dict[Prefix, tuple[str, list[tuple[Reading, ...]]]] = field(default_factory=dict)

    @property
    def settings(self) -> StateProbes:
        return self.profile.state or StateProbes()

    async def probe(self, name: str) -> ProbeResult:
        """Run one probe of `annie_eval.profile.types.PROBES`. A server's error is in the result's `error`.

        A probe that takes longer than the settings allow is cancelled: a slow server is no fault of its state.
        """
        try:
            async with asyncio.timeout(self.settings.seconds):
                return await _PROBES[name](self)
        except TimeoutError:
            return ProbeResult(name, unchecked=f"the server took longer than {self.settings.seconds} s")
        except NotChecked as reason:
            return ProbeResult(name, unchecked=str(reason))
        except (TransportError, ExchangeError) as error:
            return ProbeResult(name, error=str(error))

    async def read(self, prefix: Prefix, question: str, salt: str | None = None, **more: Any) -> Reading:
        """Send one request and return its answer. Without a `salt` a new one is used, so that no prefix is cached.

        Raises:
            NotChecked: the server returns no log-probabilities.
            TransportError: the request failed.
            ExchangeError: the response cannot be parsed, or has no log-probabilities although earlier ones had.
        """
        if not self._known:
            await self._try()
        if self._cannot:
            raise NotChecked(self._cannot)
        began = time.monotonic()
        reading = _reading(await self._post(self._body(prefix, question, salt, **more)))
        self._took = time.monotonic() - began
        if reading is None:
            raise ExchangeError("the server returned no logprobs, although it did for earlier requests")
        return reading

    def _body(self, prefix: Prefix, question: str, salt: str | None = None, **more: Any) -> dict[str, Any]:
        return request(self.profile, prefix, question, model=self.model, salt=self._salt(salt), **more)

    def _salt(self, salt: str | None) -> str | None:
        return (salt or secrets.token_hex(16)) if self.salts else None

    def _unscored(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The request without log-probabilities and cache salt; asks for token ids if the server returns them."""
        kept = {key: value for key, value in body.items() if key not in ("logprobs", "top_logprobs", "cache_salt")}
        return {**kept, "return_token_ids": True} if self.token_ids else kept

    async def _post(self, body: Mapping[str, Any]) -> bytes:
        return (await self.server.post(_CHAT, body)).body

    async def _try(self) -> None:
        """Send a short request to find out whether the server accepts `cache_salt` and returns log-probabilities."""
        body = self._body(Prefix(0), questions(self.profile, 1)[0], tokens=1)
        answer = b""
        try:
            answer = await self._post(body)
        except TransportError as error:
            if error.status not in (400, 422):
                raise
            body.pop("cache_salt", None)
            self.salts = False
            try:
                answer = await self._post(body)
            except TransportError as again:
                if again.status not in (400, 422):
                    raise
                self._cannot = f"the server refuses logprobs ({again.cause})"
        if answer and _reading(answer) is None:
            self._cannot = "the server returns no logprobs, and greedy text alone proves nothing"
        self._known = True

    async def learn_context(self) -> None:
        """Set `context` from `max_model_len` of the server's model list; None if it is not listed."""
        try:
            async with asyncio.timeout(self.profile.traffic.request_timeout):
                listed = strict_json((await self.server.request("GET", "/models")).body.decode())["data"]
            length = next(one.get("max_model_len") for one in listed if one["id"] == self.model)
            self.context = length if isinstance(length, int) and length > 0 else None
        except (TransportError, TimeoutError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
            self.context = None

    def prefixes(self) -> list[Prefix]:
        """Prefixes that fit into the server's context: one per length and one per number of tools in the settings."""
        lengths, tools = self.settings.prefix_tokens, self.settings.tools
        wanted = [Prefix(length, 0) for length in lengths]
        wanted += [Prefix(max(lengths[0], 60 * count), count) for count in tools]
        return [one for one in wanted if self.context is None or _MARGIN * one.tokens + 2 * _LONG <= self.context]


def _reading(body: bytes) -> Reading | None:
    answer = parse(body, streamed=False)
    tokens = logprobs.read(body)
    if tokens is None:
        return None
    usage = answer.usage or Usage()
    return Reading(tokens, _text(answer), usage.cached_tokens, usage.prompt_tokens)


def _text(answer: Answer) -> str:
    """Reasoning, content and tool calls in one line."""
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    return " ".join(text for text in (answer.reasoning, answer.content, *calls) if text)


async def _shapes(
    asking: Asking, asked: Sequence[tuple[Prefix, str]], at_once: Sequence[int], salt: str | None = None
) -> list[tuple[Reading, ...]]:
    """The answers to each request, one for each batch size in `at_once`.

    In another batch size the same request is computed with other tensor shapes and so rounds differently. Without a
    `salt`, no prefix is cached.
    """
    found: list[list[Reading]] = [[] for _ in asked]
    for size in (min(size, asking.batch) for size in at_once):
        for start in range(0, len(asked), size):
            some = range(start, min(start + size, len(asked)))
            answers = await asyncio.gather(*(asking.read(*asked[at], salt) for at in some))
            for at, answer in zip(some, answers, strict=True):
                found[at].append(answer)
    return [tuple(each) for each in found]


def _asked(asking: Asking, prefix: Prefix) -> list[tuple[Prefix, str]]:
    """Requests (prefix, question): each question in two conversations of the same length, alternating."""
    both = prefix, replace(prefix, other=1)
    return [(each, one) for one in recalls(asking.profile, prefix, asking.settings.questions) for each in both]


def _compared(
    setting: str,
    asked: Sequence[tuple[Prefix, str]],
    before: Sequence[tuple[Reading, ...]],
    after: Sequence[tuple[Reading, ...]],
) -> list[Comparison]:
    """One comparison per request of `_asked`, where requests 2k and 2k + 1 are the two conversations of a question."""
    return [
        Comparison(setting, question, before[at], after[at], before[at ^ 1]) for at, (_, question) in enumerate(asked)
    ]


async def _cached(asking: Asking, prefix: Prefix) -> str:
    """Put both conversations of `_asked` into the prefix cache, if the server has one, and return their salt."""
    salt = secrets.token_hex(16)
    for each, one in _asked(asking, prefix)[:2]:
        await asking.read(each, one, salt)
    return salt


async def _warm_cold(asking: Asking) -> ProbeResult:
    """Compare answers with a cold prefix cache and with a cached prefix. `cached_tokens` proves which one it was."""
    compared: list[Comparison] = []
    unchecked: dict[str, str] = {}
    for prefix in asking.prefixes():
        try:
            compared += await _warm_cold_at(asking, prefix)
        except NotChecked as reason:
            unchecked[prefix.label] = str(reason)
    if not compared:
        raise NotChecked(next(iter(unchecked.values()), "the server's context holds none of the prefixes"))
    reasons = "; ".join(f"{where}: {why}" for where, why in unchecked.items())
    return judge("warm_cold", compared, unchecked=reasons)


async def _warm_cold_at(asking: Asking, prefix: Prefix) -> list[Comparison]:
    asked = _asked(asking, prefix)
    salt = await _cached(asking, prefix)
    if not asking.salts:
        raise NotChecked("the server does not accept cache_salt, so no prompt is certain to miss the prefix cache")
    cold = await _shapes(asking, asked, (1, len(asked)))
    readings = [reading for each in cold for reading in each]
    if any(reading.cached is None for reading in readings):
        raise NotChecked("the server reports no cached_tokens (vLLM: --enable-prompt-tokens-details)")
    if any(reading.cached for reading in readings):
        raise NotChecked("the server reports cached tokens for a cache_salt that was never sent before")
    warm = await _shapes(asking, asked, (1, 2, len(asked)), salt)
    if not all(reading.cached for each in warm for reading in each):
        raise NotChecked("0 tokens came out of the prefix cache: it is off, or its blocks are longer than the prefix")
    asking._warm[prefix] = salt, warm
    return _compared(f"with a warm prefix cache, {prefix.label}", asked, cold, warm)


async def _poison(asking: Asking) -> ProbeResult:
    """Compare answers before and after requests that could damage the server's state."""
    prefixes = asking.prefixes()
    if not prefixes:
        raise NotChecked("the server's context holds none of the prefixes")
    prefix, compared, unchecked = prefixes[0], list[Comparison](), list[str]()
    asked = _asked(asking, prefix)
    for name in asking.settings.traffic:
        kind, traffic = _TRAFFIC[name]
        if prefix in asking._warm:  # the probe `warm_cold` has just asked the same
            salt, before = asking._warm.pop(prefix)
        else:
            salt = await _cached(asking, prefix)
            before = await _shapes(asking, asked, (1, 2, len(asked)), salt)
        took = asking._took
        try:
            await traffic(asking, prefix, salt, took)
        except NotChecked as reason:
            unchecked.append(str(reason))
            continue
        after = await _shapes(asking, asked, (1, len(asked)), salt)
        compared += _compared(f"after {kind}, {prefix.label}", asked, before, after)
        cold = await _shapes(asking, asked, (len(asked),))
        compared += _compared(f"after {kind}, with a cold prefix cache, {prefix.label}", asked, before, cold)
    return judge("poison", compared, unchecked="; ".join(unchecked))


async def _cancelled(asking: Asking, prefix: Prefix, salt: str, took: float) -> None:
    """Send requests and close their connections, some during prefill and some during decoding."""
    for under in (salt, None):
        for share in _CANCELLED_AT:
            body = asking._body(prefix, f"Please tell me a long story about {share}.", under, tokens=_LONG)
            sent = asyncio.ensure_future(asking.server.post(_CHAT, {**body, "stream": True}))
            try:
                await asyncio.wait([sent], timeout=max(0.01, share * took))
            finally:
                sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)  # it may already be answered or refused


async def _over_length(asking: Asking, prefix: Prefix, salt: str, took: float) -> None:
    """Send requests that do not fit into the context: one because of its prompt, one because of its `max_tokens`."""
    if asking.context is None:
        raise NotChecked("over-length requests: the server does not report its context length")
    longer = " ".join(["and so on"] * asking.context)
    for question, tokens in ((longer, 8), ("Hello.", asking.context)):
        try:
            await asking._post(asking._body(prefix, question, salt, tokens=tokens))
        except TransportError as error:
            if error.status is None or error.status >= 500:
                raise


async def _parallel(asking: Asking, prefix: Prefix, salt: str, took: float) -> None:
    """Send a batch of concurrent requests, half of them with the same prefix and half with others."""
    bodies = [
        asking._body(replace(prefix, other=number % 2 * number), f"Count to {number}.", salt)
        for number in range(asking.batch)
    ]
    await asyncio.gather(*map(asking._post, bodies))


_TRAFFIC: Mapping[str, tuple[str, Callable[[Asking, Prefix, str, float], Awaitable[None]]]] = {
    "cancelled": ("requests that were cancelled", _cancelled),
    "too_long": ("requests that were too long", _over_length),
    "parallel": ("requests in parallel", _parallel),
}


async def _load(asking: Asking) -> ProbeResult:
    """Compare answers in batches of one to four requests with answers in a full batch."""
    prefixes = asking.prefixes()
    if not prefixes:
        raise NotChecked("the server's context holds none of the prefixes")
    prefix = prefixes[0]
    asked = _asked(asking, prefix)
    before = await _shapes(asking, asked, (1, 2, 4))
    others = [f"Count to {number}." for number in range(max(0, asking.batch - len(asked)))]
    turns = [
        await asyncio.gather(
            *(asking.read(*one) for one in asked),
            *(asking.read(replace(prefix, other=2 + turn), one) for one in others),
        )
        for turn in range(2)
    ]
    after = [tuple(turn[at] for turn in turns) for at in range(len(asked))]
    return judge("load", _compared(f"in a batch of {len(turns[0])} requests, {prefix.label}", asked, before, after))


async def _greedy(asking: Asking) -> ProbeResult:
    """Send each question twice in the same state. The answers must agree, and each token must be the most likely."""
    wanted = max(1, asking.settings.greedy_tokens // (2 * _GREEDY))
    asked = [f"Tell me about number {number} and {one}" for number, one in enumerate(_topics(asking.profile, wanted))]
    seen: list[tuple[str, Reading, Reading]] = []
    for start in range(0, wanted, asking.batch):
        some = asked[start : start + asking.batch]
        first = await asyncio.gather(*(asking.read(Prefix(0), one, tokens=_GREEDY) for one in some))
        again = await asyncio.gather(*(asking.read(Prefix(0), one, tokens=_GREEDY) for one in some))
        seen += zip(some, first, again, strict=True)
    return judge_again("greedy", seen)


def _topics(profile: Profile, count: int) -> list[str]:
    asked = questions(profile, count)
    return [asked[number % len(asked)] for number in range(count)]


async def _stream(asking: Asking) -> ProbeResult:
    """Compare streamed with unstreamed tool calls, where the model's output is known to be the same.

    Each prompt that should be answered with a tool call is sent once unstreamed, and streamed until there are as many
    streams as the settings ask for.
    """
    prompts = calls(asking.profile)
    if not prompts:
        raise NotChecked("no scenario of the profile expects a tool call")
    body = {one: asking._unscored(asking._body(Prefix(0), one, tokens=_PER_CALL)) for one in prompts}
    unstreamed = {
        one: parse(answer, streamed=False)
        for one, answer in zip(prompts, await _batched(asking, [body[one] for one in prompts]), strict=True)
    }
    having = [one for one in prompts if unstreamed[one].tool_calls]
    if not having:
        raise NotChecked("the model calls no tool")
    repeated = [having[number % len(having)] for number in range(asking.settings.calls)]
    streams = [{**body[one], "stream": True, "stream_options": {"include_usage": True}} for one in repeated]
    n, found = 0, list[Difference]()
    for one, answer in zip(repeated, await _batched(asking, streams), strict=True):
        streamed = parse(answer, streamed=True)
        reasons = same_output(streamed, unstreamed[one])
        if reasons is None:
            continue  # the model's output differs, so that the parsers cannot be compared
        n += 1
        for reason in reasons[:1]:
            before, after = _text(unstreamed[one])[:160], _text(streamed)[:160]
            found.append(Difference("when it is streamed (parser)", one, reason, 0.0, before, after))
    if not n:
        raise NotChecked("no streamed answer is known to be the same output as the unstreamed one")
    return ProbeResult("stream", n, differences=tuple(found))


async def _batched(asking: Asking, bodies: Sequence[Mapping[str, Any]]) -> list[bytes]:
    out: list[bytes] = []
    for start in range(0, len(bodies), asking.batch):
        out += await asyncio.gather(*map(asking._post, bodies[start : start + asking.batch]))
    return out


_PROBES: Mapping[str, Callable[[Asking], Awaitable[ProbeResult]]] = {
    "warm_cold": _warm_cold,
    "poison": _poison,
    "load": _load,
    "greedy": _greedy,
    "stream": _stream,
}

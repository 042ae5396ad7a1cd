"""Builds the requests that are timed: cold prompts, which miss the prefix cache, and warm ones, which hit it.

A cold prompt begins with words or tokens that were never sent before, and has its own `cache_salt` if the server
accepts one. The `cached_tokens` of the answer show whether the prompt was cold.
"""

from __future__ import annotations

import copy
import json
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.strict_json import is_count
from annie_eval.timing.connection import Connection, LostConnection, TimedResponse
from annie_eval.timing.plan import Plan
from annie_eval.timing.stream import Observed, observe

PROBE_TOKENS = 16
_WORDS = ("river", "stone", "cloud", "garden", "window", "morning", "letter", "bridge", "candle", "forest", "market")


class Unusable(Exception):
    """The server answers no request that could be timed. The message quotes its response."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server supports, as trial requests showed.

    Attributes:
        model: the served model name.
        max_model_len: context length in tokens; None if the server does not list it.
        extras: the optional request fields that the server accepts, of `include_usage`, `cache_salt`, `ignore_eos`,
            `continuous_usage_stats`, `chat_template_kwargs`.
        token_prompts: `/completions` accepts token ids and counts them exactly.
        word_prompts: number of tokens that `/completions` counts in addition to one per word of `_WORDS`; None if it
            does not count one per word.
        word_ids: the token ids of `_WORDS`, if `/completions` counts each as one token; else empty. They are preferred
            to words, because tokenising words is part of TTFT, and to random ids, because detokenising those takes a
            server twice as long.
        fixed_length: an answer with `ignore_eos` had exactly `max_tokens` tokens.
        brief: the first chunk of an answer has at most two tokens and more chunks follow, so that a short answer has
            the same TTFT as a long one. False if a server sends, for example, eight tokens per chunk, or a proxy sends
            the whole answer at the end.
        pace: tokens per second of a short answer, TTFT included; a lower bound of the decode rate.
        words_per_token: for filler text, where prompts must be text.
        block_size: tokens per block of the prefix cache.
        metrics: the server has vLLM's `/metrics`.
    """

    model: str
    max_model_len: int | None = None
    extras: frozenset[str] = frozenset()
    token_prompts: bool = False
    word_prompts: int | None = None
    word_ids: tuple[int, ...] = ()
    fixed_length: bool = False
    brief: bool = False
    pace: float | None = None
    words_per_token: float = 0.75
    block_size: int | None = None
    metrics: bool = False

    @property
    def text_prompts(self) -> bool:
        """Prompts of a given length are sent as text, so that TTFT includes tokenising them."""
        return not self.word_ids and (self.word_prompts is not None or not self.token_prompts)

    def missing(self) -> list[str]:
        """What cannot be checked on this server, for the report."""
        found = []
        if not self.metrics:
            found.append("the server's own metrics (no vLLM /metrics)")
        if not self.token_prompts:
            found.append("exact prompt lengths (no token ids at /completions; lengths are usage.prompt_tokens)")
        if not self.fixed_length:
            found.append("fixed answer lengths (no ignore_eos)")
        return found


@dataclass(frozen=True, slots=True)
class Prepared:
    """One request. `prompt_tokens` is its length if `exact`, else a lower bound; None if unknown."""

    path: str
    body: Mapping[str, Any]
    prompt_tokens: int | None = None
    exact: bool = False

    def payload(self) -> bytes:
        return json.dumps(self.body, separators=(",", ":")).encode()


@dataclass(slots=True)
class Requests:
    """Builds requests for one server. `rng` has a random seed, so that a second run misses the first run's cache."""

    plan: Plan
    capabilities: Capabilities
    rng: random.Random = field(default_factory=lambda: random.Random(secrets.randbits(128)))

    def chat(self, body: Mapping[str, Any], tokens: int, *, ends: bool = False) -> Prepared:
        """A cold chat request. With `ends` the model may stop before `tokens`, as it must after a tool call."""
        nonce = secrets.token_hex(6)
        messages = copy.deepcopy(list(body["messages"]))
        first = messages[0]
        first["content"] = f"Session {nonce}. {first['content']}"
        changed: dict[str, Any] = {**body, "messages": messages}
        if body.get("tools") and "cache_salt" not in self.capabilities.extras:
            # Many templates write the tools before the system prompt.
            changed["tools"] = copy.deepcopy(list(body["tools"]))
            function = changed["tools"][0].get("function", {})
            function["description"] = f"({nonce}) {function.get('description', '')}"
        return Prepared(self._chat_path, self._common(changed, tokens, ends=ends))

    def cold(self, context: int, tokens: int) -> Prepared:
        """A prompt of `context` tokens that the server has never seen."""
        if self.capabilities.token_prompts or self.capabilities.word_prompts is not None:
            prompt: str | list[int]
            if self.capabilities.word_ids:
                prompt = self.rng.choices(self.capabilities.word_ids, k=context)
            elif self.capabilities.word_prompts is not None:
                count = max(1, context - self.capabilities.word_prompts)
                prompt = "".join(f" {self.rng.choice(_WORDS)}" for _ in range(count))
            else:
                low, high = self._ids()
                prompt = [self.rng.randrange(low, high) for _ in range(context)]
            return Prepared(
                f"{self._root}/completions",
                self._common({"prompt": prompt, "temperature": 0.0}, tokens),
                context,
                exact=True,
            )
        count = max(1, round(context * self.capabilities.words_per_token))
        text = f"{secrets.token_hex(6)} " + " ".join(self.rng.choice(_WORDS) for _ in range(count))
        body = {**self.plan.short, "messages": [{"role": "user", "content": text}]}
        return Prepared(self._chat_path, self._common(body, tokens), round(context * 0.9))

    def warm(self, cold: Prepared, tokens: int) -> Prepared:
        """The same prompt with the same salt again, which hits the prefix cache."""
        return replace(cold, body={**cold.body, **self._lengths(tokens, ends=False)})

    @property
    def _root(self) -> str:
        return Connection(self.plan.base_url).path

    @property
    def _chat_path(self) -> str:
        return f"{self._root}/chat/completions"

    def _ids(self) -> tuple[int, int]:
        """A range of ordinary token ids. Special tokens are at both ends of a vocabulary."""
        size = self.plan.vocabulary or 32_000
        return (1000, min(size, 32_000) * 9 // 10) if size > 4000 else (size // 4, size * 3 // 4)

    def _lengths(self, tokens: int, *, ends: bool) -> dict[str, Any]:
        if ends or "ignore_eos" not in self.capabilities.extras:
            return {"max_tokens": tokens}
        return {"max_tokens": tokens, "ignore_eos": True}

    def _common(self, body: Mapping[str, Any], tokens: int, *, ends: bool = False) -> dict[str, Any]:
        extras = self.capabilities.extras
        full = {
            **body,
            "model": self.capabilities.model,
            "stream": True,
            **self._lengths(tokens, ends=ends),
        }
        if "continuous_usage_stats" in extras:
            full["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
        elif "include_usage" in extras:
            full["stream_options"] = {"include_usage": True}
        if "cache_salt" in extras:
            full["cache_salt"] = secrets.token_hex(16)
        if "chat_template_kwargs" not in extras:
            full.pop("chat_template_kwargs", None)
        return full


def probe(connection: Connection, plan: Plan, *, block_size: int | None, metrics: bool) -> Capabilities:
    """Find out what the server supports. These requests are also the warm-up: none of them is measured.

    Raises:
        Unusable: the server accepts no streamed chat request.
    """
    model, length = _model(connection, plan)
    wanted = ("include_usage", "cache_salt", "ignore_eos", "continuous_usage_stats", "chat_template_kwargs")
    found = Capabilities(model, length, block_size=block_size, metrics=metrics)

    def ask(extras: frozenset[str]) -> TimedResponse:
        requests = Requests(plan, replace(found, extras=extras))
        prepared = requests.chat(plan.short, PROBE_TOKENS)
        try:
            return connection.exchange("POST", prepared.path, prepared.payload())
        except LostConnection as error:
            raise Unusable(str(error)) from None

    extras = frozenset(wanted)
    response = ask(extras)
    if response.status in (400, 422):
        extras = frozenset(name for name in wanted if ask(frozenset({name})).status == 200)
        response = ask(extras)
    seen = _observed(response)
    if seen is None:
        body = " ".join(response.body[:200].decode("utf-8", "replace").split())
        raise Unusable(f"POST {connection.path}/chat/completions: HTTP status {response.status}: {body}")
    fixed = "ignore_eos" in extras and seen.finish_reason == "length" and seen.completion_tokens == PROBE_TOKENS
    brief = seen.counting in ("usage", "chunks") and len(seen.arrivals) > 1 and seen.arrivals[0][1] <= 2
    pace = PROBE_TOKENS / seen.last_token * 1e9 if fixed and brief and seen.last_token else None
    found = replace(found, extras=extras, fixed_length=fixed, brief=brief, pace=pace)
    return _probe_lengths(connection, plan, found)


def _probe_lengths(connection: Connection, plan: Plan, found: Capabilities) -> Capabilities:
    """Find the way to send prompts of exact length: words of one token each (as ids or text), or random token ids.

    If none is exact, measure the words per token of filler text.
    """

    def counted(capabilities: Capabilities, length: int) -> int | None:
        prepared = Requests(plan, capabilities).cold(length, PROBE_TOKENS)
        try:
            seen = _observed(connection.exchange("POST", prepared.path, prepared.payload()))
        except LostConnection:
            return None
        return None if seen is None else seen.prompt_tokens

    # 163 words contain each of the eleven, and are no multiple of a block size to which a server might round. A server
    # may put one token in front of a prompt of ids.
    n, few_ids = 163, 67
    if (words := counted(replace(found, word_prompts=0), n)) in (n, n + 1):
        as_text = replace(found, token_prompts=True, word_prompts=words - n)
        as_ids = replace(as_text, word_ids=_word_ids(connection, found.model))
        return as_ids if as_ids.word_ids and counted(as_ids, n) in (n, n + 1) else as_text
    with_ids = replace(found, token_prompts=True)
    if counted(with_ids, few_ids) in (few_ids, few_ids + 1):
        return with_ids
    few, many = (counted(replace(found, words_per_token=1.0), length) for length in (40, 140))
    if few is None or many is None or many <= few:
        return found
    return replace(found, words_per_token=100 / (many - few))


def _word_ids(connection: Connection, model: str) -> tuple[int, ...]:
    """The token id of each of `_WORDS`, from vLLM's `/tokenize`; empty if one is not a single token of its own."""
    body = {"model": model, "prompt": "".join(f" {word}" for word in _WORDS), "add_special_tokens": False}
    try:
        response = connection.exchange(
            "POST", f"{connection.path.removesuffix('/v1')}/tokenize", json.dumps(body).encode()
        )
        ids = json.loads(response.body)["tokens"] if response.status == 200 else []
        whole = all(type(i) is int for i in ids) and len(ids) == len(set(ids)) == len(_WORDS)
    except (LostConnection, ValueError, KeyError, TypeError, RecursionError):
        return ()
    return tuple(ids) if whole else ()


def _model(connection: Connection, plan: Plan) -> tuple[str, int | None]:
    """The served model name and its context length (None if unknown), from the server's `/models`.

    Raises:
        Unusable: the server cannot be reached.
    """
    try:
        response = connection.exchange("GET", f"{connection.path}/models")
        listed = json.loads(response.body)["data"] if response.status == 200 else []
        models = {str(entry["id"]): entry for entry in listed}
    except LostConnection as error:
        raise Unusable(str(error)) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        models = {}
    # A server without a list may accept any name. If it does not, its error message says so.
    name = plan.served_model or next(iter(models), "default")
    entry = models.get(name, {})
    meta = entry.get("meta")  # llama.cpp's server; n_ctx is the context length of one request
    length = entry.get("max_model_len") or (meta.get("n_ctx") if isinstance(meta, dict) else None)
    return name, length if is_count(length) and length else None


def _observed(response: TimedResponse) -> Observed | None:
    try:
        return observe(response)
    except ExchangeError:
        return None

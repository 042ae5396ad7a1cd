"""Builds the next request of a scenario from the exchanges so far. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annie_eval.profile.types import Expect, Profile, Sampling, Scenario, Turn, Variant, sample_key
from annie_eval.wire.sample import Answer, Exchange, ToolCall


@dataclass(frozen=True, slots=True)
class Request:
    """The next request of a scenario, and what a good answer to it is."""

    body: Mapping[str, Any]
    expect: Expect
    turn: int
    round: int


def next_request(
    profile: Profile, scenario: Scenario, variant: Variant, done: Sequence[Exchange], *, model: str, token_ids: bool
) -> Request | None:
    """The request that follows `done`, or None at the end of the scenario.

    Tool calls are answered once, with the turn's tool results. If the calls of a reply cannot be sent back to a server
    (no name, arguments that are not a JSON object), the conversation ends: the missing answers count as a miss of the
    model, not as an error of the server that would refuse the request.

    Args:
        model: served model name.
        token_ids: request the token ids of the answer (vLLM's `return_token_ids`).
    """
    messages: list[dict[str, Any]] = []
    if profile.system_prompt:
        messages.append({"role": "system", "content": profile.system_prompt})
    messages += [dict(message) for message in scenario.history]
    turn, round_ = 0, 0
    for exchange in done:
        step = scenario.turns[turn]
        if round_ == 0:
            messages.append({"role": "user", "content": step.user})
        answer = exchange.answer
        if answer.tool_calls:
            if not all(map(_can_be_sent_back, answer.tool_calls)):
                return None
            last = turn + 1 == len(scenario.turns)
            if last and (round_ > 0 or not step.tool_results):
                return None
            messages += _with_results(answer, step)
            if round_ == 0 and step.tool_results:
                round_ = 1
                continue
        else:
            messages.append({"role": "assistant", "content": answer.content or ""})
        turn, round_ = turn + 1, 0
    if turn == len(scenario.turns):
        return None
    step = scenario.turns[turn]
    if round_ == 0:
        messages.append({"role": "user", "content": step.user})
    body = _body(profile, scenario, variant, messages, model, token_ids)
    return Request(body, step.then if round_ else step.expect, turn, round_)


def is_last(scenario: Scenario, request: Request) -> bool:
    """Whether this is the last request of the scenario, whatever its answer is."""
    if request.turn + 1 < len(scenario.turns):
        return False
    return request.round > 0 or not scenario.turns[request.turn].tool_results


def _body(
    profile: Profile,
    scenario: Scenario,
    variant: Variant,
    messages: list[dict[str, Any]],
    model: str,
    token_ids: bool,
) -> dict[str, Any]:
    sampling = profile.sampling
    body: dict[str, Any] = {"model": model, "messages": messages}
    offered = profile.tools.values() if scenario.tools is None else [profile.tools[name] for name in scenario.tools]
    if offered:
        body["tools"] = list(offered)
    body["temperature"] = sampling.temperature
    body["max_tokens"] = scenario.max_tokens or sampling.max_tokens
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.seed is not None:
        body["seed"] = _seed(sampling, scenario, variant)
    body["stream"] = variant.stream
    if variant.stream:
        body["stream_options"] = {"include_usage": True}
    if variant.thinking != "unset" and profile.serving.thinking_kwarg:
        body["chat_template_kwargs"] = {profile.serving.thinking_kwarg: variant.thinking == "on"}
    if token_ids:
        body["return_token_ids"] = True
    return body | dict(sampling.extra)


def _seed(sampling: Sampling, scenario: Scenario, variant: Variant) -> int:
    """The seed of one sample. Above temperature 0 every sample has its own, so that samples are independent.

    At temperature 0 the profile's seed is sent, and the next one for each repeat.
    """
    assert sampling.seed is not None
    if sampling.temperature == 0.0:
        return sampling.seed + variant.repeat - 1
    # Older keys have `whole` for `unstreamed`. The old word is used here, so that seeds are those of stored baselines.
    key = sample_key(scenario.id, variant).replace(".unstreamed.", ".whole.")
    drawn = hashlib.sha256(f"{sampling.seed}\n{key}".encode("utf-8", "backslashreplace"))
    return int.from_bytes(drawn.digest()[:4]) & 0x7FFFFFFF


def _can_be_sent_back(call: ToolCall) -> bool:
    try:
        arguments = json.loads(call.arguments or "")
    except (ValueError, RecursionError):
        return False
    return bool(call.name) and bool(call.id) and isinstance(arguments, dict)


def _with_results(answer: Answer, step: Turn) -> list[dict[str, Any]]:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": _result(step, call.name or "")}
        for call in answer.tool_calls
    ]
    return [{"role": "assistant", "content": answer.content or "", "tool_calls": calls}, *results]


def _result(step: Turn, name: str) -> str:
    if name not in step.tool_results:
        return '{"error": "this tool gave no result"}' if step.tool_results else '{"status": "ok"}'
    result = step.tool_results[name]
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

"""Judges the example replies of scenarios by their own gates, before a server is started.

If a good reply fails its gate, the gate's rules do not match the author's intention.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.types import Gate, Profile, Scenario, sample_key
from annie_eval.run.judge import Catalogue, judge
from annie_eval.wire.conversation import next_request
from annie_eval.wire.sample import Answer, Exchange, Sample, ToolCall, Usage


def check_examples(profile: Profile) -> None:
    """Judge each example by every gate of its scenario, except for the protocol, because it was never sent.

    Raises:
        UsageError: an example fails a gate, or a detector cannot run on it; names file, line, field and gate.
    """
    for mistake in example_mistakes(profile):
        raise UsageError(mistake)


def example_mistakes(profile: Profile) -> Iterator[str]:
    """The messages of `check_examples` for all examples."""
    catalogue = Catalogue(profile)
    for scenario in profile.scenarios:
        sample = played(profile, catalogue, scenario)
        for gate in profile.gates.values() if sample.exchanges else ():
            if gate.every_sample or scenario.category in gate.categories:
                yield from _judged(gate, scenario, sample)


def _judged(gate: Gate, scenario: Scenario, sample: Sample) -> Iterator[str]:
    speech = replace(gate, detectors=tuple(name for name in gate.detectors if name != "wire"))
    judgement = judge(speech, sample)
    where = f"scenarios {scenario.source}"
    if judgement.error is not None:
        yield f"{where}: gates.{gate.name} cannot judge its example: {judgement.error}"
    elif judgement.findings:
        first = judgement.findings[0]
        exchange = sample.exchanges[first.exchange]
        field = "then_example" if exchange.round else "example"
        field = f"turns[{exchange.turn}].{field}" if len(scenario.turns) > 1 else field
        yield (
            f"{where}: {field} fails gates.{gate.name} ({first.detector}: {first.reason}); fix the example or the gate"
        )


def played(profile: Profile, catalogue: Catalogue, scenario: Scenario) -> Sample:
    """The sample of a server that answers with the examples, as far as there are examples."""
    variant = scenario.variants[0]
    done: list[Exchange] = []
    while request := next_request(profile, scenario, variant, done, model="example", token_ids=False):
        turn = scenario.turns[request.turn]
        message = turn.then_example if request.round else turn.example
        if message is None:
            break
        answer = _answer(message, truncated=request.expect.truncated, limit=request.body["max_tokens"])
        done.append(
            Exchange(request.body, 200, (), b"", (), answer, request.expect, turn=request.turn, round=request.round)
        )
    return catalogue.sample(sample_key(scenario.id, variant), done)


def _answer(message: Mapping[str, Any], *, truncated: bool, limit: int) -> Answer:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"], index)
        for index, call in enumerate(message.get("tool_calls", ()))
    )
    finish = "length" if truncated else "tool_calls" if calls else "stop"
    return Answer(message.get("content"), None, calls, finish, Usage(None, limit if truncated else max(1, limit - 1)))

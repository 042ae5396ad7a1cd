"""Judges the good replies that scenarios give as examples by their own gates, before a server is started.

A reply that breaks its gate shows that the gate refuses what its author wants, or asks for what the author does
not mean.
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
    """Judge each example by every gate that judges its scenario, but for the protocol, which it has none of.

    Raises:
        UsageError: one breaks a gate, or a detector cannot run on it; names file, line, field and gate.
    """
    for mistake in example_mistakes(profile):
        raise UsageError(mistake)


def example_mistakes(profile: Profile) -> Iterator[str]:
    """What `check_examples` raises, for every example that there is."""
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
            f"{where}: {field} breaks gates.{gate.name} ({first.detector}: {first.reason}); fix the example, or what"
            " the gate asks"
        )


def played(profile: Profile, catalogue: Catalogue, scenario: Scenario) -> Sample:
    """The sample that comes of a server which answers with the examples, as far as there are any."""
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

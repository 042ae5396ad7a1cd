"""Runs the probes of a profile: properties that must hold for all prompts, noisy prompts and tool schemas."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.tool_calls import strict_object
from annie_eval.probes import draw, prompts, tools
from annie_eval.probes.example import Example
from annie_eval.probes.search import Asker, Judge, Kept, Outcome, ProbeReply, Reduction, Reductions, row, search
from annie_eval.profile.types import Scenario
from annie_eval.run.reader import Reader
from annie_eval.wire.sample import Sample, ToolCall

ALWAYS = ("thinking", "markdown", "silence", "wire")
_CALL, _OFFERED = ("tool_calls",), ("tool_calls", "thinking", "wire")


class NothingToProbe(Exception):
    """The profile has nothing for this probe; the message says what is missing."""


class Prober:
    """The probes of one run.

    Args:
        database: directory of hypothesis's example database.
        budget: maximum number of prompts per probe, including shrinking.
        seed: seed of the generated prompts.
    """

    def __init__(self, reader: Reader, database: Path, budget: int, seed: int) -> None:
        self._reader, self._database, self._budget, self._seed = reader, database, budget, seed
        self._profile = reader.profile
        self._gated = {detector for gate in self._profile.gates.values() for detector in gate.detectors}
        self._always = tuple(detector for detector in ALWAYS if detector in self._gated)
        self._replay()

    def _replay(self) -> None:
        """Send all stored examples first; the probes use the answers later."""
        asker = Asker(self._reader, budget=2**31)
        for probe, detectors in (
            *((detector, self._always) for detector in self._always),
            ("same_call", _CALL),
            ("any_tool", _OFFERED),
        ):
            asker([example for example in self._kept(probe).load() if self._known(example)], detectors)

    def _kept(self, probe: str) -> Kept:
        return Kept(self._database, self._profile.name, probe)

    def _known(self, example: Example) -> bool:
        return example.scenario is None or any(one.id == example.scenario for one in self._profile.scenarios)

    def never(self, detector: str) -> Outcome:
        """Check that the detector finds nothing in the reply to any prompt, sent in any way.

        Raises:
            NothingToProbe: no gate of the profile uses the detector.
        """
        if detector not in self._gated:
            raise NothingToProbe(f"no gate of profile {self._profile.name} asks for {detector}")
        asker = Asker(self._reader, self._budget)

        def judge(examples: Sequence[Example], repeat: int) -> list[ProbeReply]:
            replies = asker(examples, self._always, repeat)
            return [
                replace(reply, findings=tuple(f for f in reply.findings if f.detector == detector))
                for reply in replies
            ]

        return self._search(
            detector,
            asker,
            judge,
            (_fewer_messages, _plainer, _fewer_characters),
            lambda most: draw.batches(lambda size: prompts.spoken(self._profile, size), most, self._seed),
        )

    def same_call(self) -> Outcome:
        """Check that noise in a scenario's prompt changes neither the called tool nor its arguments.

        Scenarios whose own prompt does not get the right call are left out; their gate reports that.
        """
        judged = {
            scenario.id
            for gate in self._profile.gates.values()
            if {"tool_calls", "restraint"} & set(gate.detectors)
            for scenario in self._profile.gate_scenarios(gate)
            if len(scenario.turns) == 1 and scenario.turns[0].expect.calls is not None
        }
        scenarios = {one.id: one for one in self._profile.scenarios if one.id in judged}
        if not scenarios:
            raise NothingToProbe(f"no scenario of profile {self._profile.name} says which call is wanted")
        asker = Asker(self._reader, self._budget)

        def judge(examples: Sequence[Example], repeat: int) -> list[ProbeReply]:
            plain = [prompts.noisy(scenarios[str(example.scenario)], ()) for example in examples]
            replies = asker([*plain, *examples], _CALL, repeat)
            return [_compared(*pair) for pair in zip(replies, replies[len(plain) :], strict=False)]

        def fewer_edits(example: Example) -> Reduction | None:
            scenario = scenarios[str(example.scenario)]
            return example.edits, 1, lambda edits: prompts.noisy(scenario, tuple(edits))

        def some(most: int) -> list[Example]:
            # The original prompts are sent as well. Every scenario is used; its edits are random.
            turns = itertools.cycle(scenarios.values())
            count = max(1, most - len(scenarios))
            return draw.batches(lambda size: _each_noised([next(turns) for _ in range(size)]), count, self._seed)

        return self._search("same_call", asker, judge, (fewer_edits,), some, set(scenarios))

    def any_tool(self) -> Outcome:
        """Check that calls of generated tools are real calls and fit their schemas.

        The tools consist of parts of the profile's own tools. The model is free not to call them.
        """
        if "tool_calls" not in self._gated or tools.allowed(self._profile) is None:
            raise NothingToProbe(f"profile {self._profile.name} has no gate on calls, or no tool with a parameter")
        asker = Asker(self._reader, self._budget)

        def judge(examples: Sequence[Example], repeat: int) -> list[ProbeReply]:
            return asker(examples, _OFFERED, repeat)

        return self._search(
            "any_tool",
            asker,
            judge,
            (_fewer_tools, *map(_fewer_parameters, range(3))),
            lambda most: draw.examples(tools.offers(self._profile), most, self._seed),
        )

    def _search(
        self,
        probe: str,
        asker: Asker,
        judge: Judge,
        reductions: Reductions,
        some: Any,
        scenarios: set[str] | None = None,
    ) -> Outcome:
        kept = self._kept(probe)
        for example in kept.load():
            if example.scenario is not None and example.scenario not in (scenarios or ()):
                kept.forget(example)  # the profile has changed since then
        outcome = search(probe, asker, judge, reductions, kept, some)
        self._reader.store.save_timing("probe", [row(outcome, kept)])
        return outcome


def _each_noised(scenarios: Sequence[Scenario]) -> st.SearchStrategy[list[Example]]:
    return st.tuples(*(prompts.noised([scenario]) for scenario in scenarios)).map(list)


def _fewer_messages(example: Example) -> Reduction | None:
    """Pairs of messages go together: roles must alternate."""
    pairs = [example.history[place : place + 2] for place in range(0, len(example.history), 2)]
    return (
        (pairs, 0, lambda some: replace(example, history=tuple(m for pair in some for m in pair))) if pairs else None
    )


def _plainer(example: Example) -> Reduction | None:
    """The example streamed and with thinking off, like most prompts, if it still fails then."""
    ways: list[tuple[str, Any]] = [] if example.stream else [("stream", False)]
    if example.thinking != "off":
        ways.append(("thinking", example.thinking))
    if not ways:
        return None
    return ways, 0, lambda some: replace(example, **{"stream": True, "thinking": "off", **dict(some)})


def _fewer_characters(example: Example) -> Reduction | None:
    return example.prompt, 1, lambda some: replace(example, prompt="".join(some))


def _fewer_tools(example: Example) -> Reduction | None:
    return example.tools, 1, lambda some: tools.offer(some, example.stream)


def _fewer_parameters(place: int) -> Any:
    def reduction(example: Example) -> Reduction | None:
        if place >= len(example.tools):
            return None
        tool = example.tools[place]
        names = list(tool["function"]["parameters"]["properties"])

        def build(some: Sequence[str]) -> Example:
            smaller = [*example.tools]
            smaller[place] = tools.without_parameters(tool, some)
            return tools.offer(smaller, example.stream)

        return (names, 0, build) if names else None

    return reduction


def _compared(plain: ProbeReply, noisy: ProbeReply) -> ProbeReply:
    """The reply to the noisy prompt; its findings are the changes caused by noise."""
    if plain.broken is not None or plain.fails:
        return replace(noisy, findings=(), broken=noisy.broken or plain.broken, compares=False)
    if noisy.broken is not None or noisy.fails or plain.load is None or noisy.load is None:
        return noisy
    return replace(noisy, findings=tuple(_changed(plain.load(), noisy.load())))


def _changed(plain: Sample, noisy: Sample) -> list[Finding]:
    """Arguments with a fixed form (a number, a switch, one of a list) that differ."""
    before, after = _calls(plain), _calls(noisy)
    findings = []
    for name, arguments in after.items():
        schema = noisy.tools.get(name, {})
        for parameter, rules in dict(schema.get("properties", {})).items():
            one, other = before.get(name, {}), arguments
            closed = "enum" in rules or rules.get("type") in ("boolean", "integer", "number")
            if closed and parameter in one and parameter in other and one[parameter] != other[parameter]:
                was, now = json.dumps(one[parameter]), json.dumps(other[parameter])
                reason = f"noise changed argument {parameter} of {name} from {was} to {now}"
                findings.append(Finding("tool_calls", reason, json.dumps(other)[:160], "tool_calls"))
    return findings


def _calls(sample: Sample) -> Mapping[str, Mapping[str, Any]]:
    """Arguments by tool, of tools that were called once."""
    calls: dict[str, list[ToolCall]] = {}
    for exchange in sample.exchanges:
        for call in exchange.answer.tool_calls:
            calls.setdefault(call.name or "", []).append(call)
    return {name: strict_object(some[0].arguments) for name, some in calls.items() if len(some) == 1}

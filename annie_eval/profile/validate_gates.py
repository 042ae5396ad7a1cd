"""Checks of gates that JSON Schema cannot express: each can fail, can be passed, and judges something."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.mistakes import Mistakes
from annie_eval.profile.schema import did_you_mean, quoted
from annie_eval.profile.types import DETECTORS, Expect, Gate, Profile, Scenario

# Detectors that need an expectation in the scenario.
_NEEDS = {"knowledge": "expect.answer", "tool_calls": "expect.calls", "restraint": "expect.calls = []"}


def gates(profile: Profile, declared: Mapping[str, int | None], where: str, mistakes: Mistakes) -> None:
    """Check that every gate has samples, can be passed and can fail, and that every scenario has a gate.

    Args:
        declared: the key `samples` of each gate, or None.
        mistakes: receives the mistakes, one for each gate and scenario.
    """
    categories = list(dict.fromkeys(one.category for one in profile.scenarios))
    gated = {category for gate in profile.gates.values() for category in gate.categories}
    sound = []
    for gate in profile.gates.values():
        at = f"{where}: gates.{gate.name}"
        with mistakes.one():
            _detectors(gate, at)
            _gate_categories(gate, categories, at)
            sound.append(gate)
    for one in profile.scenarios:
        if one.category not in gated and gated != {"*"}:
            near = did_you_mean(one.category, gated - {"*"}) or "; add a gate for it"
            with mistakes.one():
                raise UsageError(
                    f'scenarios {one.source}: category "{one.category}" is judged by no gate of {where}{near}'
                )
    for gate in sound:
        with mistakes.one():
            _judges(gate, profile, declared[gate.name], f"{where}: gates.{gate.name}")


def _judges(gate: Gate, profile: Profile, declared: int | None, at: str) -> None:
    """Check that a gate can be passed and can fail."""
    judged = profile.gate_scenarios(gate)
    n = sum(len(one.variants) for one in judged)
    prompts = len({profile.prompts[one.id] for one in judged})
    _numbers(gate, n, prompts, declared, at)
    _can_fail(gate, judged, at)
    if "restraint" in gate.detectors and not any(_offers(one, profile) for one in judged):
        raise UsageError(f"{at} asks the detector restraint, but none of its scenarios offers a tool; add tools")


def _detectors(gate: Gate, at: str) -> None:
    for key, names in (("detectors", gate.detectors), ("elsewhere", tuple(gate.elsewhere))):
        for position, detector in enumerate(names):
            if detector not in DETECTORS:
                known = f"{', '.join(DETECTORS)}{did_you_mean(detector, DETECTORS)}"
                raise UsageError(f"{at}.{key}[{position}] is {quoted(detector)}, but must be one of {known}")
    for detector in gate.elsewhere:
        if detector in gate.detectors:
            raise UsageError(
                f"{at}.elsewhere names {quoted(detector)}, which detectors names for every sample; remove one"
            )


# Detectors that include the checks of another detector.
_JUDGED_BY = {
    "dropped_calls": ("dropped_calls", "tool_calls", "restraint"),
    "silence": ("silence", "tool_calls", "restraint", "knowledge", "brevity"),
}


def judged_elsewhere(name: str, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """For each detector of a gate's key `elsewhere` the categories whose samples other gates judge by it.

    Args:
        tables: the profile's tables of gates.
    """
    return {
        detector: tuple(
            dict.fromkeys(
                category
                for other, table in tables.items()
                if other != name and set(table["detectors"]) & set(_JUDGED_BY.get(detector, (detector,)))
                for category in table.get("categories", (other,))
            )
        )
        for detector in tables[name].get("elsewhere", ())
    }


def _gate_categories(gate: Gate, categories: Sequence[str], at: str) -> None:
    if "*" in gate.categories and not gate.every_sample:
        raise UsageError(f'{at}.categories mixes "*" with others; "*" alone means every sample')
    for category in gate.categories:
        if category != "*" and category not in categories:
            raise UsageError(
                f"{at} has no samples: no scenario has category {quoted(category)}{did_you_mean(category, categories)}"
                f" (there are {', '.join(categories)})"
            )


def _numbers(gate: Gate, n: int, prompts: int, declared: int | None, at: str) -> None:
    samples = "1 sample" if n == 1 else f"{n} samples"
    have = f"{samples} {'has' if n == 1 else 'have'} category {' or '.join(map(quoted, gate.categories))}"
    if gate.every_sample:
        have = f"{samples} are in the profile"
    if declared is not None and declared != n:
        raise UsageError(f"{at}.samples is {declared}, but {have}; fix the number or the scenarios")
    if gate.required is not None and gate.required > n:
        raise UsageError(f"{at}.required is {gate.required}, but only {have}; lower it or add scenarios")
    if gate.lower_bound is not None:
        alpha = 1 - gate.confidence
        reachable = alpha ** (1 / prompts)
        if reachable < gate.lower_bound:
            of = "" if prompts == n else f" of {prompts} prompt{'' if prompts == 1 else 's'}"
            needed = math.ceil(math.log(alpha) / math.log(gate.lower_bound))
            raise UsageError(
                f"{at}.lower_bound is {gate.lower_bound:g}, but {n} samples{of} that all pass reach {reachable:.4f} at"
                f" {100 * gate.confidence:g} % confidence; {needed} {'prompts' if of else 'samples'} are needed"
            )


def _can_fail(gate: Gate, judged: Sequence[Scenario], at: str) -> None:
    """Check that each scenario has the expectations that the gate's detectors need."""
    wants = [name for name in (*gate.detectors, *gate.elsewhere) if name in _NEEDS]
    mine = at.split(": ")[-1]
    if "restraint" in gate.detectors:
        for one in judged:
            if any(map(_wants_call, _expects(one))):
                raise UsageError(f"scenarios {one.source}: expects a call, but {mine} (restraint) forbids every call")
    for detector in wants:
        if not any(_says(one, detector, gate) for one in judged):
            raise UsageError(
                f"{at} asks the detector {detector}, but none of its scenarios has {_NEEDS[detector]}; add it"
            )
    if "tool_calls" in wants and not any(_wants_call(expect) for one in judged for expect in _expects(one)):
        raise UsageError(
            f"{at} asks the detector tool_calls, but none of its scenarios expects a call; add one to expect.calls, or"
            " use restraint"
        )
    if wants and (not gate.every_sample or set(wants) == set(gate.detectors_for(""))):
        for one in judged:
            if not any(_says(one, detector, gate) for detector in wants):
                wanted = " or ".join(_NEEDS[detector] for detector in wants)
                raise UsageError(f"scenarios {one.source}: has no {wanted}, so {mine} cannot judge it")
    if gate.name == "multi_turn":
        for one in judged:
            if len(one.turns) == 1 and not one.history and not one.turns[0].tool_results:
                raise UsageError(
                    f"scenarios {one.source}: has one turn, no history and no tool_results, so {mine} cannot judge a"
                    " conversation; give it turns"
                )


def _offers(one: Scenario, profile: Profile) -> bool:
    return bool(profile.tools if one.tools is None else one.tools)


def _wants_call(expect: Expect) -> bool:
    return any(not call.optional for call in expect.calls or ())


def _says(one: Scenario, detector: str, gate: Gate) -> bool:
    """Whether a scenario always has an expectation for a detector, whatever the model answers.

    A reply to tool results only exists if the model calls a tool, so `then` counts only if the gate also checks the
    call.
    """
    asked = [turn.expect for turn in one.turns]
    if "tool_calls" in gate.detectors:
        asked += [turn.then for turn in one.turns if turn.tool_results and _wants_call(turn.expect)]
    if detector == "knowledge":
        return any(expect.answer is not None for expect in asked)
    first = [turn.expect for turn in one.turns]
    if detector == "restraint":
        return any(expect.calls == () for expect in first)
    return any(expect.calls is not None for expect in first)


def _expects(one: Scenario) -> list[Expect]:
    return [turn.expect for turn in one.turns] + [turn.then for turn in one.turns if turn.tool_results]

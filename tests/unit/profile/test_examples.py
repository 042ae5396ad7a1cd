"""Every shipped scenario has a good reply, and the detectors of its gates find nothing in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors import detect
from annie_eval.profile.load import builtin_names, load
from annie_eval.profile.types import Profile, Scenario, sample_key
from annie_eval.wire.conversation import next_request
from annie_eval.wire.sample import Answer, Exchange, Sample, ToolCall, Usage

EXAMPLES = Path(__file__).parents[3] / "examples"
PROFILES = [*builtin_names(), str(EXAMPLES / "concierge" / "concierge.toml")]


def answer_of(message: Mapping[str, Any], *, truncated: bool, limit: int) -> Answer:
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"], index)
        for index, call in enumerate(message.get("tool_calls", ()))
    )
    finish = "length" if truncated else "tool_calls" if calls else "stop"
    return Answer(message["content"], None, calls, finish, Usage(100, limit if truncated else min(30, limit - 1)))


def played(profile: Profile, scenario: Scenario) -> Sample:
    """The sample that comes of a server which answers with the examples."""
    variant = scenario.variants[0]
    done: list[Exchange] = []
    while request := next_request(profile, scenario, variant, done, model="m", token_ids=False):
        turn = scenario.turns[request.turn]
        message = turn.then_example if request.round else turn.example
        assert message is not None, f"{scenario.id} has no example for turn {request.turn}, round {request.round}"
        limit = request.body["max_tokens"]
        answer = answer_of(message, truncated=request.expect.truncated, limit=limit)
        done.append(
            Exchange(request.body, 200, (), b"", (), answer, request.expect, turn=request.turn, round=request.round)
        )
    schemas = {name: profile.tools[name]["function"]["parameters"] for name in scenario.tools or profile.tools}
    schemas = {} if scenario.tools == () else schemas
    return Sample(sample_key(scenario.id, variant), scenario, variant, tuple(done), schemas, profile.limits)


def judged() -> list[Any]:
    return [
        pytest.param(profile, scenario, id=f"{profile.name}-{scenario.id}")
        for profile in map(load, PROFILES)
        for scenario in profile.scenarios
    ]


def detectors(profile: Profile, scenario: Scenario) -> set[str]:
    """The detectors that judge a scenario; `wire` reads bytes, which an example has not."""
    mine = [gate for gate in profile.gates.values() if gate.every_sample or scenario.category in gate.categories]
    return {name for gate in mine for name in gate.detectors} - {"wire"}


@pytest.mark.parametrize(("profile", "scenario"), judged())
def test_the_example_satisfies_every_gate_that_judges_it(profile: Profile, scenario: Scenario) -> None:
    sample = played(profile, scenario)
    found = [finding for name in sorted(detectors(profile, scenario)) for finding in detect(name, sample)]
    assert found == []


@pytest.mark.parametrize(("profile", "scenario"), judged())
def test_the_example_is_speech(profile: Profile, scenario: Scenario) -> None:
    """Whatever its gate asks: a good reply is finished, short, plain, and thinks in silence."""
    sample = played(profile, scenario)
    spoken = ("thinking", "markdown", "silence", "degeneration", "brevity")
    assert [finding for name in spoken for finding in detect(name, sample)] == []


@pytest.mark.parametrize("name", PROFILES)
def test_every_turn_is_played(name: str) -> None:
    profile = load(name)
    for scenario in profile.scenarios:
        turns = {(exchange.turn, exchange.round) for exchange in played(profile, scenario).exchanges}
        wanted = {(number, 0) for number in range(len(scenario.turns))}
        wanted |= {(number, 1) for number, turn in enumerate(scenario.turns) if turn.then_example}
        assert turns == wanted, scenario.id


WRONG = {
    "knowledge": {"role": "assistant", "content": "I'm afraid I don't know that one."},
    "tool_calls": {"role": "assistant", "content": "Sure, I've done that for you."},
    "markdown": {"role": "assistant", "content": "Here you go:\n\n- **one**\n- two\n"},
    "brevity": {"role": "assistant", "content": "Well, one. And two. And three. And four. And then there"},
    "thinking": {"role": "assistant", "content": "<think>\nThe user wants an answer.\n</think>\n\nSure."},
    "silence": {"role": "assistant", "content": ""},
    "degeneration": {"role": "assistant", "content": "and the sea and the sea " * 40},
    "restraint": {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "web_search", "arguments": json.dumps({"query": "x"})},
            }
        ],
    },
}


@pytest.mark.parametrize("name", builtin_names())
def test_a_bad_answer_everywhere_turns_each_gate_red(name: str) -> None:
    """No gate holds a scenario that it cannot miss."""
    profile = load(name)
    for gate in profile.gates.values():
        if gate.every_sample:
            continue
        for scenario in profile.gate_scenarios(gate):
            caught = False
            for detector in gate.detectors:
                turns = tuple(
                    replace(t, example=WRONG[detector], then_example=WRONG[detector]) for t in scenario.turns
                )
                sample = played(profile, replace(scenario, turns=turns))
                caught = caught or bool(detect(detector, sample))
            assert caught, f"{gate.name} cannot fail {scenario.id}"


@pytest.mark.parametrize("name", builtin_names())
def test_a_tool_call_does_not_spare_a_model_from_speaking(name: str) -> None:
    """Where speech is judged and tools are offered, their results are scripted: the reply to those is judged too."""
    profile = load(name)
    for scenario in profile.scenarios:
        if scenario.category in ("no_markdown", "brevity") and scenario.tools != ():
            assert scenario.turns[0].tool_results, scenario.id


def answered(profile: Profile, scenario: Scenario, turn: int, then: bool, text: str) -> Sample:
    """The sample whose only change from the examples is one spoken answer."""
    field = "then_example" if then else "example"
    changed = replace(scenario.turns[turn], **{field: {"role": "assistant", "content": text}})
    turns = (*scenario.turns[:turn], changed, *scenario.turns[turn + 1 :])
    return played(profile, replace(scenario, turns=turns))


def expected_answers(name: str) -> list[tuple[Profile, Scenario, int, bool]]:
    profile = load(name)
    return [
        (profile, scenario, number, then)
        for scenario in profile.scenarios
        for number, turn in enumerate(scenario.turns)
        for then, expect in ((False, turn.expect), (True, turn.then))
        if expect.answer is not None and (not then or turn.tool_results)
    ]


@pytest.mark.parametrize("name", builtin_names())
def test_every_accepted_wording_is_accepted(name: str) -> None:
    for profile, scenario, number, then in expected_answers(name):
        turn = scenario.turns[number]
        answer = (turn.then if then else turn.expect).answer
        assert answer is not None
        together = " and ".join(answer.all_of)
        wordings = [f"It's {phrase}." for phrase in answer.any_of] if not answer.all_of else [f"It's {together}."]
        if answer.number is not None:
            wordings = [f"It's {answer.number:g}.", f"That makes {answer.number:g} altogether."]
        for text in wordings:
            assert detect("knowledge", answered(profile, scenario, number, then, text)) == (), (scenario.id, text)


@pytest.mark.parametrize("name", builtin_names())
def test_no_wrong_number_is_accepted(name: str) -> None:
    for profile, scenario, number, then in expected_answers(name):
        turn = scenario.turns[number]
        answer = (turn.then if then else turn.expect).answer
        assert answer is not None
        if answer.number is not None:
            for wrong in (answer.number + 1, answer.number * 10, 0):
                text = f"It's {wrong:g}."
                assert detect("knowledge", answered(profile, scenario, number, then, text)), (scenario.id, text)

"""Loading a profile: names, variants, defaults, examples, digest."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from annie_eval.profile.argument_checks import MISSING, check_value
from annie_eval.profile.load import builtin_names, load
from annie_eval.profile.types import AnswerExpectation, Expect, Gate, Variant

if TYPE_CHECKING:
    from conftest import Desk


ROOT = Path(__file__).parents[3]
STUDY = {
    "thinking_leak": (25, 25),
    "tool_calling": (10, 6),
    "no_markdown": (15, 12),
    "factual": (5, 5),
    "reasoning": (5, 5),
    "brevity": (15, 12),
    "restraint": (10, 8),
}
STRICT = {"thinking_leak": 62, "tool_calling": 60, "no_markdown": 60, "restraint": 30, "multi_turn": 20}


def counts(name: str) -> dict[str, tuple[int, int]]:
    profile = load(name)
    sizes = {gate: sum(len(s.variants) for s in profile.gate_scenarios(g)) for gate, g in profile.gates.items()}
    return {gate: (size, profile.gates[gate].required or size) for gate, size in sizes.items()}


@pytest.mark.parametrize("name", ["annie", "annie-smol"])
def test_annie_holds_the_gates_of_the_study_exactly(name: str) -> None:
    found = counts(name)
    assert found.pop("wire_integrity") == (85, 85)
    assert found.pop("every_answer") == (85, 85), "beside the study's gates, over all their samples"
    assert found.pop("speakable") == (85, 75)
    assert found == STUDY


def test_annie_strict_has_enough_samples_and_a_bound_in_every_gate() -> None:
    profile, found = load("annie-strict"), counts("annie-strict")
    assert {gate: found[gate][0] for gate in STRICT} == STRICT
    assert all(gate.lower_bound is not None for gate in profile.gates.values())
    assert found["thinking_leak"] == (62, 62)
    leak = profile.gate_scenarios(profile.gates["thinking_leak"])
    assert len({profile.prompts[one.id] for one in leak}) == 60, "62 samples are 60 prompts: two are sent both ways"


def test_annie_strict_asks_of_the_same_assistant() -> None:
    annie, strict = load("annie"), load("annie-strict")
    for field in ("system_prompt", "tools", "limits", "sampling", "serving"):
        assert getattr(annie, field) == getattr(strict, field)
    assert {s.id for s in annie.scenarios} < {s.id for s in strict.scenarios}
    assert {g: gate.detectors for g, gate in annie.gates.items()}.items() <= {
        g: gate.detectors for g, gate in strict.gates.items()
    }.items()


def test_a_smaller_model_is_not_asked_for_less() -> None:
    annie, smol = load("annie"), load("annie-smol")
    assert smol.limits == annie.limits
    judged = ("detectors", "categories", "required", "lower_bound", "confidence")
    for name, gate in annie.gates.items():
        assert [getattr(smol.gates[name], field) for field in judged] == [getattr(gate, field) for field in judged]


@pytest.mark.parametrize("name", builtin_names())
def test_a_defect_of_one_way_of_sending_turns_its_gate_red(name: str) -> None:
    """Half of the samples of a gate are streamed: were all of those lost, the rest could not carry it."""
    profile = load(name)
    for gate in profile.gates.values():
        ways = [variant.stream for s in profile.gate_scenarios(gate) for variant in s.variants]
        for lost in (True, False):
            assert ways.count(not lost) < (gate.required or len(ways)), gate.name


@pytest.mark.parametrize("name", builtin_names())
def test_leaks_are_sought_in_every_mode(name: str) -> None:
    profile = load(name)
    leaks = profile.gate_scenarios(profile.gates["thinking_leak"])
    modes = {(variant.stream, variant.thinking) for s in leaks for variant in s.variants}
    assert modes == {(stream, thinking) for stream in (True, False) for thinking in ("on", "off", "unset")}
    assert any(turn.expect.truncated for s in leaks for turn in s.turns)
    assert any(turn.tool_results for s in leaks for turn in s.turns)
    assert {"tags", "thinking"} <= {topic for s in leaks for turn in s.turns for topic in turn.expect.topic}
    assert any(len(s.history) > 8 for s in leaks)


def test_annies_tools_have_every_kind_of_argument() -> None:
    parameters = {name: tool["function"]["parameters"] for name, tool in load("annie").tools.items()}
    assert {"search_memory", "web_search"} < parameters.keys()
    assert len(parameters) >= 5
    every = [schema for tool in parameters.values() for schema in tool["properties"].values()]
    assert any(schema.get("type") == "object" for schema in every)
    assert any(schema.get("type") == "array" for schema in every)
    assert any("enum" in schema for schema in every)
    assert any(tool["properties"].keys() - set(tool.get("required", ())) for tool in parameters.values())
    assert any(not tool["properties"] for tool in parameters.values())
    assert all(tool["additionalProperties"] is False for tool in parameters.values())


@pytest.mark.parametrize("name", builtin_names())
def test_no_question_is_asked_twice(name: str) -> None:
    prompts = [re.sub(r"\W+", " ", turn.user.casefold()).strip() for s in load(name).scenarios for turn in s.turns]
    assert len(prompts) == len(set(prompts))


@pytest.mark.parametrize("name", builtin_names())
def test_a_shipped_example_calls_as_its_scenario_expects(name: str) -> None:
    """Argument by argument, so that a check which refuses its own example is named."""
    for scenario in load(name).scenarios:
        for turn in scenario.turns:
            calls = (turn.example or {}).get("tool_calls", [])
            for wanted, call in zip(turn.expect.calls or (), calls, strict=False):
                arguments = json.loads(call["function"]["arguments"])
                assert call["function"]["name"] == wanted.name, scenario.id
                for argument, check in wanted.arguments.items():
                    assert check_value(check, arguments.get(argument, MISSING)) is None, scenario.id


def test_a_short_profile_has_the_defaults(desk: Desk) -> None:
    profile = load(desk.path)
    assert (profile.name, profile.path) == ("desk", desk.path)
    assert profile.gates["facts"] == Gate("facts", ("knowledge",), ("facts",))
    assert profile.scenarios[0].turns[0].expect == Expect(answer=AnswerExpectation(any_of=("seven",)))
    assert profile.scenarios[0].variants == (Variant(True, "off", 1),)
    assert profile.scenarios[2].turns[0].then == Expect(calls=(), answer=AnswerExpectation(any_of=("booked",)))
    assert profile.scenarios[2].source.endswith("desk.jsonl:3")
    assert profile.tools["book_taxi"]["function"]["description"] == "Order a taxi."


def test_lists_make_variants_by_product(desk: Desk) -> None:
    desk.lines(lambda lines: lines[0].update(stream=[True, False], thinking=["on", "unset"], repeats=2))
    variants = load(desk.path).scenarios[0].variants
    ways = ["stream.on", "stream.on.2", "stream.unset", "stream.unset.2"]
    assert [variant.label for variant in variants] == [*ways, *(way.replace("stream", "unstreamed") for way in ways)]


def test_defaults_apply_where_a_scenario_does_not_say(desk: Desk) -> None:
    desk.toml(lambda text: text + '[defaults]\nstream = false\nthinking = "unset"\n')
    desk.lines(lambda lines: lines[1].update(thinking="on"))
    variants = [s.variants[0] for s in load(desk.path).scenarios]
    assert variants == [Variant(False, "unset"), Variant(False, "on"), Variant(False, "unset")]


def test_an_example_is_text_or_calls_or_a_message(desk: Desk) -> None:
    message = {"role": "assistant", "content": "One moment.", "tool_calls": None}
    del message["tool_calls"]

    def change(lines: list[dict[str, object]]) -> None:
        lines[0]["example"] = "At seven."
        lines[1]["example"] = message
        lines[2]["example"] = [{"name": "book_taxi", "arguments": {"time": "17:00"}}]

    desk.lines(change)
    first, second, third = (s.turns[0].example for s in load(desk.path).scenarios)
    assert first == {"role": "assistant", "content": "At seven."}
    assert second == message
    assert third is not None
    assert third["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "book_taxi", "arguments": '{"time": "17:00"}'}}
    ]


def test_tools_may_stand_in_a_file_of_openai_objects(desk: Desk) -> None:
    tools = """[{"type": "function", "function": {"name": "book_taxi", "description": "Order a taxi.",
                "parameters": {"type": "object", "properties": {"time": {"type": "string"}}}}}]"""
    (desk.directory / "tools.json").write_text(tools)
    desk.toml(
        lambda text: re.sub(r"\[tools.*?(?=\[gates)", "", text, flags=re.S).replace(
            "scenarios", 'tools = "tools.json"\nscenarios', 1
        )
    )
    assert list(load(desk.path).tools) == ["book_taxi"]


def test_the_digest_is_of_what_is_asked_and_judged(desk: Desk) -> None:
    before = load(desk.path).digest
    desk.toml(lambda text: "# a comment\n" + text + "\n[defaults]\nstream = true\n")
    desk.lines(lambda lines: lines[0].update(example="At seven."))
    assert load(desk.path).digest == before
    desk.lines(lambda lines: lines.reverse())
    assert load(desk.path).digest == before
    desk.lines(lambda lines: lines[0].update(prompt="When is breakfast"))
    assert load(desk.path).digest != before
    desk.lines(lambda lines: None)
    desk.toml(lambda text: text.replace("required = 1", "required = 1\nlower_bound = 0.04"))
    assert load(desk.path).digest != before


def test_the_digest_is_that_of_earlier_versions(desk: Desk) -> None:
    """Or stored runs could not be resumed nor judged again. Computed by the version of 2026-11-28."""
    stored = "1638dce631beb06791abdd3a3901dc6ebf66ae53a20c08db0c4dc1f81b695339"
    assert load(desk.path).digest == stored
    desk.toml(lambda text: text + "[speech]\nwords_per_minute = 120\n")
    assert load(desk.path).digest != stored


def test_the_example_of_the_readme_loads_in_twenty_lines() -> None:
    path = ROOT / "examples" / "concierge" / "concierge.toml"
    assert load(path).name == "concierge"
    assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 20


def test_a_profile_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("annie").name = "other"  # type: ignore[misc]


HEAVY = """
import sys
from annie_eval.profile.load import load
load(sys.argv[1])
print(sorted({"torch", "vllm", "openai", "markdown_it", "transformers", "hypothesis", "scipy"} & sys.modules.keys()))
"""


def test_loading_a_profile_imports_nothing_heavy() -> None:
    """Every pytest process pays it; benchmarks/start_up.py says how much."""
    done = subprocess.run([sys.executable, "-c", HEAVY, "annie"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_reference_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text()
    assert (ROOT / "examples" / "concierge" / "concierge.toml").read_text() in page
    lines = (ROOT / "examples" / "concierge" / "concierge.jsonl").read_text().splitlines()
    assert sum(line in page for line in lines) == 2


def test_the_reference_names_every_key() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text()
    keys: set[str] = set()

    def visit(schema: object) -> None:
        if isinstance(schema, dict):
            keys.update(schema.get("properties", {}))
            for value in schema.values():
                visit(value)

    for name in ("profile", "scenario"):
        visit(json.loads((ROOT / "annie_eval" / "profiles" / f"{name}.schema.json").read_text()))
    # OpenAI's own words, which are not ours to explain.
    keys -= {"role", "content", "tool_calls", "tool_call_id", "type", "function"}
    assert sorted(key for key in keys if not re.search(rf'[`."]{key}[`."\[]', page)) == []

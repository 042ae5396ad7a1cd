"""An example that fails its gate is refused before a server is started."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.errors import UsageError
from annie_eval.profile.load import builtin_names, load
from annie_eval.run.examples import check_examples

TOML = """
system_prompt = "You are a concierge."
scenarios = "desk.jsonl"
[tools.book_taxi]
description = "Order a taxi."
parameters.type = "object"
parameters.properties.time.type = "string"
parameters.required = ["time"]
[gates.facts]
detectors = ["knowledge"]
[gates.taxi]
detectors = ["tool_calls"]
[gates.plain]
detectors = ["markdown", "wire"]
categories = ["*"]
"""
FACT: dict[str, Any] = {
    "id": "fact-1",
    "category": "facts",
    "prompt": "When is breakfast?",
    "expect": {"answer": {"any_of": ["seven"]}},
    "example": "At seven.",
}
TAXI: dict[str, Any] = {
    "id": "taxi-1",
    "category": "taxi",
    "prompt": "A taxi for five please.",
    "expect": {"calls": [{"name": "book_taxi", "arguments": {"time": "17:00"}}]},
    "example": [{"name": "book_taxi", "arguments": {"time": "17:00"}}],
    "tool_results": {"book_taxi": {"ok": True}},
    "then": {"answer": {"any_of": ["booked"]}},
    "then_example": "It's booked.",
}


def desk(folder: Path, fact: dict[str, Any] | None = None, taxi: dict[str, Any] | None = None) -> Path:
    lines = [{**FACT, **(fact or {})}, {**TAXI, **(taxi or {})}]
    (folder / "desk.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "desk.toml").write_text(TOML)
    return folder / "desk.toml"


@pytest.mark.parametrize("name", builtin_names())
def test_the_examples_that_ship_keep_their_gates(name: str) -> None:
    check_examples(load(name))


def test_good_examples_and_none_are_sound(tmp_path: Path) -> None:
    check_examples(load(desk(tmp_path)))
    check_examples(load(desk(tmp_path, {"example": "At seven."}, {"then_example": "Booked."})))


@pytest.mark.parametrize(
    ("fact", "taxi", "expected"),
    [
        ({"example": "At eight."}, None, r"desk.jsonl:1: example fails gates.facts \(knowledge: does not state"),
        ({"example": "At **seven**."}, None, r"desk.jsonl:1: example fails gates.plain \(markdown: "),
        (
            None,
            {"example": "Right away."},
            r"desk.jsonl:2: example fails gates.taxi \(tool_calls: no call of book_taxi",
        ),
        (
            None,
            {"example": [{"name": "book_taxi", "arguments": {"time": "five"}}]},
            r"desk.jsonl:2: example fails gates.taxi \(tool_calls: argument time",
        ),
        (None, {"then_example": "- Done"}, r"desk.jsonl:2: then_example fails gates.plain \(markdown"),
    ],
)
def test_an_example_that_breaks_its_gate_is_one_line(
    fact: dict[str, Any] | None, taxi: dict[str, Any] | None, expected: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        check_examples(load(desk(tmp_path, fact, taxi)))
    message = str(caught.value)
    assert re.search(expected, message), message
    assert "\n" not in message
    assert "fix" in message


def test_the_command_line_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gates", str(desk(tmp_path, {"example": "At eight."}))]) == 2
    assert "desk.jsonl:1: example fails gates.facts" in capsys.readouterr().err

"""Fixtures of the profile tests: a small valid profile on disk, and ways to modify it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TOML = """
system_prompt = "You are a concierge."
scenarios = "desk.jsonl"

[tools.book_taxi]
description = "Order a taxi."
parameters.type = "object"
parameters.properties.time = { type = "string" }
parameters.properties.size = { enum = ["small", "large"] }
parameters.properties.guest = { type = "object", properties.room.type = "integer", additionalProperties = false }
parameters.required = ["time"]
parameters.additionalProperties = false

[gates.facts]
detectors = ["knowledge"]

[gates.taxi]
detectors = ["tool_calls"]
required = 1
"""
LINES: list[dict[str, Any]] = [
    {"id": "fact-1", "category": "facts", "prompt": "When is breakfast?", "expect": {"answer": {"any_of": ["seven"]}}},
    {"id": "fact-2", "category": "facts", "prompt": "Who are you?", "expect": {"answer": {"any_of": ["concierge"]}}},
    {
        "id": "taxi-1",
        "category": "taxi",
        "prompt": "A taxi for five please.",
        "expect": {"calls": [{"name": "book_taxi", "arguments": {"time": "17:00"}}]},
        "tool_results": {"book_taxi": {"ok": True}},
        "then": {"answer": {"any_of": ["booked"]}},
    },
]


class Desk:
    """Writes `desk.toml` and `desk.jsonl`; spoil either before loading."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "desk.toml"
        self.toml(lambda text: text)
        self.lines(lambda lines: None)

    def toml(self, change: Callable[[str], str]) -> Path:
        self.path.write_text(change(TOML), encoding="utf-8")
        return self.path

    def lines(self, change: Callable[[list[dict[str, Any]]], None]) -> Path:
        lines = json.loads(json.dumps(LINES))
        change(lines)
        return self.raw_lines("".join(json.dumps(line) + "\n" for line in lines))

    def raw_lines(self, text: str | bytes) -> Path:
        raw = text if isinstance(text, bytes) else text.encode()
        (self.directory / "desk.jsonl").write_bytes(raw)
        return self.path


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)

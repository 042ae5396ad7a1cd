"""The gate's detectors find nothing in the data sets, and their expectations separate right from wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from annie_data.expectation import expectation
from annie_data.words import words
from annie_eval.detectors import detect
from annie_eval.profile.load import load
from annie_eval.wire.messages import read_sample

DATA = Path(__file__).parents[3] / "data"
DETECTORS = ("thinking", "tool_calls", "restraint", "markdown", "brevity", "silence", "degeneration", "knowledge")
PROFILE = load("annie-smol")


def _lines(name: str, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()[:count]]


def _findings(line: dict[str, Any], messages: list[dict[str, Any]] | None = None) -> list[str]:
    """What the gate would find in the last replies, if they came from a server."""
    plain = [{k: v for k, v in one.items() if k != "weight"} for one in (messages or line["messages"])]
    asked = max(i for i, one in enumerate(line["messages"]) if one["role"] == "user")
    replies = [one for one in line["messages"][asked:] if one["role"] == "assistant"]
    expect = expectation(replies) | line["meta"].get("expect", {})
    sample, _ = read_sample(
        {"messages": plain, "thinking": line["meta"]["thinking"], "expect": expect}, PROFILE, "line"
    )
    return [f"{name}: {finding.reason}" for name in DETECTORS for finding in detect(name, sample)]


@pytest.mark.parametrize(("name", "count"), [("annie-430.jsonl", 430), ("annie-smol-4300.jsonl", 1200)])
def test_every_reply_passes_the_gate(name: str, count: int) -> None:
    found = {json.dumps(line["messages"][1:]): told for line in _lines(name, count) if (told := _findings(line))}
    assert found == {}


def test_another_question_s_answer_does_not_pass() -> None:
    lines = [
        line
        for line in _lines("annie-smol-4300.jsonl", 4300)
        if line["meta"]["kind"] in {"factual", "reasoning"} and "answer" in line["meta"].get("expect", {})
    ][:300]
    caught = total = 0
    for line, other in zip(lines, lines[1:] + lines[:1], strict=True):
        if line["meta"]["expect"] != other["meta"]["expect"]:
            total += 1
            caught += bool(_findings(line, [*line["messages"][:-1], other["messages"][-1]]))
    assert total > 200
    assert caught / total > 0.97, f"{caught} of {total}"


def test_another_call_does_not_pass() -> None:
    lines = [line for line in _lines("annie-smol-4300.jsonl", 1500) if line["meta"]["kind"] == "search_memory"][:150]
    caught = total = 0
    for line, other in zip(lines, lines[1:] + lines[:1], strict=True):
        mine, theirs = (one["messages"][2]["tool_calls"][0]["function"]["arguments"] for one in (line, other))
        if not set(words(json.loads(mine)["query"])) & set(words(json.loads(theirs)["query"])):
            total += 1
            call = {**line["messages"][2]["tool_calls"][0], "function": {"name": "search_memory", "arguments": theirs}}
            spoilt = {**line["messages"][2], "tool_calls": [call]}
            caught += bool(_findings(line, [*line["messages"][:2], spoilt, *line["messages"][3:]]))
    assert total > 50
    assert caught / total > 0.95, f"{caught} of {total}"

"""The fixture `ask` judges an answer as `annie-eval check` does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from annie_eval.cli.main import main
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.reader import Asker, Reader
from annie_eval.wire.sample import Answer, Exchange

QUESTION = "What time do you close today?"


def findings(content: str, **arguments: Any) -> set[tuple[str, str]]:
    """What `ask` finds in an answer, judged as by the sampler."""
    catalogue, asked = Catalogue(load("annie")), {}

    def keep(key: str, ask: Mapping[str, Any]) -> None:
        catalogue.add(key, ask)
        asked[key] = ask

    def judged(gate: str, key: str) -> Any:
        request = {"messages": [{"role": "user", "content": QUESTION}]}
        expect = catalogue[key][0].turns[0].expect
        answer = Answer(content=content, finish_reason="stop")
        sample = catalogue.sample(key, [Exchange(request, 200, (), b"", (), answer, expect, 0, 0)])
        names = tuple(name for name in asked[key]["detectors"] if name != "wire")  # there are no bytes
        return judge(Gate(gate, names, ()), sample)

    reader = SimpleNamespace(store=SimpleNamespace(ask=keep), judged=judged)
    found = Asker(cast(Reader, reader))(QUESTION, **arguments)
    return {(one.detector, one.reason) for one in found.findings}


@pytest.mark.parametrize("tools", [[], None], ids=["no tools", "all tools"])
@pytest.mark.parametrize(
    ("content", "detector"),
    [
        ("<tool>I need to look up the opening hours.</tool> We close at six today.", "dropped_calls"),
        ("We close at six today, see https://example.com/hours for more.", "speakable"),
        ("We close at six. " * 8, "brevity"),
        ("We close at six today.", None),
    ],
)
def test_ask_finds_what_check_finds(
    content: str, detector: str | None, tools: list[str] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": content}]}
    (tmp_path / "answers.jsonl").write_text(json.dumps(line) + "\n")
    status = main(["check", str(tmp_path / "answers.jsonl")])
    told = json.loads(capsys.readouterr().out)["findings"]
    assert status == (detector is not None)
    found = findings(content, tools=tools)
    assert found == {(one["detector"], one["reason"]) for one in told}
    assert {name for name, _ in found} >= ({detector} if detector else set())


def test_ask_reads_the_bytes_of_the_response_too() -> None:
    defaults = Asker.__call__.__kwdefaults__ or {}
    assert "wire" in defaults["detectors"]


def test_named_detectors_judge_alone() -> None:
    leak = "<tool>I need to look up the opening hours.</tool> We close at six today."
    assert {name for name, _ in findings(leak, tools=[], detectors=["dropped_calls"])} == {"dropped_calls"}

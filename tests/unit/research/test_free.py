"""Freely worded prompts and examples become valid, independent scenarios and conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from research.annie_smol.study import free, spoken

ROOT = Path(__file__).resolve().parents[3]
STUDY = ROOT / "research" / "annie_smol" / "study"


@pytest.mark.parametrize("directory", ["free", "free-dev"])
def test_every_prompt_is_a_scenario_of_annie_smol(directory: str, tmp_path: Path) -> None:
    lines = list(free.scenarios(STUDY / directory))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = (ROOT / "annie_eval/profiles/annie-smol.toml").read_text()
    text = text.replace("../scenarios/annie-smol.jsonl", "lines.jsonl")
    (tmp_path / "free.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith(("samples =", "required =")))
    )
    assert len(load(tmp_path / "free.toml").scenarios) == len(lines)


def test_a_wanted_query_is_every_word_in_any_of_its_forms() -> None:
    wanted = free.scenario("tool_calling", 1, "Rain in Oslo?", "web_search", "weather/rain+oslo")["expect"]["calls"]
    ways = [{"contains": ["weather", "oslo"]}, {"contains": ["rain", "oslo"]}]
    assert wanted == [{"name": "web_search", "arguments": {"query": {"any_of": ways}}}]
    timer = free.scenario("tool_calling", 1, "Nine minutes!", "set_timer", "9")["expect"]["calls"]
    assert timer == [{"name": "set_timer", "arguments": {"minutes": 9}}]


@pytest.mark.parametrize(("module", "columns"), [(free, free.COLUMNS), (spoken, spoken.COLUMNS)])
def test_a_line_without_a_column_is_named(module: Any, columns: dict[str, int], tmp_path: Path) -> None:
    for name, count in columns.items():
        (tmp_path / f"{name}.tsv").write_text("\t".join(["7"] * count) + "\n")
    read = free.scenarios if module is free else spoken.lines
    assert len(list(read(tmp_path))) == len(columns)
    last = list(columns)[-1]
    (tmp_path / f"{last}.tsv").write_text("one\ttwo\tthree\tfour\tfive\n")
    with pytest.raises(SystemExit, match=rf"{last}.tsv:1: 5 columns"):
        list(read(tmp_path))
    (tmp_path / f"{last}.tsv").unlink()
    with pytest.raises(SystemExit, match=f"{last}.tsv: is missing"):
        list(read(tmp_path))


def test_what_is_taught_is_sound_and_asks_nothing_that_is_judged() -> None:
    from annie_data.conversation import users
    from annie_data.overlap import Overlap
    from annie_data.scenario_prompts import Prompt, prompts, scenario_files

    taught = list(spoken.lines(ROOT / "data" / "spoken"))
    overlap = Overlap([Prompt(one.scenario, one.text, one.asked) for one in prompts(scenario_files([]))])
    assert [text for line in taught for text in users(line["messages"]) if overlap.find(text)] == []


def test_what_is_taught_passes_validate(tmp_path: Path) -> None:
    from annie_data import cli

    (tmp_path / "spoken.jsonl").write_text(spoken.text(ROOT / "data" / "spoken"))
    assert cli.main(["validate", str(tmp_path / "spoken.jsonl")]) == 0

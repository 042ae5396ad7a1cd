"""`make demo`: its prompts are held out, its profile is the gate of annie-smol, its table is correct."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annie_data.conversation import read_lines, users
from annie_data.overlap import Overlap
from annie_data.scenario_prompts import Prompt, prompts, scenario_files
from annie_eval.profile.load import load
from annie_eval.stats.binomial import clopper_pearson
from research.annie_smol.demo import __main__ as demo

DATA = demo.ROOT / "data"


def test_the_profile_is_the_tool_gate_of_annie_smol_over_the_prompts_beside_it(tmp_path: Path) -> None:
    made, shipped = load(str(demo.profile(tmp_path))), load("annie-smol")
    (gate,) = made.gates.values()
    known = shipped.gates[demo.GATE]
    assert (gate.name, gate.detectors) == (known.name, known.detectors)
    samples = len(list(made.gate_scenarios(gate)))
    assert (samples, gate.required) == (60, 36)
    assert known.required is not None
    assert gate.required / samples == known.required / len(list(shipped.gate_scenarios(known)))
    assert (made.system_prompt, made.tools, made.sampling) == (shipped.system_prompt, shipped.tools, shipped.sampling)


@pytest.mark.parametrize("name", ["annie-430.jsonl", "annie-smol-4300.jsonl"])
def test_no_prompt_is_near_to_a_training_line_or_a_scenario(name: str) -> None:
    texts = [one.text for one in prompts(scenario_files([]))]
    texts += [
        prompt for one in read_lines(DATA / name) if one.line is not None for prompt in users(one.line["messages"])
    ]
    overlap = Overlap([Prompt("training", text, True) for text in dict.fromkeys(texts)])
    asked = [json.loads(line)["prompt"] for line in demo.PROMPTS.read_text(encoding="utf-8").splitlines()]
    assert len(set(asked)) == 60
    assert [text for text in asked if overlap.find(text)] == []
    assert overlap.find(texts[0])


def row(name: str, missed: range) -> demo.Row:
    samples = {f"s-{i}": i not in missed for i in range(60)}
    passed = sum(samples.values())
    verdict = "PASS" if passed >= 36 else "FAIL"
    return demo.Row(name, verdict, passed, 60, 36, clopper_pearson(passed, 60), samples)


def test_the_picture_has_counts_intervals_and_what_the_pairs_say() -> None:
    shown = "\n".join(demo.picture([row("BF16", range(2)), row("PTQ", range(28)), row("QAT", range(1, 4))]))
    assert "BF16  [" in shown
    assert "58/60  PASS" in shown
    assert "32/60  FAIL" in shown
    assert "PTQ: 26 prompts worse and 0 better than BF16, more than chance shows" in shown
    assert "QAT: 2 prompts worse and 1 better than BF16, no more than chance shows" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_bars_stand_where_the_numbers_are() -> None:
    bar = demo._bar(row("x", range(60)), 0.6)
    assert bar.index("o") == 1
    assert bar.index("|") == 1 + 24
    assert demo._bar(row("x", range(0)), 0.6).rstrip("]").endswith("o")

"""The held-out profile loads, is judged right, and none of its prompts is near to a training prompt."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annie_data.conversation import read_lines, users
from annie_data.overlap import Overlap
from annie_data.scenario_prompts import Prompt
from annie_eval.profile.load import load

ROOT = Path(__file__).parents[3]
SAMPLES = 40


def _made(training: Path, out: Path, seed: int, samples: int) -> subprocess.CompletedProcess[str]:
    words = ["--training", str(training), "--seed", str(seed), "--samples", str(samples), "--out", str(out)]
    command = [sys.executable, "-m", "research.annie_smol.study.heldout_profile", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heldout") / "training.jsonl"
    lines = (ROOT / "data" / "annie-smol-4300.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:600]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def heldout(training: Path) -> Path:
    made = _made(training, training.parent, 3, SAMPLES)
    assert made.returncode == 0, made.stderr
    return training.parent


def test_a_held_out_profile_is_far_from_what_was_trained_on(training: Path, heldout: Path) -> None:
    profile = load(heldout / "annie-smol-heldout.toml")
    counts = {len(profile.gate_scenarios(gate)) for gate in profile.gates.values() if not gate.every_sample}
    assert counts == {SAMPLES}
    trained = [text for one in read_lines(training) if one.line for text in users(one.line["messages"])]
    overlap = Overlap([Prompt("training", text, True) for text in trained])
    assert [one.id for one in profile.scenarios if overlap.find(one.turns[0].user)] == []


def test_a_second_set_repeats_nothing_of_the_first(training: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "research.annie_smol.study.heldout_profile", "--training", str(training)]
    command += ["--seed", "3", "--samples", "6", "--second-seed", "4", "--second-samples", "5", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    profile = load(tmp_path / "annie-smol-heldout.toml")
    first, second = (
        [one.turns[0].user for one in profile.scenarios if one.id.startswith("new-") is new] for new in (False, True)
    )
    assert len(first) == 7 * 6
    assert len(second) == 7 * 5
    assert not {text.lower() for text in first} & {text.lower() for text in second}
    every = profile.gates["speakable"]
    assert every.required == math.ceil(77 * 75 / 85)


def _sample(line: dict[str, Any], example: Any) -> dict[str, Any]:
    """A scenario answered as its example says, as `annie-eval check` reads it."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": line["prompt"]}]
    if isinstance(example, str):
        messages.append({"role": "assistant", "content": example})
    else:
        function = {"name": example[0]["name"], "arguments": json.dumps(example[0]["arguments"])}
        calls = [{"id": "1", "type": "function", "function": function}]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages.append({"role": "tool", "tool_call_id": "1", "content": next(iter(line["tool_results"].values()))})
        messages.append({"role": "assistant", "content": line.get("then_example", "It is done.")})
    # A good reply in thinking mode has a thought, which a scenario's example leaves out.
    return {"id": line["id"], "messages": messages, "thinking": "off", "expect": line.get("expect", {})}


def _judged(samples: list[dict[str, Any]]) -> dict[str, list[Any]]:
    program = Path(sys.executable).parent / "annie-eval"
    given = "".join(json.dumps(sample) + "\n" for sample in samples)
    ended = subprocess.run(
        [program, "check", "--profile", "annie-smol"], input=given, capture_output=True, text=True, check=False
    )
    assert ended.returncode in {0, 1}, ended.stderr
    return {result["id"]: result["findings"] for result in map(json.loads, ended.stdout.splitlines())}


def test_each_own_answer_is_right_and_another_s_is_not(heldout: Path) -> None:
    text = (heldout / "annie-smol-heldout.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert {
        name: found for name, found in _judged([_sample(line, line["example"]) for line in lines]).items() if found
    } == {}
    known = [line for line in lines if line["category"] in {"factual", "reasoning"}]
    wrong = [
        _sample(line, other["example"])
        for line, other in zip(known, known[1:] + known[:1], strict=True)
        if line["expect"] != other["expect"]
    ]
    missed = [name for name, found in _judged(wrong).items() if not found]
    assert len(missed) <= 0.03 * len(wrong), missed


def test_a_comparison_the_wrong_way_round_is_no_right_answer() -> None:
    from random import Random

    from research.annie_smol.generator import reasoning

    samples = []
    for number in range(60):
        exchange = reasoning.comparison(Random(number))
        reply = exchange.reply.removeprefix("Yes, ").removeprefix("No, ").rstrip(".")
        more, word, less = reply.partition(f" is {reply.split(' than ')[0].split()[-1]} than ")
        turned = f"{less}{word}{more}."
        messages = [{"role": "user", "content": exchange.user}, {"role": "assistant", "content": turned.capitalize()}]
        samples.append({"id": str(number), "messages": messages, "thinking": "off", "expect": exchange.expect})
    assert [name for name, found in _judged(samples).items() if not found] == []


def test_a_seed_of_the_training_data_is_refused(training: Path, tmp_path: Path) -> None:
    made = _made(training, tmp_path / "x", 4300, 5)
    assert made.returncode == 1
    assert "training.jsonl:1: was made with seed 4300" in made.stderr
    assert made.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()

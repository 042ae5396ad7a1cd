"""The held-out profile loads, and none of its prompts is near to a training prompt."""

import subprocess
import sys
from pathlib import Path

from annie_eval.profile import load
from quant.data.conversation import read_lines, users
from quant.data.overlap import Overlap
from quant.data.profile_files import Prompt

ROOT = Path(__file__).parents[3]


def test_a_held_out_profile_is_far_from_what_was_trained_on(tmp_path: Path) -> None:
    training = tmp_path / "training.jsonl"
    lines = (ROOT / "data" / "annie-smol-4300.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    training.write_text("".join(lines[:600]), encoding="utf-8")
    words = ["--training", str(training), "--seed", "3", "--samples", "20", "--out", str(tmp_path)]
    subprocess.run([sys.executable, ROOT / "benchmarks" / "heldout_profile.py", *words], check=True)
    profile = load(tmp_path / "annie-smol-heldout.toml")
    assert {len(profile.gate_scenarios(gate)) for name, gate in profile.gates.items() if name != "wire_integrity"} == {
        20
    }
    trained = [text for one in read_lines(training) if one.line for text in users(one.line["messages"])]
    overlap = Overlap([Prompt("training", text, True) for text in trained])
    assert [one.id for one in profile.scenarios if overlap.find(one.turns[0].user)] == []

"""Real vLLM: SmolLM2 in BF16, blessed, is not worse than itself; quantised without training it is, and by name.

A profile of thirty capitals, which the untuned model mostly knows and its PTQ checkpoint mostly does not: small enough
for two cores, and enough for the exact test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "smollm2-135m-instruct-bf16"
SERVER_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not built: make model"),
    pytest.mark.skipif(not SERVER_PYTHON.exists(), reason="the server's environment is not there: make server"),
]

CAPITALS = {
    "France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Spain": "Madrid", "Germany": "Berlin", "Russia": "Moscow",
    "China": "Beijing", "Egypt": "Cairo", "Greece": "Athens", "Ireland": "Dublin", "Portugal": "Lisbon",
    "Austria": "Vienna", "Poland": "Warsaw", "Sweden": "Stockholm", "Norway": "Oslo", "Denmark": "Copenhagen",
    "Finland": "Helsinki", "Hungary": "Budapest", "Cuba": "Havana", "Peru": "Lima", "Kenya": "Nairobi",
    "Turkey": "Ankara", "Canada": "Ottawa", "Belgium": "Brussels", "India": "New Delhi", "Thailand": "Bangkok",
    "Argentina": "Buenos Aires", "Chile": "Santiago", "Iraq": "Baghdad", "Iran": "Tehran",
}  # fmt: skip
PROFILE = """
system_prompt = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
scenarios = "capitals.jsonl"
[sampling]
max_tokens = 16
[traffic]
concurrency = 16
request_timeout = 600
[gates.factual]
detectors = ["knowledge"]
categories = ["capital"]
required = 15
[gates.wire_integrity]
detectors = ["wire"]
categories = ["*"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("regression")
    scenarios = [
        {
            "id": f"capital-{country.lower()}",
            "category": "capital",
            "prompt": f"What is the capital of {country}?",
            "tools": [],
            "expect": {"answer": {"any_of": [capital]}},
        }
        for country, capital in CAPITALS.items()
    ]
    (made / "capitals.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scenarios))
    (made / "capitals.toml").write_text(PROFILE)
    return made


def judged(folder: Path, name: str, model: Path, *more: object) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output and verdict.json of the gate on a model that it serves itself."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["--model-dir", str(model), "--profile", str(folder / "capitals.toml"), "--run-dir", str(folder / name)]
    done = subprocess.run(
        [*command, *map(str, more)], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )
    written = folder / name / "verdict.json"
    assert written.exists(), done.stdout[-3000:] + done.stderr[-3000:]
    return done.returncode, done.stdout, json.loads(written.read_text())


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Path:
    _, output, verdict = judged(folder, "bf16", MODEL)
    assert verdict["errors"] == [], output[-3000:]
    command = [sys.executable, "-m", "annie_eval.cli", "bless", str(folder / "bf16"), "--as", "bf16"]
    subprocess.run([*command, "--baselines", str(folder / "baselines")], cwd=ROOT, check=True, timeout=60)
    return folder / "baselines" / "bf16"


def test_the_blessed_model_is_not_worse_than_itself(folder: Path, baseline: Path) -> None:
    _, output, verdict = judged(folder, "again", MODEL, "--baseline", baseline)
    found = verdict["regression"]
    assert found["verdict"] in ("PASS", "INCONCLUSIVE"), output[-3000:]
    assert found["changed"] == []
    assert "nothing known of the server changed" in found["headline"]


def test_the_ptq_checkpoint_fails_with_gate_and_samples_named(folder: Path, baseline: Path) -> None:
    system = PROFILE.splitlines()[1].partition(" = ")[2].strip('"')
    conversations = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"What is the capital of {country}?"},
                {"role": "assistant", "content": f"The capital of {country} is {capital}."},
            ]
        }
        for country, capital in CAPITALS.items()
    ]
    (folder / "calib.jsonl").write_text("".join(json.dumps(each) + "\n" for each in conversations))
    quantise = [sys.executable, "-m", "quant", "ptq", "--model", str(MODEL), "--recipe", "nvfp4-default"]
    subprocess.run(
        [*quantise, "--calib", str(folder / "calib.jsonl"), "--out", str(folder / "ptq")],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=600,
    )
    status, output, verdict = judged(folder, "quantised", folder / "ptq", "--baseline", baseline)
    found = verdict["regression"]
    assert status == 1
    assert found["verdict"] == "FAIL", found["headline"]
    first = output[output.index("regression: ") :].splitlines()[0]
    assert "the quantisation changed (none -> NVFP4)" in first
    assert "worse: factual" in first
    worse = [change for change in found["changes"] if change["direction"] == "worse"]
    assert len(worse) >= 5
    assert all(change["before"] and change["now"] for change in worse)
    assert f"worse: factual {min(change['sample'] for change in worse)}" in output

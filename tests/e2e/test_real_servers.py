"""The gate against a real server with a real model: vLLM, started by the gate.

Slow by nature: SmolLM2-135M on two cores. One run, of annie-smol with fewer samples, is shared by most tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.profiles import text_of

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "smollm2-135m-instruct-bf16"
SCENARIOS = ROOT / "annie_eval" / "scenarios" / "annie-smol.jsonl"
SERVER_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not built: make model"),
    pytest.mark.skipif(not SERVER_PYTHON.exists(), reason="the server's environment is not there: make server"),
]


def rows(run_dir: Path, query: str) -> list[Any]:
    """What a run's store says, read without making it."""
    with contextlib.closing(sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True, timeout=10)) as store:
        return list(store.execute(query))


def gate(*arguments: object, run_dir: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", str(run_dir)]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False
    )


def servers_of(run_dir: Path) -> list[psutil.Process]:
    """Processes whose command line, or an ancestor's, names this run's directory or that run's served name."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(run_dir) in line or str(run_dir) in str((process.info["environ"] or {}).get("ANNIE_EVAL_RUN_DIR")):
            found.append(process)
    return found


# Samples of each gate, and how many of them must pass.
FEWER = {
    "thinking_leak": (6, 6), "tool_calling": (5, 3), "no_markdown": (4, 3), "brevity": (4, 3), "restraint": (4, 3),
}  # fmt: skip


@pytest.fixture(scope="module")
def vllm_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    directory = tmp_path_factory.mktemp("vllm")
    text = text_of("annie-smol")
    for name, (samples, required) in FEWER.items():
        table = rf"(\[gates\.{name}\]\n.*\n)samples = \d+(\nrequired = \d+)?"
        text, found = re.subn(table, rf"\1samples = {samples}\nrequired = {required}", text)
        assert found == 1
    kept: dict[str, list[str]] = {}
    for line in SCENARIOS.read_text().splitlines():
        scenario = json.loads(line)
        if isinstance(scenario["stream"], bool):
            kept.setdefault(scenario["category"], []).append(line)
    fewer = [line for name, lines in kept.items() for line in lines[: FEWER.get(name, (len(lines),))[0]]]
    (directory / "fewer.jsonl").write_text("".join(f"{line}\n" for line in fewer))
    profile = directory / "annie-smol-fewer.toml"
    text = re.sub(r'^scenarios = ".*"', 'scenarios = "fewer.jsonl"', text, flags=re.MULTILINE)
    profile.write_text(text.replace("required = 75", "required = 25"))
    return gate("--model-dir", MODEL, "--profile", profile, "-n", "2", run_dir=directory / "run"), directory / "run"


def read(run_dir: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run_dir / "verdict.json").read_text())
    return loaded


def test_untuned_model_fails_honestly_with_every_sample_judged(
    vllm_run: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, run_dir = vllm_run
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    verdict = read(run_dir)
    assert verdict["verdict"] == "FAIL"
    assert verdict["errors"] == []
    gates = {gate["name"]: gate for gate in verdict["gates"]}
    assert gates["thinking_leak"]["n"] == 6
    assert gates["tool_calling"]["n"] == 5
    assert gates["tool_calling"]["verdict"] == "FAIL"
    assert gates["wire_integrity"]["verdict"] == "PASS", gates["wire_integrity"]["findings"]


def test_fingerprint_names_what_was_served(vllm_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    fingerprint = json.dumps(read(vllm_run[1])["fingerprint"])
    assert "0.32.0" in fingerprint
    assert "hermes" in fingerprint


def test_no_server_process_is_left(vllm_run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    assert servers_of(vllm_run[1]) == []


def test_killed_gate_leaves_no_server_and_resumes(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    options = ["--model-dir", MODEL, "--profile", "annie-smol", "-k", "factual", "--concurrency", "1"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", str(run_dir)]
    process = subprocess.Popen([*command, *map(str, options)], cwd=ROOT, stdout=subprocess.DEVNULL)
    answered = 0
    deadline = time.monotonic() + 300
    while answered == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(sqlite3.OperationalError):  # not there yet
            answered = rows(run_dir, "SELECT COUNT(*) FROM sample")[0][0]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert answered
    done = gate(*options, "--resume", run_dir=run_dir)
    assert "verdict:" in done.stdout, done.stdout + done.stderr
    verdict = read(run_dir)
    assert verdict["errors"] == []
    with sqlite3.connect(run_dir / "run.sqlite") as store:
        sent, keys = store.execute("SELECT COUNT(*), COUNT(DISTINCT key) FROM exchange").fetchone()
    assert sent == keys == 5
    assert servers_of(run_dir) == []

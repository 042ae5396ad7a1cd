"""End to end: with `--fail-fast` remaining samples are skipped, and a resume runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]


def gate(url: str, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    base = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--base-url", url]
    return subprocess.run(
        [*base, "--run-dir", str(run_dir), "--concurrency", "2", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def read(run_dir: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_dir / "verdict.json").read_text())
    return found


@pytest.mark.parametrize("mode", [["-n", "2"], ["-p", "no:xdist"]], ids=" ".join)
def test_the_run_ends_on_a_failed_gate_and_a_resume_asks_the_rest(mode: list[str], tmp_path: Path) -> None:
    server = FaultServer(load("annie"), "markdown-bold", latency=20)
    with server as url:
        done = gate(url, tmp_path / "r", "--fail-fast", *mode)
        first, verdict = server.received, read(tmp_path / "r")
        assert done.returncode == 1, done.stdout + done.stderr
        gates = {each["name"]: each["verdict"] for each in verdict["gates"]}
        assert gates["no_markdown"] == "FAIL"
        assert set(gates.values()) <= {"FAIL", "INCONCLUSIVE", "PASS"}
        assert gates["wire_integrity"] == "INCONCLUSIVE"  # it judges every sample
        assert verdict["selection"]["unanswered"] > 0
        assert " skipped" in done.stdout
        # 10 where the answer that was in flight beside the fourth miss is a miss, too.
        assert re.search("ended early: no_markdown can no longer pass: at best 1[01]/15, needs 12", done.stdout)
        assert f"the same command with --run-dir {tmp_path / 'r'} --resume asks for the rest" in done.stdout
        resumed = gate(url, tmp_path / "r", "--resume", *mode)
    assert resumed.returncode == 1
    verdict = read(tmp_path / "r")
    assert "ended" not in verdict["selection"]
    assert {each["name"]: each["n"] for each in verdict["gates"]}["wire_integrity"] == 85
    assert first < server.received


def test_a_good_model_is_asked_everything(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        done = gate(url, tmp_path / "r", "--fail-fast", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["name"]: each["n"] for each in read(tmp_path / "r")["gates"]}["wire_integrity"] == 85
    assert "ended early" not in done.stdout

"""End to end: `--repeats` and `--until-decided`, killed and resumed, with and without workers."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]


def command(url: str, run_dir: Path, *arguments: str) -> list[str]:
    base = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--base-url", url, "--run-dir", str(run_dir)]
    return [*base, *arguments]


def gate(url: str, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(url, run_dir, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def gates(run_dir: Path) -> dict[str, Any]:
    verdict = json.loads((run_dir / "verdict.json").read_text())
    return {each["name"]: each for each in verdict["gates"]}


def sent(run_dir: Path) -> tuple[int, int]:
    """Exchanges, and first exchanges of different samples."""
    with contextlib.closing(sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True)) as store:
        found: tuple[int, int] = store.execute(
            "SELECT COUNT(*), COUNT(DISTINCT key || '/' || n) FROM exchange"
        ).fetchone()
    return found


@pytest.mark.parametrize("mode", [["-n", "4"], ["-p", "no:xdist"]], ids=" ".join)
def test_repeats_are_further_samples_and_count(mode: list[str], tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        done = gate(url, tmp_path / "r", "--repeats", "3", *mode)
    assert done.returncode == 0, done.stdout + done.stderr
    found = gates(tmp_path / "r")
    assert found["tool_calling"]["n"] == 30
    assert found["tool_calling"]["required"] == 18
    assert found["tool_calling"]["repeats"]["pass_hat_k"]["3"] == 1.0
    assert found["wire_integrity"]["n"] == 3 * 85
    assert "repeats: no_markdown: 45/45 in 15 scenarios, pass^3 100%; 3 repeats of each, as asked" in done.stdout


@pytest.mark.parametrize("mode", [["-n", "4"], ["-p", "no:xdist"]], ids=" ".join)
def test_a_coin_at_a_gate_of_12_of_15_is_decided_and_the_rest_is_spared(mode: list[str], tmp_path: Path) -> None:
    with FaultServer(load("annie"), "markdown-coin") as url:
        done = gate(url, tmp_path / "r", "--until-decided", *mode)
    assert done.returncode == 1, done.stdout + done.stderr
    found = gates(tmp_path / "r")
    markdown = found["no_markdown"]
    assert (markdown["verdict"], markdown["repeats"]["stopped"]) == ("FAIL", "decided")
    assert markdown["n"] < 20 * 15 / 2
    assert markdown["interval"][1] < 0.8
    assert found["thinking_leak"]["n"] == 25  # no miss, none allowed: nothing to ask again
    assert found["wire_integrity"]["n"] == 85 + sum(
        each["n"] - each["n"] // each["repeats"]["rounds"] for name, each in found.items() if name != "wire_integrity"
    )
    assert "lies below 80%" in done.stdout
    assert sent(tmp_path / "r")[0] == sent(tmp_path / "r")[1]


def test_misses_of_repeats_are_tolerated_as_one_test(tmp_path: Path) -> None:
    """A test is a sample with all its repeats: its id does not depend on how many were asked."""
    with FaultServer(load("annie"), "markdown-coin") as url:
        done = gate(url, tmp_path / "r", "--repeats", "4", "-k", "no_markdown", "-rfx", "--tb=short")
    assert done.returncode == 1
    assert gates(tmp_path / "r")["no_markdown"]["n"] == 60
    assert "15 failed" in done.stdout or "14 failed" in done.stdout, done.stdout


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with FaultServer(load("annie"), "markdown-coin", latency=150) as url:
        options = ["--until-decided", "--concurrency", "4", "-k", "no_markdown or restraint"]
        first = subprocess.Popen(command(url, tmp_path / "r", *options), cwd=ROOT, stdout=subprocess.DEVNULL)
        answered, deadline = 0, time.monotonic() + 60
        while answered < 28 and time.monotonic() < deadline:  # in the second round
            time.sleep(0.05)
            with contextlib.suppress(sqlite3.OperationalError):
                answered = sent(tmp_path / "r")[0]
        first.send_signal(signal.SIGKILL)
        first.wait()
        before = sent(tmp_path / "r")[0]
        done = gate(url, tmp_path / "r", *options, "--resume")
        whole = gate(url, tmp_path / "whole", *options)
    assert before >= 28
    assert done.returncode == whole.returncode == 1, done.stdout + done.stderr
    exchanges, different = sent(tmp_path / "r")
    assert exchanges == different == sent(tmp_path / "whole")[0]
    resumed, uncut = gates(tmp_path / "r"), gates(tmp_path / "whole")
    for name in uncut:
        assert {key: resumed[name][key] for key in ("verdict", "passed", "n", "repeats")} == {
            key: uncut[name][key] for key in ("verdict", "passed", "n", "repeats")
        }


def test_more_repeats_may_be_asked_of_a_finished_run(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        gate(url, tmp_path / "r", "--repeats", "2", "-k", "factual")
        gate(url, tmp_path / "r", "--repeats", "5", "-k", "factual", "--resume")
    assert sent(tmp_path / "r") == (25, 25)
    assert gates(tmp_path / "r")["factual"]["n"] == 25


def test_a_part_of_a_gate_is_not_asked_again(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        done = gate(url, tmp_path / "r", "--until-decided", "-k", "restraint-01")
    assert done.returncode == 1
    assert gates(tmp_path / "r")["restraint"]["verdict"] == "INCONCLUSIVE"
    assert sent(tmp_path / "r")[0] == 1


def test_a_server_that_breaks_ends_the_rounds(tmp_path: Path) -> None:
    with FaultServer(load("annie"), "http-500") as url:
        done = gate(url, tmp_path / "r", "--until-decided", "-k", "factual", "--concurrency", "32")
    assert done.returncode == 1
    assert gates(tmp_path / "r")["factual"]["verdict"] == "ERROR"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--repeats", "0"], "--repeats 0: must be at least 1"),
        (["--until-decided", "--repeats", "1"], "--repeats 1: must be at least 2 with --until-decided"),
    ],
)
def test_bad_numbers_are_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = gate("http://127.0.0.1:9/v1", tmp_path / "r", *arguments)
    assert done.returncode == 4
    assert done.stderr.strip().splitlines() == [f"ERROR: {says}"]

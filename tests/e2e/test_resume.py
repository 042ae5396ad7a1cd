"""End to end: no run mixes two models: `--resume` continues only with the same server."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]


def command(url: str, run_dir: Path, *arguments: str) -> list[str]:
    base = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-q",
        "--base-url",
        url,
        "--run-dir",
        str(run_dir),
    ]
    return [*base, *arguments]


def gate(url: str, run_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(url, run_dir, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def killed_at(samples: int, url: str, run_dir: Path) -> None:
    """A run that was killed when so many samples had been answered."""
    process = subprocess.Popen(command(url, run_dir, "--concurrency", "4"), cwd=ROOT, stdout=subprocess.DEVNULL)
    answered, end = 0, time.monotonic() + 60
    while answered < samples and time.monotonic() < end:
        time.sleep(0.02)
        with contextlib.suppress(sqlite3.OperationalError):
            answered = count(run_dir)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert answered >= samples


def count(run_dir: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True)) as store:
        return int(store.execute("SELECT COUNT(*) FROM sample").fetchone()[0])


def keys(run_dir: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True)) as store:
        return [key for (key,) in store.execute("SELECT key FROM sample")]


def verdict(run_dir: Path) -> str:
    return str(json.loads((run_dir / "verdict.json").read_text())["verdict"])


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of a refusal."""
    assert done.returncode == 4, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("fault", ["leak-lone-close", "markdown-bold"])
def test_another_model_behind_the_same_name_does_not_finish_a_run(fault: str, tmp_path: Path) -> None:
    with (first := FaultServer(load("annie"))) as url:
        assert gate(url, tmp_path / "r").returncode == 0
    before = (tmp_path / "r" / "verdict.json").read_bytes()
    with FaultServer(load("annie"), fault, port=first.port) as url:
        line = refused(gate(url, tmp_path / "r", "--resume"))
    assert "another model or server than the run began with: asked again" in line
    assert (tmp_path / "r" / "verdict.json").read_bytes() == before
    shown = subprocess.run(
        [sys.executable, "-m", "annie_eval.cli", "show", str(tmp_path / "r")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PASS" in shown.stdout, "a refused resume leaves the run as it was"


def test_another_model_does_not_go_on_with_a_killed_run(tmp_path: Path) -> None:
    with (first := FaultServer(load("annie"), latency=100)) as url:
        killed_at(40, url, tmp_path / "r")
    with FaultServer(load("annie"), "leak-lone-close", port=first.port) as url:
        assert "asked again" in refused(gate(url, tmp_path / "r", "--resume"))


def test_the_same_model_goes_on_with_a_killed_run_even_if_it_was_started_again(tmp_path: Path) -> None:
    with (first := FaultServer(load("annie"), latency=100)) as url:
        killed_at(20, url, tmp_path / "r")
        before = count(tmp_path / "r")
    with (second := FaultServer(load("annie"), port=first.port)) as url:
        done = gate(url, tmp_path / "r", "--resume", "-n", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert before < count(tmp_path / "r") == 85
    assert verdict(tmp_path / "r") == "PASS"
    # State probes never send the same twice.
    samples = [{label for label in server.answered if not label.startswith("other#")} for server in (first, second)]
    assert samples[0] <= samples[1], "every answer of the run is also this server's"


def test_the_same_process_goes_on_with_a_killed_run_and_is_asked_nothing_twice(tmp_path: Path) -> None:
    with (clean := FaultServer(load("annie"))) as url:
        assert gate(url, tmp_path / "whole").returncode == 0
    with (server := FaultServer(load("annie"), latency=100)) as url:
        killed_at(20, url, tmp_path / "r")
        server.latency = 0
        assert gate(url, tmp_path / "r", "--resume").returncode == 0
    assert verdict(tmp_path / "r") == "PASS"
    in_flight = 4  # when it was killed
    assert clean.received <= server.received <= clean.received + in_flight


def test_a_model_that_differs_only_in_what_was_not_answered_yet_gets_its_own_verdict(tmp_path: Path) -> None:
    """It agrees with every answer of the run, so that the run is as if it had been asked everything."""
    with (first := FaultServer(load("annie"), latency=100)) as url:
        killed_at(20, url, tmp_path / "r")
        answered = {key.split(".")[0] for key in keys(tmp_path / "r")}
    other = FaultServer(load("annie"), "leak-lone-close", port=first.port)
    assert other._prey is not None
    other._prey -= answered
    assert other._prey
    with other as url:
        done = gate(url, tmp_path / "r", "--resume")
    assert done.returncode == 1, done.stdout + done.stderr
    assert verdict(tmp_path / "r") == "FAIL"


def test_a_model_that_differs_in_one_answer_does_not_finish_a_run(tmp_path: Path) -> None:
    with (first := FaultServer(load("annie"))) as url:
        assert gate(url, tmp_path / "r").returncode == 0
    other = FaultServer(load("annie"), "leak-lone-close", port=first.port)
    assert other._prey is not None
    other._prey = {min(other._prey)}
    with other as url:
        assert "asked again, " in refused(gate(url, tmp_path / "r", "--resume"))


def test_a_server_that_breaks_when_asked_again_does_not_finish_a_run(tmp_path: Path) -> None:
    with (first := FaultServer(load("annie"), latency=100)) as url:
        killed_at(20, url, tmp_path / "r")
    with FaultServer(load("annie"), "http-500", port=first.port) as url:
        assert "breaks (" in refused(gate(url, tmp_path / "r", "--resume"))


def test_a_run_that_does_not_say_which_server_answered_is_not_resumed(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        gate(url, tmp_path / "r", "-k", "solved")
        with contextlib.closing(sqlite3.connect(tmp_path / "r" / "run.sqlite", isolation_level=None)) as store:
            store.execute("DELETE FROM meta WHERE key IN ('fingerprint', 'instance')")
        assert "does not say which server gave its answers" in refused(gate(url, tmp_path / "r", "--resume"))

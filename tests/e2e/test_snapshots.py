"""End to end: snapshots are recorded, compared, updated with xdist, and unused ones are reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = len(load("annie").scenarios)
WORKERS = pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "xdist"])


def run(url: str, folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--base-url", url),
            *("--run-dir", str(folder / name), *arguments),
        ],
        cwd=ROOT,
        # syrupy takes whoever finds these for a worker, which reports nothing; they are those of the run of this test.
        env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST_XDIST")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in (folder / "snapshots").glob("annie/annie-test-*/*.json")}


@WORKERS
def test_record_compare_and_see_what_changed(workers: list[str], tmp_path: Path) -> None:
    ask = ["-m", "snapshot", "--snapshot-dirname", str(tmp_path / "snapshots"), *workers]
    with FaultServer(load("annie")) as url:
        none = run(url, tmp_path, "none", *ask)
        assert none.returncode == 1
        assert "none are recorded; --snapshot-update records them" in none.stdout
        recorded = run(url, tmp_path, "recorded", *ask, "--snapshot-update")
        assert recorded.returncode == 0, recorded.stdout + recorded.stderr
        assert files(tmp_path).keys() == {scenario.id for scenario in load("annie").scenarios}
        assert "warning" not in recorded.stdout
        same = run(url, tmp_path, "same", *ask)
        assert same.returncode == 0, same.stdout + same.stderr
        assert f"{SCENARIOS} snapshots passed" in same.stdout
    with FaultServer(load("annie"), "markdown-bold") as url:
        changed = run(url, tmp_path, "changed", *ask)
    assert changed.returncode == 1
    assert '+       "emphasis"' in changed.stdout or "emphasis" in changed.stdout
    assert "FAILED tests/behavior/test_snapshots.py" in changed.stdout
    assert "markdown-01" in changed.stdout
    assert "verdict:" not in changed.stdout  # no gate was asked


@WORKERS
def test_unused_snapshots_are_reported_and_removed_when_updating(workers: list[str], tmp_path: Path) -> None:
    ask = ["-m", "snapshot", "--snapshot-dirname", str(tmp_path / "snapshots"), *workers]
    with FaultServer(load("annie")) as url:
        run(url, tmp_path, "recorded", *ask, "--snapshot-update")
        some = next(iter(files(tmp_path).values()))
        gone = some.with_name("long-gone.json")
        gone.write_text(some.read_text())
        other = some.parent.parent / "another-model-00000000" / some.name
        other.parent.mkdir()
        other.write_text("{}")
        reported = run(url, tmp_path, "reported", *ask)
        assert reported.returncode == 1
        assert "unused: 1 of scenarios that no longer exist: long-gone" in reported.stdout
        accepted = run(url, tmp_path, "accepted", *ask, "--snapshot-warn-unused")
        assert accepted.returncode == 0
        assert gone.exists()
        # A part of the scenarios, however selected, makes no other snapshot unused.
        part = run(url, tmp_path, "part", *ask, "-k", some.stem, "--snapshot-update")
        assert part.returncode == 0
        assert "removed: 1 of scenarios that no longer exist: long-gone" in part.stdout
    assert not gone.exists()
    assert other.exists()
    assert len(files(tmp_path)) == SCENARIOS


def test_a_file_says_what_kind_of_answers_came(tmp_path: Path) -> None:
    ask = ["-m", "snapshot", "--snapshot-dirname", str(tmp_path / "snapshots"), "-k", "tool-calling-06"]
    with FaultServer(load("annie")) as url:
        run(url, tmp_path, "recorded", *ask, "--snapshot-update")
    ((name, path),) = files(tmp_path).items()
    assert name == "tool-calling-06-what-time"
    (variants,) = json.loads(path.read_text()).values()
    assert variants[0]["channels"] == ["tool_calls"]
    assert variants[0]["calls"] == [{"name": "get_time", "arguments": {}}]
    assert variants[0]["finish_reason"] == "tool_calls"


def test_a_broken_sample_is_no_snapshot(tmp_path: Path) -> None:
    ask = ["-m", "snapshot", "--snapshot-dirname", str(tmp_path / "snapshots"), "-k", "restraint-01"]
    with FaultServer(load("annie"), "http-500") as url:
        done = run(url, tmp_path, "broken", *ask, "--snapshot-update")
    assert done.returncode == 1
    assert "HTTP 500" in done.stdout
    assert files(tmp_path) == {}


def test_an_option_of_snapshots_without_them_is_one_clear_line(tmp_path: Path) -> None:
    for arguments in (["--snapshot-update"], ["--snapshot-update", "-m", "not snapshot"]):
        done = run("http://127.0.0.1:9/v1", tmp_path, "r", *arguments)
        assert done.returncode == 4
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        assert lines == ["ERROR: --snapshot-update: snapshots run only with -m snapshot; add it"]


def test_snapshots_and_gates_share_their_samples(tmp_path: Path) -> None:
    ask = ["-m", "snapshot or gate", "--snapshot-dirname", str(tmp_path / "snapshots"), "--snapshot-update"]
    server = FaultServer(load("annie"))
    with server as url:
        done = run(url, tmp_path, "both", *ask)
    assert done.returncode == 0, done.stdout
    assert "verdict: PASS" in done.stdout
    plain = FaultServer(load("annie"))
    with plain as url:
        run(url, tmp_path, "gate", "-m", "gate")
    assert server.received == plain.received

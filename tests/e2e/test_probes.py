"""Probes as their users run them: `pytest -m probe` against a server with a weakness that no scenario shows."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from annie_eval.profile import load

sys.path.insert(0, str(Path(__file__).resolve().parent))
from fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
MOST = 25  # characters of a prompt that is short
IMPORTED = """
import sys, pytest
status = pytest.main(sys.argv[1:])
print(int(status), [name for name in ("hypothesis.strategies", "syrupy", "annie_eval.probes") if name in sys.modules])
"""


def probe(url: str, folder: Path, run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--base-url", url),
            *("--run-dir", str(folder / run), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def sent(run_dir: Path) -> list[str]:
    """Every prompt of a run, in the order in which it was answered."""
    with sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True) as store:
        requests = store.execute("SELECT request FROM exchange ORDER BY rowid").fetchall()
    return [json.loads(request)["messages"][-1]["content"] for (request,) in requests]


def prompt_of(output: str) -> str:
    shown = re.search(r"^prompt \((\d+) characters\): ('.*'|\".*\")$", output, re.MULTILINE)
    assert shown, output
    return str(shown[2][1:-1])


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_planted_weakness_is_found_shrunk_and_replayed_first(workers: list[str], tmp_path: Path) -> None:
    with FaultServer(load("annie"), "leak-two-questions") as url:
        done = probe(url, tmp_path, "first", "-m", "probe", "-k", "thinking or protocol", *workers)
        assert done.returncode == 1, done.stdout + done.stderr
        prompt = prompt_of(done.stdout)
        assert len(prompt) <= MOST
        assert prompt.count("?") == 2
        assert "thinking: fails 5 of 5 times" in done.stdout
        assert "<think>" in done.stdout  # the answer itself
        assert "wire: holds for 150 prompts" in done.stdout
        assert "the next run asks it first" in done.stdout

        again = probe(url, tmp_path, "second", "-m", "probe", "-k", "thinking", *workers)
        assert again.returncode == 1
        assert "replayed from an earlier run" in again.stdout
        assert sent(tmp_path / "second")[0] == prompt
        assert len(sent(tmp_path / "second")) < 15

    with FaultServer(load("annie")) as url:
        mended = probe(url, tmp_path, "third", "-m", "probe", "-k", "thinking", *workers)
        assert mended.returncode == 0, mended.stdout + mended.stderr
        assert sent(tmp_path / "third")[0] == prompt


def test_what_fails_at_times_is_named_flaky(tmp_path: Path) -> None:
    with FaultServer(load("annie"), "leak-sometimes") as url:
        done = probe(url, tmp_path, "run", "-m", "probe", "-k", "thinking")
    assert done.returncode == 1
    assert re.search(r"thinking: FLAKY, fails [1-4] of 5 times", done.stdout), done.stdout


def test_probes_are_off_unless_asked_for(tmp_path: Path) -> None:
    """Neither collected, nor sent, nor is hypothesis imported."""
    with FaultServer(load("annie"), "leak-two-questions") as url:
        for arguments in ([], ["-m", "not slow"], ["-m", "gate"], ["tests/behavior"]):
            done = probe(url, tmp_path, "none", "--collect-only", "-q", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "probe" not in done.stdout
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED, "--collect-only", "-q", "--base-url", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_a_budget_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    done = probe("http://127.0.0.1:9/v1", tmp_path, "run", "-m", "probe", "--probe-budget", "3")
    assert done.returncode == 4
    assert [line for line in done.stderr.splitlines() if line.strip()] == [
        "ERROR: --probe-budget 3: must be at least 20"
    ]


def test_a_server_that_breaks_is_an_error_and_no_weakness(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        done = probe(
            url + "/nowhere", tmp_path, "run", "-m", "probe", "-k", "thinking", "--served-model", "annie-test"
        )
    assert done.returncode != 0
    assert "fails" not in done.stdout

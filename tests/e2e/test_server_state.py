"""End to end: a run at a server with a fault in its state, and at the same server without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.state_server import StateServer, serve

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("fault", "status"), [("other_prompt", 1), ("", 0)])
def test_a_run_says_that_the_server_is_to_blame(fault: str, status: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--run-dir", str(tmp_path / "run")]
    command += ["--profile", "annie-smol", "tests/behavior/test_server_state.py"]
    with serve(StateServer(fault)) as url:
        done = subprocess.run(
            [*command, "--base-url", url], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == status, done.stdout
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    (gate,) = verdict["gates"]
    assert (gate["name"], gate["cause"]) == ("server_state", "server" if fault else None)
    report = done.stdout.partition("release gate")[2].splitlines()
    assert report[1].startswith("The server's state is to blame, not the weights") == bool(fault)

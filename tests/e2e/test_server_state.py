"""End to end: a run at a server with a fault in its state, and at the same server without it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from annie_eval.http_client import Response
from annie_eval.run.store import Store
from tests.servers.state_server import StateServer, serve

ROOT = Path(__file__).resolve().parents[2]


def probed(url: str, run_dir: Path, profile: str = "annie-smol") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", str(run_dir)]
    command += ["--profile", profile, "--base-url", url, "tests/behavior/test_server_state.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(("fault", "status"), [("other_prompt", 1), ("", 0)])
def test_a_run_says_that_the_server_is_to_blame(fault: str, status: int, tmp_path: Path) -> None:
    with serve(StateServer(fault)) as url:
        done = probed(url, tmp_path / "run")
    assert done.returncode == status, done.stdout
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    (gate,) = verdict["gates"]
    assert (gate["name"], gate["cause"]) == ("server_state", "server" if fault else None)
    report = done.stdout.partition("release gate")[2].splitlines()
    assert report[1].startswith("The server's state is to blame, not the weights") == bool(fault)
    assert "plan: 2 probes of the server's state\n" in done.stdout
    begun, *ended = [line for line in done.stderr.splitlines() if line]
    assert begun == "server state: probes warm_cold, poison"
    for probe, line in zip(("warm_cold", "poison"), ended, strict=True):
        assert re.fullmatch(rf"server state: {probe} {'FAIL' if fault else 'PASS'} \(\d+ s\)", line)


def test_a_slow_server_is_not_checked_and_no_error(tmp_path: Path) -> None:
    """Also where one request takes longer than a sample's may."""
    seen = set()

    class Slow(StateServer):
        async def post(self, path: str, body: Mapping[str, Any]) -> Response:
            store = Store(tmp_path / "run")
            seen.add(store.state())
            store.close()
            await asyncio.sleep(4.0)
            return await super().post(path, body)

    (tmp_path / "hello.jsonl").write_text('{"id": "hello", "category": "hello", "prompt": "Hello."}\n')
    (tmp_path / "hello.toml").write_text(
        'system_prompt = "Speak."\nscenarios = "hello.jsonl"\n[traffic]\nrequest_timeout = 1.0\n'
        '[gates.hello]\ndetectors = ["markdown"]\n[gates.server_state]\nprobes = ["load"]\nseconds = 2\n'
    )
    with serve(Slow()) as url:
        done = probed(url, tmp_path / "run", str(tmp_path / "hello.toml"))
    assert "server state: load not checked: the server took longer than 2 s (2 s)" in done.stderr, done.stdout
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["capabilities"]["server_state.load"] == "the server took longer than 2 s"
    assert (verdict["gates"], verdict["errors"]) == ([], [])
    assert seen == {"server state"}

"""End to end: `transformers serve` with a tiny model is judged and timed without an ERROR caused by the gate."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from annie_eval.timing import plan_for, run

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / ".venv-vllm" / "bin" / "transformers"
STARTS_S = 120

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not COMMAND.exists(), reason="there is no server environment with transformers"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support import tiny

    return tiny.llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def url(model: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(model.parent / "hub"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [str(COMMAND), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            _wait(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


def test_its_timings_are_measured(url: str, model: Path) -> None:
    """Its streams end without [DONE] and its list of models may be an error: neither is an ERROR of a timing."""
    events: list[dict[str, Any]] = []
    plan = plan_for(load("annie-smol"), ["ttft_short"], base_url=url, served_model=str(model), hardware="cpu")
    (row,) = run(plan, events.append)
    errors = {event.get("error") for event in events if event["event"] == "measurement"}
    assert errors == {None}
    assert row.verdict in ("PASS", "FAIL", "INCONCLUSIVE"), row.detail
    assert row.median is not None


def test_its_answers_are_judged(url: str, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", str(tmp_path / "run")]
    command += ["--base-url", url, "--served-model", str(model), "--profile", "annie-smol", "--concurrency", "1"]
    done = subprocess.run(
        [*command, "-k", "test_what_is_spoken_holds_no_markdown and 01"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["errors"] == [], done.stdout[-2000:]
    assert sum(gate["n"] for gate in verdict["gates"]) > 0

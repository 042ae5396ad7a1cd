"""End to end: llama.cpp's own server is judged and timed without an ERROR caused by the gate."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from annie_eval.serving import remote
from annie_eval.timing import plan_for, run
from annie_eval.timing.connection import Connection
from annie_eval.timing.prompts import probe
from tests.servers.llama_server import CONTEXT

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.servers.llama_server"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.stdin.close()


def test_it_is_known_for_what_it_is(url: str) -> None:
    assert remote.ask(url, None).kind == "llama-server"


def test_its_timings_are_measured_within_its_context(url: str) -> None:
    events: list[dict[str, Any]] = []
    plan = plan_for(load("annie-smol"), ["ttft_short"], base_url=url, hardware="cpu")
    assert probe(Connection(url), plan, block_size=None, metrics=False).max_model_len == CONTEXT
    (row,) = run(plan, events.append)
    errors = {event.get("error") for event in events if event["event"] == "measurement"}
    assert errors == {None}, "a connection that is closed right after a stream is no fault"
    assert row.verdict in ("PASS", "FAIL", "INCONCLUSIVE"), row.detail
    assert row.median is not None


def test_its_answers_are_judged(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", str(tmp_path / "run")]
    command += ["--base-url", url, "--profile", "annie-smol", "--concurrency", "1", "-k", "test_no_markdown and 0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    verdict = json.loads((tmp_path / "run" / "verdict.json").read_text())
    assert verdict["errors"] == [], done.stdout[-2000:]
    assert sum(gate["n"] for gate in verdict["gates"]) > 0

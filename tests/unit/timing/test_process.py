"""The timing process ends when it is told to, and when its parent ends."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.profile.load import load
from annie_eval.timing import Plan, plan_for, run

SOON = 10.0  # seconds, of a measurement that would take 60


@pytest.fixture
def plan() -> Iterator[Plan]:
    """Of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        plan = plan_for(load("annie"), ["ttft_short"], base_url=url, served_model="m")
        yield replace(plan, timeout=60.0)


def test_it_ends_when_it_is_cancelled(plan: Plan) -> None:
    cancel = threading.Event()
    threading.Timer(0.5, cancel.set).start()
    began = time.monotonic()
    (row,) = run(plan, cancel=cancel)
    assert time.monotonic() - began < SOON
    assert row.verdict == "ERROR"


def test_it_ends_with_the_process_that_started_it(plan: Plan) -> None:
    """SIGKILL, which nothing can be done about in the process that gets it."""
    code = (
        "import sys, subprocess\n"
        "from annie_eval.timing import process, Plan\n"
        "popen = subprocess.Popen\n"
        "def noted(*a, **k):\n"
        "    child = popen(*a, **k)\n"
        "    print(child.pid, flush=True)\n"
        "    return child\n"
        "process.subprocess.Popen = noted\n"
        "process.run(Plan.from_json(sys.stdin.read()))\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdin is not None
    assert owner.stdout is not None
    owner.stdin.write(plan.to_json())
    owner.stdin.close()
    child = int(owner.stdout.readline())
    assert Path(f"/proc/{child}/cmdline").exists()
    time.sleep(0.5)
    owner.kill()
    owner.wait()
    until = time.monotonic() + SOON
    while _lives(child) and time.monotonic() < until:
        time.sleep(0.02)
    owner.stdout.close()
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False

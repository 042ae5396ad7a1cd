"""An interrupt while timings are measured ends each command that measures within 3 s, and leaves no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from annie_eval.profile.diff import snapshot
from annie_eval.profile.load import load
from tests.support.finished_run import make_run

ROOT = Path(__file__).resolve().parents[2]
SOON = 3.0  # seconds, on a machine whose cores are free
PATIENCE = 60  # seconds; waiting for the answer that never comes would take longer

pytestmark = pytest.mark.slow


class Silent(BaseHTTPRequestHandler):
    """Lists its model, and answers one short question; each further request waits for ever."""

    protocol_version = "HTTP/1.1"
    over = threading.Event()
    timed = threading.Event()

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "m", "object": "model", "max_model_len": 4096}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("stream"):
            self.timed.set()
            self.over.wait(600)
            return
        message = {"role": "assistant", "content": "Fine."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
        self._answer(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        )

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200 if "models" in self.path or self.command == "POST" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Silent.over.clear()
    Silent.timed.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Silent.over.set()
        server.shutdown()


def started(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    """Some run of the profile, blessed: a night must have one to be compared with."""
    run = make_run(tmp_path, "blessed", {"s-01": True}, snapshot=snapshot(load("annie-smol")))
    done = [sys.executable, "-m", "annie_eval.cli", "bless", str(run), "--as", "deployed"]
    subprocess.run([*done, "--baselines", str(tmp_path / "baselines")], cwd=ROOT, check=True, capture_output=True)
    return tmp_path / "baselines" / "deployed"


PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--run-dir", "RUN", "-k", "test_the_first_token"]
COMMANDS = {
    "pytest": PYTEST,
    "xdist": [*PYTEST, "-n", "2"],
    "nightly": ["-m", "annie_eval.cli", "nightly", "--baseline", "BASELINE", "--history", "RUN", "--hardware", "cpu"],
    "perf": ["-m", "annie_eval.cli", "perf", "--run-dir", "RUN", "--hardware", "cpu"],
}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_during_timing_ends_the_command_and_its_processes(
    name: str, sent: signal.Signals, url: str, tmp_path: Path, baseline: Path
) -> None:
    """The signal goes to the command alone, and not to its group as from a terminal. All is over within 3 s of it."""
    places = {"RUN": str(tmp_path / "run"), "BASELINE": str(baseline)}
    target = ["--base-url", url, "--profile", "annie-smol"]
    process = subprocess.Popen(
        [sys.executable, *(places.get(each, each) for each in COMMANDS[name]), *target],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert Silent.timed.wait(PATIENCE), "no timing request came"
        children = started(process.pid)
        assert any("annie_eval.timing" in child.cmdline() for child in children)
        began = time.monotonic()
        process.send_signal(sent)
        output, _ = process.communicate(timeout=PATIENCE)
        _, alive = psutil.wait_procs(children, timeout=PATIENCE)
        took = time.monotonic() - began
    finally:
        process.kill()
    assert process.returncode != 0, output
    assert alive == []
    if name in ("pytest", "xdist"):
        assert process.returncode == pytest.ExitCode.INTERRUPTED
        assert f"Continue with: annie-eval gate --base-url {url}" in output
        assert f"--run-dir {tmp_path / 'run'} --resume" in output
    print(f"{name} {sent.name}: over after {took:.2f} s")
    busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # a core that others use as well
    assert took < SOON * busy, f"{took:.1f} s at a load of {os.getloadavg()[0]:.0f}\n{output}"

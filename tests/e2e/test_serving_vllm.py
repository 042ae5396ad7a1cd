"""A real vLLM, started, asked and stopped by `annie_eval.serving`: three starts, of which one gets ready.

What stands in for vLLM in tests/unit/serving is held to the original here.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from annie_eval.profile.load import load
from annie_eval.serving import TargetSpec
from annie_eval.serving.doctor import doctor
from annie_eval.serving.server import reap_leftovers, state_dir

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "smollm2-135m-instruct-bf16"
SERVER_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
PROFILE = "annie-smol"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not built: make model"),
    pytest.mark.skipif(not SERVER_PYTHON.exists(), reason="the server's environment is not there: make server"),
]

# Stands in for pytest, so that it can be killed.
OWNER = """
import json, sys, time
from pathlib import Path
from annie_eval.profile.load import load
from annie_eval.serving import TargetSpec, open_target
steps = []
began = time.monotonic()
target = open_target(TargetSpec(model_dir=Path(sys.argv[1])), load(sys.argv[2]), Path(sys.argv[3]), steps.append)
print(json.dumps({
    "seconds": time.monotonic() - began, "steps": steps, "base_url": target.base_url, "name": target.served_model,
    "kind": target.kind, "version": target.version, "fingerprint": target.fingerprint(),
    "capabilities": target.capabilities(), "alive": target.alive(), "supervisor": target._server._supervisor.pid,
}), flush=True)
time.sleep(600)
"""


def start_owner(run_dir: Path, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(MODEL), PROFILE, str(run_dir)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
    )


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def living(processes: list[psutil.Process]) -> list[str]:
    """Command lines of those that run; psutil tells a pid's next owner by its start time."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline())[:80])
        except psutil.NoSuchProcess:
            continue
    return found


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while living(processes) and time.monotonic() < end:
        time.sleep(0.1)
    return living(processes) == []


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process that owns the server, and what it found out about it."""
    run_dir = tmp_path_factory.mktemp("run")
    with start_owner(run_dir, tmp_path_factory.mktemp("state")) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (run_dir / "server.log").read_text()[-2000:]
        yield process, json.loads(line)
        process.kill()


def test_vllm_gets_ready_and_says_what_it_does_meanwhile(owner: Any) -> None:
    _, facts = owner
    assert facts["kind"] == "vllm"
    assert facts["alive"] is None
    assert any("reading the configuration" in line for line in facts["steps"])
    print(f"ready after {facts['seconds']:.1f} s")


def test_the_fingerprint_names_model_server_and_profile(owner: Any) -> None:
    _, facts = owner
    print_of = facts["fingerprint"]
    for name in ("config", "weights", "chat_template", "tokenizer"):
        assert len(print_of[name]) == 64
    assert print_of["server_version"] == facts["version"]
    assert facts["version"].startswith("0.")
    assert print_of["profile_digest"] == load(PROFILE).digest
    assert "--enforce-eager" in print_of["arguments"]
    assert facts["name"] not in print_of["arguments"]


def test_only_what_is_not_asked_for_is_missing(owner: Any) -> None:
    _, facts = owner
    assert set(facts["capabilities"]) == {"derender"}


def test_it_is_the_same_server_to_one_who_comes_by_url(owner: Any, tmp_path: Path) -> None:
    from annie_eval.serving import open_target

    _, facts = owner
    target = open_target(TargetSpec(base_url=facts["base_url"]), load(PROFILE), tmp_path, print)
    assert (target.kind, target.version, target.served_model) == ("vllm", facts["version"], facts["name"])
    assert set(target.capabilities()) == {"weights"}


def test_no_process_outlives_an_owner_that_is_killed(owner: Any) -> None:
    """Runs last: it ends the server that the others share."""
    process, facts = owner
    processes = family(facts["supervisor"])
    assert any("EngineCore" in line for line in living(processes))
    process.send_signal(signal.SIGKILL)
    assert gone(processes, 20), living(processes)


def test_a_start_whose_owner_and_supervisor_are_killed_is_cleared_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with start_owner(tmp_path, tmp_path / "state") as process:
        log = tmp_path / "server.log"
        end = time.monotonic() + 120
        while time.monotonic() < end and not (log.is_file() and "Initializing a V1 LLM engine" in log.read_text()):
            time.sleep(0.1)
        time.sleep(1.5)  # the supervisor looks at its children every second
        (supervisor,) = [
            child for child in psutil.Process(process.pid).children() if "supervise.py" in child.cmdline()[3]
        ]
        processes = family(supervisor.pid)
        assert len(processes) >= 3  # supervisor, API server, EngineCore
        supervisor.kill()
        process.kill()
    left = len(living(processes))
    assert reap_leftovers(state_dir(tmp_path)) == (1 if left else 0)
    assert gone(processes, 5), living(processes)
    assert list(state_dir(tmp_path).iterdir()) == []


def test_doctor_names_the_cause_of_a_real_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = io.StringIO()
    spec = TargetSpec(model_dir=MODEL, vllm_args=("--tool-call-parser", "hermess"))
    assert doctor(spec, load(PROFILE), out, lambda response: None) == 1
    lines = out.getvalue().splitlines()
    (failure,) = [line for line in lines if line.startswith("FAIL")]
    assert failure.startswith(
        "FAIL  start: the server exited with status 1: this vLLM has no tool call parser hermess;"
    )
    assert [line.split(":")[0] for line in lines if line.startswith("ok")] == [
        "ok    target",
        "ok    checkpoint",
        "ok    server",
    ]

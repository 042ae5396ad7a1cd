"""`annie-eval serve DIR`: the gate's vLLM runs until a signal, and nothing is left of it."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli import main
from annie_eval.profile.load import load
from annie_eval.serving import TargetSpec, open_target

Pids = Callable[[], list[int]]
Living = Callable[[list[int]], list[int]]
COMMAND = [sys.executable, "-m", "annie_eval.cli", "serve"]


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def options(argv: list[str]) -> list[str]:
    """vLLM's command line without the port and the name, which are new for each server."""
    new = {argv.index(flag) + 1 for flag in ("--port", "--served-model-name")}
    return [word for place, word in enumerate(argv) if place not in new]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_it_serves_as_the_gate_does_until_a_signal_and_leaves_nothing(
    sent: signal.Signals,
    checkpoint: Path,
    fake_python: Path,
    recorded: Callable[[], dict[str, Any]],
    pids: Pids,
    living: Living,
    state_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "orphans")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    given = ["--profile", "annie-smol", "--vllm-python", str(fake_python), "--vllm-arg=--max-num-seqs=8"]
    process = started(str(checkpoint), *given)
    try:
        assert process.stdout is not None
        serving, log, judge = (process.stdout.readline().rstrip() for _ in range(3))
        url = serving.split(" at ")[1].partition(",")[0]
        assert shlex.split(judge.partition(":")[2]) == ["pytest", "--base-url", url, "--profile", "annie-smol"]
        assert serving.split()[1] in urllib.request.urlopen(f"{url}/models").read().decode()
        assert "Resolved architecture" in Path(log.partition(":")[2].strip()).read_text()
        argv = options(recorded()["argv"])
        assert len(living(pids())) == 3
        began = time.monotonic()
        process.send_signal(sent)
        assert process.wait(timeout=60) == 0
        assert time.monotonic() - began < 30
    finally:
        process.kill()
        process.communicate()
    assert living(pids()) == []
    assert list(state_home.iterdir()) == []
    assert list((tmp_path / "temporary").iterdir()) == []

    monkeypatch.setenv("FAKE_VLLM", "")
    spec = TargetSpec(model_dir=checkpoint, vllm_python=fake_python, vllm_args=("--max-num-seqs=8",))
    open_target(spec, load("annie-smol"), tmp_path, lambda line: None).close()
    assert argv == options(recorded()["argv"])


def test_a_signal_while_it_starts_ends_it(
    checkpoint: Path, fake_python: Path, pids: Pids, living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "hang")
    process = started(str(checkpoint), "--vllm-python", str(fake_python))
    try:
        while not pids():
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (0, "")
    assert "annie-eval serve:" not in error
    assert living(pids()) == []


def test_a_server_that_dies_ends_it_with_the_cause(
    checkpoint: Path, fake_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("FAKE_VLLM", "die-later")
    process = started(str(checkpoint), "--vllm-python", str(fake_python))
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith("serving ")
    cause = error.splitlines()[-1]
    assert cause.startswith("annie-eval serve: the server exited with status 3: ")
    assert Path(cause.rpartition("(log: ")[2].rstrip(")")).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "annie-eval: nowhere: no such directory"),
        (["MODEL", "--profile", "nobody"], "nobody"),
        (["MODEL", "--vllm-arg=--port=1"], "--vllm-arg --port: is set by this tool"),
    ],
)
def test_bad_input_is_one_line_with_status_2(
    arguments: list[str],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.annie-eval]\nbase-url = "http://box:8000/v1"\n')
    monkeypatch.chdir(tmp_path)
    given = [str(checkpoint) if word == "MODEL" else word for word in arguments]
    assert main.main(["serve", *given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line

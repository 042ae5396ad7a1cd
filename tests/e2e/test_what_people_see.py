"""End to end: terminal output: a live line on a terminal, plain lines elsewhere, one line for wrong input."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.support.screen import shown
from tests.unit.serving.conftest import checkpoint, fake_python

__all__ = ["checkpoint", "fake_python"]  # fixtures

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = 12


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A profile of twelve samples, and a server that takes half a second for each."""
    folder = tmp_path_factory.mktemp("profile")
    lines = [{"id": f"hello-{i:02}", "category": "hello", "prompt": f"Hello, this is {i}."} for i in range(SAMPLES)]
    (folder / "hello.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "hello.toml").write_text(
        'system_prompt = "Speak."\nscenarios = "hello.jsonl"\n[gates.hello]\ndetectors = ["markdown"]\n'
    )
    return ["-q", "-p", "no:cacheprovider", "--profile", str(folder / "hello.toml"), "--concurrency", "3"]


@pytest.fixture(scope="module")
def url() -> object:
    command = [sys.executable, str(ROOT / "benchmarks/fixed_server.py"), "--latency", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def environment(**more: str) -> dict[str, str]:
    plain = ("NO_COLOR", "CI", "BUILD_NUMBER")
    return {name: value for name, value in os.environ.items() if name not in plain} | {"TERM": "xterm"} | more


def on_terminal(command: list[str], width: int, **more: str) -> str:
    """Everything that a command writes on a terminal."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, width))
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(**more), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ):
        os.close(slave)
        parts = []
        try:
            while part := os.read(master, 65536):
                parts.append(part)
        except OSError:  # the other end is closed
            pass
    os.close(master)
    return b"".join(parts).decode()


def pytest_command(url: str, arguments: list[str], run: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "--base-url", url, "--run-dir", str(run), *arguments, *more]


@pytest.mark.parametrize("more", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_terminal_shows_progress_and_keeps_only_what_pytest_wrote(
    url: str, arguments: list[str], more: list[str], tmp_path: Path
) -> None:
    output = on_terminal(pytest_command(url, arguments, tmp_path / "r", *more), 80)
    assert "samples: 0/12 judged, 3 in flight" in output
    rows = shown(output, 80)
    assert "plan: 12 samples, 3 at a time" in rows
    assert any(row.startswith("." * SAMPLES) for row in rows)
    assert "Warning" not in output
    assert not any("judged" in row for row in rows)


def test_without_a_terminal_nothing_is_redrawn(url: str, arguments: list[str], tmp_path: Path) -> None:
    command = pytest_command(url, arguments, tmp_path / "r")
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[0] == "plan: 12 samples, 3 at a time"
    assert "judged" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize("more", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_without_a_terminal_lines_tell_what_a_starting_server_does(
    checkpoint: Path, fake_python: Path, arguments: list[str], more: list[str], tmp_path: Path
) -> None:
    target = ["--model-dir", str(checkpoint), "--vllm-python", str(fake_python), "--startup-timeout", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *target, "--run-dir", str(tmp_path / "r"), *arguments, *more],
        cwd=ROOT,
        env=environment(FAKE_VLLM="hang", XDG_STATE_HOME=str(tmp_path / "state")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    told = [line for line in done.stdout.splitlines() if line.startswith(("starting vLLM", "server: "))]
    assert told[0].startswith(f"starting vLLM for {checkpoint}: ")
    assert told[1:] == sorted(set(told[1:]), key=told.index), "a step is told once"
    assert any("reading the configuration of a LlamaForCausalLM" in line for line in told)


def test_no_color_and_ci_are_plain_on_a_terminal(url: str, arguments: list[str], tmp_path: Path) -> None:
    output = on_terminal(pytest_command(url, arguments, tmp_path / "r"), 80, NO_COLOR="1")
    assert "judged" not in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "annie"], "--profile: needs a target to judge; give --model-dir or --base-url"),
        (["--repeats", "3", "--resume"], "--resume, --repeats: needs a target to judge"),
    ],
)
def test_options_of_the_gate_without_a_target_are_refused(options: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text("def test_it():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    plain = subprocess.run(command[:5], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert plain.returncode == 0

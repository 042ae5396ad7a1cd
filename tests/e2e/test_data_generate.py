"""End to end: `annie-data generate` writes a complete data set with any teacher, and after kills."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import flaky_teacher

MIX = """
profile = "annie-smol"
thinking = 0.25
[kinds.greetings]
count = 15
describe = "greetings"
[kinds.search_memory]
count = 25
tool = "search_memory"
describe = "where things are"
[kinds.set_timer]
count = 12
tool = "set_timer"
describe = "timers"
[kinds.multi_turn]
count = 6
turns = [2, 4]
calls = 2
describe = "several turns"
"""
BUILT_IN = "research.annie_smol.generator"
KINDS = {"greetings": 15, "search_memory": 25, "set_timer": 12, "multi_turn": 6}


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    path = tmp_path / "mix.toml"
    path.write_text(MIX)
    return path


@pytest.fixture
def endpoint() -> Iterator[Any]:
    server = flaky_teacher.Endpoint(sleep=20.0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def annie_data(*words: str, timeout: float = 120, module: str = "annie_data") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def command_teacher(tmp_path: Path, *, file: bool) -> list[str]:
    words = [sys.executable, flaky_teacher.__file__, str(tmp_path / "state"), *(["{prompt}"] if file else [])]
    return ["--teacher", "command", "--command", " ".join(words), "--timeout", "1.5"]


def assert_whole(out: Path, mix: Path) -> dict[str, Any]:
    """Exactly the mix, all valid; returns the report."""
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert Counter(line["meta"]["kind"] for line in lines) == KINDS
    assert len({json.dumps(line["messages"]) for line in lines}) == len(lines)
    judged = annie_data("validate", str(out), "--mix", str(mix))
    assert (judged.returncode, judged.stderr) == (0, ""), judged.stdout
    assert not list(out.parent.glob(f".{out.name}*")), "nothing but the result is left"
    report: dict[str, Any] = json.loads((out.parent / f"{out.name}.report.json").read_text())
    assert report["finished"] is True
    assert report["conversations"] == len(lines)
    return report


@pytest.mark.parametrize("file", [True, False], ids=["prompt as a file", "prompt on standard input"])
def test_a_flaky_command_ends_with_exactly_the_mix(tmp_path: Path, mix: Path, file: bool) -> None:
    out = tmp_path / "set.jsonl"
    made = annie_data("generate", "--mix", str(mix), *command_teacher(tmp_path, file=file), "--out", str(out))
    assert made.returncode == 0, made.stderr
    report = assert_whole(out, mix)
    causes = {
        "empty answer", "a description instead of data", "a plan instead of data", "hook text", "truncated JSON",
        "no answer in time", "duplicate", "markdown", "the command failed", "tags", "too much output",
        "another language", "not a conversation",
    }  # fmt: skip
    assert causes <= set(report["dropped"])
    assert all(cause in made.stdout for cause in causes)
    assert sum(report["dropped"].values()) == len(report["drops"])
    log = [json.loads(line) for line in (tmp_path / "state.log").read_text().splitlines()]
    assert all(entry["prompt"] < 3000 for entry in log)
    assert all(str(Path.cwd()) not in entry["cwd"] for entry in log), "it runs outside of the project"


def test_a_flaky_endpoint_ends_with_exactly_the_mix(tmp_path: Path, mix: Path, endpoint: Any) -> None:
    out = tmp_path / "set.jsonl"
    words = ["--teacher", "endpoint", "--base-url", endpoint.url, "--timeout", "1.5"]
    made = annie_data("generate", "--mix", str(mix), *words, "--out", str(out))
    assert made.returncode == 0, made.stderr
    report = assert_whole(out, mix)
    assert {
        "empty answer",
        "truncated JSON",
        "no answer in time",
        "duplicate",
        "markdown",
        "the endpoint failed",
        "another language",
        "not a conversation",
    } <= set(report["dropped"])
    assert max(map(len, endpoint.prompts)) < 3000
    told = [drop["excerpt"] for drop in report["drops"] if drop["cause"] == "the endpoint failed"]
    assert any("the answer is larger than" in text for text in told), told


def _killed_in_the_middle(words: list[str], journal: Path, entries: int, module: str = "annie_data") -> None:
    """Start a run, and kill it hard once its journal has so many entries."""
    process = subprocess.Popen([sys.executable, "-m", module, *words], start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") <= entries:
            assert process.poll() is None, "it was done before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, mix: Path) -> None:
    out = tmp_path / "set.jsonl"
    words = ["generate", "--mix", str(mix), *command_teacher(tmp_path, file=True), "--out", str(out)]
    journal = tmp_path / ".set.jsonl.journal"
    _killed_in_the_middle(words, journal, 9)
    assert not out.exists()
    before = [json.loads(line) for line in journal.read_text().splitlines()][1:]
    with journal.open("a") as torn:
        torn.write('{"need": 1, "number": 99, "kept": [{"messages"')

    refused = annie_data(*words)
    assert refused.returncode == 2
    assert "--resume" in refused.stderr

    made = annie_data(*words, "--resume")
    assert made.returncode == 0, made.stderr
    report = assert_whole(out, mix)
    kept = [line for entry in before for line in entry["kept"]]
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert kept
    assert all(line in lines for line in kept), "what was kept before the kill is still there"
    assert report["batches"] > len(before)
    assert annie_data(*words, "--resume").returncode == 0, "a finished run has nothing left to do"


def test_a_killed_run_of_the_built_in_teacher_ends_with_the_same_bytes(tmp_path: Path) -> None:
    words = ["generate", "--mix", "annie-smol-10k", "--count", "2500", "--seed", "5"]
    whole = tmp_path / "whole.jsonl"
    assert annie_data(*words, "--out", str(whole), module=BUILT_IN).returncode == 0
    out = tmp_path / "set.jsonl"
    _killed_in_the_middle([*words, "--out", str(out)], tmp_path / ".set.jsonl.journal", 8, BUILT_IN)
    assert annie_data(*words, "--out", str(out), "--resume", module=BUILT_IN).returncode == 0
    assert out.read_bytes() == whole.read_bytes()


def test_a_teacher_that_brings_nothing_is_asked_a_bounded_number_of_times(tmp_path: Path, mix: Path) -> None:
    out = tmp_path / "set.jsonl"
    words = ["generate", "--mix", str(mix), "--teacher", "command", "--command", "true", "--attempts", "4"]
    made = annie_data(*words, "--out", str(out))
    assert made.returncode == 1
    assert made.stderr.count("\n") == 1
    assert "4 batches in a row" in made.stderr
    assert "empty answer" in made.stderr
    assert not out.exists()
    report = json.loads((tmp_path / "set.jsonl.report.json").read_text())
    assert (report["finished"], report["batches"], report["dropped"]) == (False, 4, {"empty answer": 4})


def test_a_killed_run_leaves_no_command_behind(tmp_path: Path, mix: Path) -> None:
    """An orphan would go on writing, and nobody would read it."""
    (tmp_path / "write.sh").write_text(f"echo $$ > {tmp_path}/pid; exec sleep 60\n")
    words = ["generate", "--mix", str(mix), "--teacher", "command", "--command", f"sh {tmp_path}/write.sh"]
    run = [sys.executable, "-m", "annie_data", *words, "--out", str(tmp_path / "set.jsonl")]
    process = subprocess.Popen(run, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    orphan = Path("/proc") / (tmp_path / "pid").read_text().strip()
    assert orphan.exists()
    process.kill()
    process.wait()
    while orphan.exists():
        assert time.monotonic() < deadline, "the command outlives the run"
        time.sleep(0.02)


def test_two_runs_never_write_the_same_file(tmp_path: Path, mix: Path) -> None:
    out = tmp_path / "set.jsonl"
    words = ["generate", "--mix", str(mix), "--teacher", "command", "--command", "sleep 30", "--out", str(out)]
    first = subprocess.Popen([sys.executable, "-m", "annie_data", *words], start_new_session=True)
    try:
        while not (tmp_path / ".set.jsonl.journal").exists():
            time.sleep(0.02)
        time.sleep(0.2)
        second = annie_data(*words, "--resume")
        assert second.returncode == 2
        assert "another process" in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()

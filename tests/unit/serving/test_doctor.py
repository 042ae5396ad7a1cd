"""`annie-eval doctor`: one line per check; the first that fails ends it, with its fix."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.cli import main
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.serving import TargetSpec
from annie_eval.serving.doctor import doctor
from annie_eval.serving.spec import free_port
from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS
from tests.servers.faults.fault import Fault
from tests.servers.faults.reply import Ask, Reply


@pytest.fixture
def good(checkpoint: Path, fake_python: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, vllm_python=fake_python, startup_timeout=20)


def examine(target: TargetSpec, profile: Profile) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = doctor(target, profile, out, lambda response: 45_000_000)
    return code, out.getvalue().splitlines()


def test_all_is_well(good: TargetSpec, profile: Profile, state_home: Path) -> None:
    code, lines = examine(good, profile)
    assert code == 0
    assert [line.split(":")[0] for line in lines if line.startswith("ok")] == [
        "ok    target",
        "ok    checkpoint",
        "ok    server",
        "ok    start",
        "ok    answer",
    ]
    assert lines[1] == "ok    checkpoint: llama, not quantised, 1 files, 0.00 GB"
    assert lines[2] == "ok    server: vLLM 0.32.0 for CPU, checks that quantised weights are complete"
    assert "first answer after" in lines[-2]
    assert lines[-1] == "ok    answer: came by content; finish reason length, TTFT 45 ms"
    assert list(state_home.iterdir()) == []  # stopped


def test_a_known_defect_that_the_server_may_have_is_told(good: TargetSpec, profile: Profile) -> None:
    given = ("--speculative-config", '{"method": "ngram", "num_speculative_tokens": 3}')
    code, lines = examine(replace(good, vllm_args=given), profile)  # the profile's parser is hermes
    assert code == 0
    told = [line for line in lines if line.startswith("note  known defect: ")]
    assert any("https://github.com/vllm-project/vllm/issues/32152" in line for line in told)
    assert not any("known defect" in line and "32152" in line for line in examine(good, profile)[1])


def test_bad_input_ends_it_at_once(good: TargetSpec, profile: Profile, tmp_path: Path) -> None:
    code, lines = examine(replace(good, model_dir=tmp_path / "nowhere"), profile)
    assert code == 2
    assert lines == [f"FAIL  target: --model-dir {tmp_path / 'nowhere'}: no such directory"]


def test_a_server_that_dies_is_named_with_its_mend(
    good: TargetSpec, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").write_text("ValueError: Unknown quantization method: foo. Must be one of ['awq']")
    monkeypatch.setenv("FAKE_VLLM", "die")
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, lines = examine(good, profile)
    assert code == 1
    assert lines[-2].startswith("FAIL  start: the server exited with status 1: this vLLM does not know the quantisa")
    kept = Path(lines[-1].removeprefix("...   log: "))
    assert "Unknown quantization method" in kept.read_text()


def test_an_interpreter_without_vllm(good: TargetSpec, profile: Profile, tmp_path: Path) -> None:
    python = tmp_path / "none"
    python.write_text("#!/bin/sh\necho null\n")
    python.chmod(0o755)
    code, lines = examine(replace(good, vllm_python=python), profile)
    assert code == 2
    assert lines[-1].startswith(f"FAIL  server: {python}: has no vLLM; install it there")


def test_an_unreachable_url(profile: Profile) -> None:
    code, lines = examine(TargetSpec(base_url=f"http://127.0.0.1:{free_port()}"), profile)
    assert code == 2
    assert len(lines) == 1
    assert "no server reachable" in lines[0]


def _silent(reply: Reply, ask: Ask) -> Reply:
    return replace(reply, content="")


@pytest.mark.parametrize(
    ("fault", "status", "line"),
    [
        (None, 0, r"ok    answer: came by content; \d+ tokens, finish reason stop, TTFT \d+ ms"),
        (FAULTS["http-500"], 1, r"FAIL  answer: a streamed chat request failed: HTTP 500: .+"),
        (FAULTS["reset-midway"], 1, r"FAIL  answer: a streamed chat request failed: connection lost after .+"),
        (FAULTS["error-in-200"], 1, r"FAIL  answer: a streamed chat request failed: .+"),
        (
            Fault("silent", "no text", frozenset(), reply=_silent),
            1,
            r"FAIL  answer: the answer to a streamed chat request has no text and no tool call; finish reason stop",
        ),
    ],
)
def test_a_url_is_asked_for_one_streamed_answer(
    fault: Fault | None, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = FaultServer(load("annie"), latency=150)
    server.fault = None if fault is None else replace(fault, strangers=True)
    with server as url:
        assert main.main(["doctor", "--base-url", url]) == status
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(line, last), last
    if fault is None:
        assert int(last.split()[-2]) >= 150

"""`annie-eval doctor`: one line per check; the first that fails ends it, with its fix."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

from annie_eval.profile.types import Profile
from annie_eval.serving import TargetSpec
from annie_eval.serving.doctor import doctor
from annie_eval.serving.spec import free_port


@pytest.fixture
def good(checkpoint: Path, fake_python: Path) -> TargetSpec:
    return TargetSpec(model_dir=checkpoint, vllm_python=fake_python, startup_timeout=20)


def examine(target: TargetSpec, profile: Profile) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = doctor(target, profile, out)
    return code, out.getvalue().splitlines()


def test_all_is_well(good: TargetSpec, profile: Profile, state_home: Path) -> None:
    code, lines = examine(good, profile)
    assert code == 0
    assert [line.split(":")[0] for line in lines if line.startswith("ok")] == [
        "ok    target",
        "ok    checkpoint",
        "ok    server",
        "ok    start",
    ]
    assert lines[1] == "ok    checkpoint: llama, not quantised, 1 files, 0.00 GB"
    assert lines[2] == "ok    server: vLLM 0.32.0 for CPU, checks that quantised weights are complete"
    assert "first answer after" in lines[-1]
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

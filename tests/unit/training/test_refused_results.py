"""Training results are not lost: weights that moved far are accepted, a refused result is kept with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quant import cli
from quant.checkpoint.view import Problem
from quant.preflight import check

TINY = (
    *("--set", "training.batch_tokens=512", "--set", "training.max_length=1024", "--set", "training.rank=8"),
    *("--set", "calibration.samples=4", "--set", "training.holdout=2"),
)


def qat(model: Path, data: Path, out: Path, *more: str) -> int:
    arguments = ["--model", str(model), "--recipe", "qat-lora", "--data", str(data), "--out", str(out)]
    return cli.main(["qat", *arguments, *TINY, *more])


def test_weights_that_training_moved_far_are_a_figure_and_no_refusal(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit for weights that were only rounded is 0.18."""
    out = tmp_path / "out"
    settings = ("--set", "training.learning_rate=5e-3", "--set", "training.epochs=6")
    assert qat(tiny_llama, data, out, *settings) == 0
    moved = json.loads((out / "quant_run.json").read_text())["moved"]
    assert moved["largest"] > 0.3
    assert f"{moved['median']:.3f}" in capsys.readouterr().out
    assert check.refusals(check.preflight(out, reference=tiny_llama)) == []


def test_a_result_that_is_refused_after_training_is_kept_aside_with_the_reason(
    tiny_llama: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finding = Problem(9, "tokenizer.json", "is from another planet", "take ours")
    with monkeypatch.context() as patched:
        patched.setattr(check, "preflight", lambda *_, **__: [finding])
        for number in ("", "-2"):
            assert qat(tiny_llama, data, tmp_path / "out", *(["--resume"] if number else [])) == 1
            kept = tmp_path / f"out.refused{number}"
            message = capsys.readouterr().err.splitlines()[-1]
            assert str(finding) in message
            assert str(kept) in message
            assert "is from another planet" in (kept / "REFUSED").read_text()
            assert (kept / "adapter" / "adapter_model.safetensors").exists()
            assert json.loads((kept / "quant_run.json").read_text())["refused"] == str(finding)
    assert not (tmp_path / "out").exists()
    (found,) = check.preflight(tmp_path / "out.refused", reference=tiny_llama)
    assert found.where == "REFUSED"
    assert "another planet" in found.problem
    assert qat(tiny_llama, data, tmp_path / "out", "--resume") == 0


def test_without_training_nothing_is_kept(
    tiny_llama: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calibrating again takes no longer than looking at what was left."""
    monkeypatch.setattr(check, "preflight", lambda *_, **__: [Problem(9, "tokenizer.json", "is odd", "take ours")])
    arguments = ["--model", str(tiny_llama), "--calib", str(data), "--out", str(tmp_path / "out")]
    assert cli.main(["ptq", *arguments, "--recipe", "nvfp4-default"]) == 1
    assert "nothing was kept" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

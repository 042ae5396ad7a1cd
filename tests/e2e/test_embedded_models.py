"""End to end: the study's models are rebuilt from the base model and adapters/, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = ROOT / "adapters"
BASE = ROOT / "models" / "smollm2-135m-instruct-bf16"
pytestmark = pytest.mark.slow


def test_adapters_are_small_enough_to_be_carried() -> None:
    assert sum(path.stat().st_size for path in ADAPTERS.rglob("*") if path.is_file()) <= 20e6


def test_the_models_are_those_that_were_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from quant import cli

    tuned = tmp_path / "annie-smol-bf16"
    for name, source in (
        ("annie-smol-bf16", BASE), ("annie-smol-nvfp4-ptq", tuned), ("annie-smol-nvfp4-qat", tuned)
    ):  # fmt: skip
        words = ["--model", source, "--adapter", ADAPTERS / name, "--out", tmp_path / name]
        assert cli.main(["merge", *map(str, words)]) == 0
        assert "all equal to the original ones, bit for bit" in capsys.readouterr().out
        assert json.loads((tmp_path / name / "quant_run.json").read_text())["made_first"]["changed"] == []
    for name in ("annie-smol-nvfp4-ptq", "annie-smol-nvfp4-qat"):
        reference = ["--for", "vllm-0.32", "--reference", str(tuned)]
        assert cli.main(["preflight", str(tmp_path / name), *reference]) == 0

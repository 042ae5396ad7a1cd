"""PTQ of a model that does not fit on the GPU reads weights from their files, with the same result."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from quant import recipe
from quant.checkpoint import loading
from quant.cli import main
from quant.commands import ptq
from quant.errors import UsageError
from tests.support import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.llama(tmp_path_factory.mktemp("larger") / "llama")


def tensors(model: Path, recipe: str, calib: Path, out: Path) -> dict[str, str]:
    arguments = ["--model", model, "--recipe", recipe, "--calib", calib, "--out", out]
    assert main(["ptq", *map(str, arguments)]) == 0
    found: dict[str, str] = json.loads((out / "quant_run.json").read_text())["tensors"]
    return found


@pytest.mark.parametrize("recipe", ["nvfp4-default", "nvfp4-mse"])
def test_weights_in_files_make_the_same_checkpoint(
    recipe: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calib = tiny.calibration_file(tmp_path / "calib.jsonl")
    resident = tensors(model, recipe, calib, tmp_path / "resident")
    held: list[loading.WeightsInFiles] = []

    class Watched(loading.WeightsInFiles):
        def __init__(self, directory: Path, loaded: Any) -> None:
            super().__init__(directory, loaded)
            held.append(self)

    monkeypatch.setattr(loading, "WeightsInFiles", Watched)
    monkeypatch.setattr(ptq, "_offloads", lambda *_: True)
    assert tensors(model, recipe, calib, tmp_path / "offloaded") == resident
    (weights,) = held
    assert not weights.state_dict, "ModelOpt has put a copy of the model into host memory"
    assert set(weights._kept) <= {"lm_head.weight"}, "tied, so that no file has it"


def test_they_are_read_from_there_where_they_do_not_fit(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = recipe.load("nvfp4-default")
    arguments = argparse.Namespace(model=model, keep=None)
    size = loading.weight_bytes(model)
    monkeypatch.setattr(loading, "free_bytes", lambda _: size + ptq.ACTIVATIONS)
    assert not ptq._offloads(arguments, chosen, "cuda")
    monkeypatch.setattr(loading, "free_bytes", lambda _: size + ptq.ACTIVATIONS - 1)
    assert ptq._offloads(arguments, chosen, "cuda")
    assert "they are read from their files" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"GB of weights for .* GB of free GPU memory"):
        ptq._offloads(arguments, recipe.load("nvfp4-awq-lite"), "cuda")


def test_weights_copied_by_threads_are_the_same_and_a_tied_head_stays_tied(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = loading.load_model(model, "cpu")
    before = {name: weight.detach().clone() for name, weight in loaded.named_parameters()}
    monkeypatch.setattr(loading, "_PIECE", 1000)
    called: list[str] = []
    loading._copy_weights(loaded, "cpu", lambda: called.append("meanwhile"))
    assert called == ["meanwhile"]
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert all(torch.equal(weight, before[name]) for name, weight in loaded.named_parameters())

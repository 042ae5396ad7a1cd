"""Preflight of special models: a vision tower, shards, tied embeddings, smoothed norms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from quant.cli import main
from quant.preflight.check import preflight
from tests.support import mutants, tiny

Edit = Callable[[Path], None]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    calib = tiny.calibration_file(root / "calibration.jsonl")
    found = {}
    for name, make in (("llama", tiny.llama), ("vl", tiny.qwen3_5_vl)):
        found[name], found[f"{name}-bf16"] = root / f"{name}-nvfp4", make(root / name)
        arguments = ["--model", str(root / name), "--recipe", "nvfp4-default", "--calib", str(calib)]
        assert main(["ptq", *arguments, "--out", str(found[name])]) == 0
        (found[name] / "quant_run.json").unlink()  # what is knowable without it
    return found


def weights(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Edit:
    return lambda directory: mutants.change(directory, edit)


def config(edit: Callable[[dict[str, Any]], Any]) -> Edit:
    return lambda directory: mutants.change_json(directory, "config.json", edit)


def renamed(tensors: dict[str, torch.Tensor]) -> None:
    for name in [n for n in tensors if n.startswith("model.")]:
        tensors[name.replace("model.", "model.language_model.", 1)] = tensors.pop(name)


def nothing_excluded(directory: Path) -> None:
    mutants.in_both(directory, lambda section, key: section.__setitem__(key, []))


NORM = "model.layers.1.input_layernorm.weight"
BROKEN: list[tuple[str, Edit, str]] = [
    ("vl", weights(lambda t: t.pop("model.visual.merger.linear_fc1.bias")), "model.visual.merger.linear_fc1.bias"),
    ("vl", config(lambda c: c["vision_config"].update(depth=2)), "model.visual.blocks.1."),
    ("vl", config(lambda c: c.pop("vision_config")), "config.json: vision_config: is missing"),
    ("vl", weights(lambda t: t.__setitem__("model.visual.blocks.7.norm1.weight", torch.ones(64))), "visual.blocks.7"),
    ("llama", weights(lambda t: t.__setitem__(NORM, torch.zeros_like(t[NORM]))), f"{NORM}: is all zeros"),
    ("llama", weights(renamed), "model.language_model."),
    ("llama", nothing_excluded, "config.json: quantization_config.ignore: does not list lm_head"),
    ("llama", config(lambda c: c.update(architectures=["Qwen2ForCausalLM"])), "config.json: architectures"),
]


@pytest.mark.parametrize(("model", "break_it", "names"), BROKEN, ids=range(len(BROKEN)))
def test_it_is_refused_by_name(
    exports: dict[str, Path], tmp_path: Path, model: str, break_it: Edit, names: str
) -> None:
    path = tmp_path / "checkpoint"
    shutil.copytree(exports[model], path)
    assert preflight(path) == []
    break_it(path)
    assert any(names in str(finding) for finding in preflight(path))


def test_a_missing_tensor_is_named_as_in_the_file_and_in_its_shard(exports: dict[str, Path], tmp_path: Path) -> None:
    """`model.language_model.…` of a vision model, and not just the first shard."""
    path = tmp_path / "checkpoint"
    shutil.copytree(exports["vl"], path)
    tensors = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    late = {name for name in tensors if ".layers.3." in name}
    files = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    save_file({n: t for n, t in tensors.items() if n not in late}, path / files[0], {"format": "pt"})
    gone = "model.language_model.layers.3.mlp.down_proj.weight_scale"
    save_file({n: tensors[n] for n in late - {gone}}, path / files[1], {"format": "pt"})
    index = {name: files[name in late] for name in tensors if name != gone}
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert [f.where for f in preflight(path)] == [f"{files[1]}: {gone}"]


def test_smoothing_passes_but_its_norm_alone_does_not(exports: dict[str, Path], tmp_path: Path) -> None:
    """A factor moved from the weights into the norm before them leaves the model as it was."""
    path = tmp_path / "checkpoint"
    shutil.copytree(exports["llama"], path)
    norm = "model.layers.0.post_attention_layernorm.weight"
    parts = [f"model.layers.0.mlp.{part}_proj" for part in ("gate", "up")]

    def into_the_norm(tensors: dict[str, torch.Tensor]) -> None:
        tensors[norm] = tensors[norm] * 2

    def out_of_the_weights(tensors: dict[str, torch.Tensor]) -> None:
        for part in parts:
            tensors[f"{part}.weight_scale_2"] = tensors[f"{part}.weight_scale_2"] / 2

    mutants.change(path, into_the_norm)
    (found,) = preflight(path, reference=exports["llama-bf16"])
    assert found.where.rpartition(".weight")[0] == f"model.safetensors: {parts[0]}"
    assert found.layers == len(parts)
    mutants.change(path, out_of_the_weights)
    assert preflight(path, reference=exports["llama-bf16"]) == []

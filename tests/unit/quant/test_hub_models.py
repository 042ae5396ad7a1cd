"""Models with configs of transformers 4 or 5, as on the hub, go through ptq, qat and export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quant.cli import main
from quant.preflight.check import preflight
from tests.support import hub, mutants, tiny

TRAIN = (
    *("--set", "training.batch_tokens=2048", "--set", "training.max_length=1024", "--set", "training.epochs=1"),
    *("--set", "training.rank=4", "--set", "calibration.samples=4", "--set", "training.holdout=2"),
)


@pytest.fixture(scope="module")
def calib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.calibration_file(tmp_path_factory.mktemp("calib") / "calib.jsonl", tools=False)


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("family", hub.FAMILIES)
def test_ptq_and_export_go_through(family: str, version: int, calib: Path, tmp_path: Path) -> None:
    source = hub.make(family, tmp_path / "model", version)
    recipe = "qwen3_5-mixed" if "3.5" in family else "nvfp4-default"
    out = tmp_path / "out"
    assert main(["ptq", "--model", str(source), "--recipe", recipe, "--calib", str(calib), "--out", str(out)]) == 0
    assert preflight(out, reference=source) == []
    assert main(["export", str(out), "--for", "vllm-0.32", "--out", str(tmp_path / "again")]) == 0


@pytest.mark.parametrize("family", ["llama-3.2-1b", "mistral-7b-v0.3", "gemma-3-270m", "qwen3.5-vl"])
def test_qat_goes_through(family: str, calib: Path, tmp_path: Path) -> None:
    source = hub.make(family, tmp_path / "model", 4)
    paths = ["--model", str(source), "--data", str(calib), "--out", str(tmp_path / "out")]
    assert main(["qat", *paths, "--recipe", "qad-lora", *TRAIN]) == 0
    assert preflight(tmp_path / "out", reference=source) == []


def _rope(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(config: dict[str, Any]) -> None:
        text = config.get("text_config", config)
        held = text.get("rope_parameters", text)
        held = text["rope_scaling"] if key in (text.get("rope_scaling") or {}) else held
        held[key] = value

    return edit


def _window(config: dict[str, Any]) -> None:
    config |= {"use_sliding_window": True, "sliding_window": 64, "layer_types": ["sliding_attention"] * 2}


CHANGED: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("llama-3.2-1b", _rope("rope_theta", 10000.0), "rope_theta"),
    ("llama-3.2-1b", _rope("factor", 8.0), "factor"),
    ("llama-3.2-1b", lambda c: c.update(eos_token_id=257), "eos_token_id"),
    ("mistral-7b-v0.3", lambda c: c.update(sliding_window=128), "sliding_window"),
    ("qwen2.5-0.5b", _rope("rope_theta", 10000.0), "rope_theta"),
    ("qwen2.5-0.5b", _window, "sliding_window"),
    ("gemma-3-270m", lambda c: c.update(sliding_window=64), "sliding_window"),
    ("qwen3.5-vl", _rope("rope_theta", 10000.0), "rope_theta"),
]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize(("family", "edit", "names"), CHANGED, ids=[f"{f}-{n}" for f, _, n in CHANGED])
def test_a_changed_config_is_refused_by_name_in_either_spelling(
    family: str, edit: Callable[[dict[str, Any]], Any], names: str, version: int, tmp_path: Path
) -> None:
    """The reference is in the other spelling, so that keys alone tell nothing."""
    source = hub.make(family, tmp_path / "model", 9 - version)
    ours = hub.make(family, tmp_path / "ours", version)
    shutil.copyfile(source / "model.safetensors", ours / "model.safetensors")
    assert preflight(ours, reference=source) == []
    mutants.change_json(ours, "config.json", edit)
    found = [finding for finding in preflight(ours, reference=source) if finding.level == "refused"]
    assert any(names in finding.where for finding in found), [str(finding) for finding in found]


def test_a_stop_token_that_only_the_template_names_is_added(calib: Path, tmp_path: Path) -> None:
    """The template stands in tokenizer_config.json, and generation_config.json names another token."""
    source = hub.make("qwen3-0.6b", tmp_path / "model", 4)
    mutants.change_json(source, "generation_config.json", lambda c: c.update(eos_token_id=256))
    mutants.change_json(source, "config.json", lambda c: c.update(eos_token_id=256))
    out = tmp_path / "out"
    arguments = ["--model", str(source), "--recipe", "nvfp4-default", "--calib", str(calib), "--out", str(out)]
    assert main(["ptq", *arguments]) == 0
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == [256, 258]
    assert "--served-model-name out" in (out / "serve.md").read_text()


@pytest.mark.parametrize("command", ["ptq", "qat"])
def test_experts_that_no_quantiser_reaches_are_refused_before_anything_slow(
    command: str, calib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    config = Qwen3MoeConfig(
        **hub.SIZES, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, max_position_embeddings=512,
        eos_token_id=257,
    )  # fmt: skip
    source = tmp_path / "moe"
    tiny.save(Qwen3MoeForCausalLM(config), source)
    tiny.byte_tokenizer(source)
    paths = ["--model", str(source), "--out", str(tmp_path / "out")]
    more = ["--recipe", "nvfp4-default", "--calib", str(calib)]
    if command == "qat":
        more = ["--recipe", "qad-lora", "--data", str(calib), *TRAIN]
    assert main([command, *paths, *more]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "holds 4 experts in one tensor, gate_up_proj" in message
    assert not (tmp_path / "out").exists()


def test_a_layer_that_calibration_never_reached_is_named() -> None:
    import torch
    from modelopt.torch import quantization as mtq
    from torch import nn

    from quant.errors import UsageError
    from quant.quantize.quantize import check_reached

    model = nn.ModuleDict({"experts": nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])})
    inputs = {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": (4, 3), "axis": None}}
    config = {"quant_cfg": [{"quantizer_name": "*", "enable": False}, inputs], "algorithm": "max"}
    first: Any = model["experts"]
    mtq.quantize(model, config, lambda _: first[0](torch.ones(1, 32)))
    with pytest.raises(UsageError, match=r"never reached 1 experts, first experts\.1"):
        check_reached(model)


def test_a_config_that_asks_for_a_billion_layers_is_not_built(tmp_path: Path) -> None:
    source = hub.make("qwen2.5-0.5b", tmp_path / "model", 4)
    ours = tmp_path / "ours"
    shutil.copytree(source, ours)
    mutants.change_json(ours, "config.json", lambda c: c.update(num_hidden_layers=10**9))
    assert any("num_hidden_layers" in finding.where for finding in preflight(ours, reference=source))
    content = json.loads((source / "config.json").read_text())
    assert content["num_hidden_layers"] == 2

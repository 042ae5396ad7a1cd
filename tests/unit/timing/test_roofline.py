"""Roofline bounds from the headers of a checkpoint."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from annie_eval.timing.hardware import Hardware
from annie_eval.timing.roofline import bounds, read_model

GB10 = Hardware("dgx-spark", memory_gb_s=273, tflops={"bf16": 125, "fp8": 250, "fp4": 500}, cache_mb=0.001)
WIDTH = {"BF16": 2, "F32": 4, "U8": 1, "F8_E4M3": 1}
CONFIG = {
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "head_dim": 16,
    "hidden_size": 64,
    "vocab_size": 1000,
}


def checkpoint(path: Path, tensors: dict[str, tuple[str, list[int]]], **config: Any) -> Path:
    header, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = WIDTH[dtype]
        for extent in shape:
            size *= extent
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    (path / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return path


def test_a_tied_head_reads_the_embedding_table_once(tmp_path: Path) -> None:
    tensors = {
        "model.embed_tokens.weight": ("BF16", [1000, 64]),
        "model.layers.0.mlp.up_proj.weight": ("BF16", [64, 64]),
        "model.norm.weight": ("BF16", [64]),
    }
    model = read_model(checkpoint(tmp_path, tensors))
    assert model is not None
    assert (model.weight_bytes, model.parameters) == (2 * (64_000 + 4096 + 64), 4096)
    assert (model.attention_width, model.kv_bytes) == (4 * 4 * 16, 4 * 2 * 16 * 4)


def test_an_untied_embedding_is_looked_up_not_read(tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": ("BF16", [1000, 64]), "lm_head.weight": ("BF16", [1000, 64])}
    model = read_model(checkpoint(tmp_path, tensors))
    assert model is not None
    assert model.weight_bytes == 128_000


def test_nvfp4_packs_two_parameters_into_a_byte(tmp_path: Path) -> None:
    tensors = {
        "model.layers.0.mlp.up_proj.weight": ("U8", [64, 32]),
        "model.layers.0.mlp.up_proj.weight_scale": ("F8_E4M3", [64, 4]),
        "model.layers.0.mlp.up_proj.weight_scale_2": ("F32", []),
    }
    model = read_model(checkpoint(tmp_path, tensors, quantization_config={"quant_algo": "NVFP4"}))
    assert model is not None
    assert (model.parameters, model.weight_bytes, model.format) == (4096, 64 * 32 + 64 * 4 + 4, "fp4")


def test_only_full_attention_layers_have_a_growing_cache(tmp_path: Path) -> None:
    kinds = ["linear_attention"] * 3 + ["full_attention"]
    config = {"text_config": {**CONFIG, "layer_types": kinds}}
    model = read_model(checkpoint(tmp_path, {"model.norm.weight": ("BF16", [64])}, **config))
    assert model is not None
    assert (model.attention_width, model.kv_bytes) == (64, 128)


def test_vision_and_mtp_weights_are_not_read_for_text(tmp_path: Path) -> None:
    tensors = {"model.visual.patch.weight": ("BF16", [64, 64]), "mtp.layers.0.weight": ("BF16", [64, 64])}
    model = read_model(checkpoint(tmp_path, tensors))
    assert model is not None
    assert (model.weight_bytes, model.parameters) == (0, 0)


def test_experts_count_by_the_share_that_is_active(tmp_path: Path) -> None:
    tensors = {"model.layers.0.mlp.experts.0.up_proj.weight": ("BF16", [64, 64])}
    model = read_model(checkpoint(tmp_path, tensors, num_experts=8, num_experts_per_tok=2))
    assert model is not None
    assert model.parameters == 4096 / 4


@pytest.mark.parametrize("broken", ["no config", "no tensors", "garbage"])
def test_an_unreadable_checkpoint_has_no_roofline(tmp_path: Path, broken: str) -> None:
    if broken != "no config":
        (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    if broken == "garbage":
        (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert read_model(tmp_path) is None


def test_bounds_of_the_9b_model_on_a_gb10(tmp_path: Path) -> None:
    """The figures of the study's roofline: 6.92e9 parameters, NVFP4 layers and a BF16 head, 5.93 GB a token."""
    tensors = {
        "layers.0.up_proj.weight": ("U8", [6_920_000, 500]),
        "layers.0.up_proj.weight_scale": ("F8_E4M3", [6_920_000, 62]),
        "lm_head.weight": ("BF16", [248_320, 4096]),
    }
    kinds = ["full_attention"] * 8 + ["linear_attention"] * 24
    config = {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256, "num_hidden_layers": 32}
    model = read_model(
        checkpoint(tmp_path, tensors, layer_types=kinds, quantization_config={"quant_algo": "NVFP4"}, **config)
    )
    assert model is not None
    found = bounds(model, GB10)
    assert found is not None
    assert found.decode_ceiling(512) == pytest.approx(45, rel=0.03)
    assert found.decode_ceiling(16384) == pytest.approx(41.6, rel=0.03)
    assert found.ttft_floor_ms(16384) == pytest.approx(491, rel=0.03)
    assert found.ttft_floor_ms(16) == pytest.approx(22, rel=0.05), "a short prompt still reads every weight"


def test_weights_within_the_cache_have_no_bandwidth_ceiling(tmp_path: Path) -> None:
    model = read_model(checkpoint(tmp_path, {"layers.0.up_proj.weight": ("BF16", [64, 64])}))
    assert model is not None
    found = bounds(model, Hardware("x", memory_gb_s=1, tflops={"bf16": 1}, cache_mb=1))
    assert found is not None
    assert found.decode_ceiling(16) is None


def test_a_machine_without_rates_has_no_bounds(tmp_path: Path) -> None:
    model = read_model(checkpoint(tmp_path, {"layers.0.up_proj.weight": ("BF16", [64, 64])}))
    assert model is not None
    assert bounds(model, Hardware("x")) is None

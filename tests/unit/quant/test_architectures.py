"""The tensors of each architecture with their shapes, and the configs that cannot be.

The expected tensors are in architectures.json: `tests/support/stored_table.py` says how it is written. Sizes are
prime, so that each dimension names its setting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from quant.preflight.architectures import LARGEST, MOST_LAYERS, BadConfig, shapes, vision_shapes
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("architectures.json")
TEXT = {
    "hidden_size": 22,
    "intermediate_size": 13,
    "vocab_size": 17,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
LINEAR = {
    "linear_num_value_heads": 6,
    "linear_value_head_dim": 7,
    "linear_num_key_heads": 3,
    "linear_key_head_dim": 5,
    "linear_conv_kernel_dim": 4,
}
VISION = {
    "hidden_size": 6,
    "intermediate_size": 13,
    "patch_size": 7,
    "spatial_merge_size": 3,
    "temporal_patch_size": 2,
    "out_hidden_size": 11,
    "depth": 2,
    "num_position_embeddings": 19,
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in ("llama", "mistral", "qwen2", "qwen3")},
    "qwen3_5": ("qwen3_5", LINEAR),
    "qwen3_5_text": ("qwen3_5_text", LINEAR | {"num_hidden_layers": 5}),
    "another interval": ("qwen3_5_text", LINEAR | {"full_attention_interval": 2}),
    "kinds of layers": ("qwen3_5_text", LINEAR | {"layer_types": ["full_attention", "linear_attention", "more"]}),
    "kinds of layers of a llama": ("llama", {"layer_types": ["linear_attention"] * 2}),
    "a width of heads": ("llama", {"head_dim": 5}),
    "all heads have keys": ("llama", {"num_key_value_heads": None}),
    "a bias of attention": ("llama", {"attention_bias": True}),
    "a bias of qwen2's attention": ("qwen2", {"attention_bias": True}),
    "a bias of the MLP": ("llama", {"mlp_bias": True}),
    "experts": ("qwen3", {"num_experts": 2}),
    "quantised inside": ("llama", {"quantization": {}, "num_experts": 0}),
    "quantised": ("llama", {"quantization": {"a": 1}}),
    "another kind": ("opt", {}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_architecture_has_these_tensors(case: str) -> None:
    kind, changes = CASES[case]
    found = shapes(TEXT | changes, kind)
    expect(TABLE, case, None if found is None else {name: list(shape) for name, shape in found.items()})


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "qwen3_5_text"])
def test_transformers_makes_the_same_tensors(kind: str) -> None:
    config = {**TEXT, **LINEAR, "hidden_size": 16, "head_dim": 8, "vocab_size": 17, "tie_word_embeddings": False}
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config))
    theirs = {name: tuple(each.shape) for name, each in made.state_dict().items() if not name.startswith("lm_head")}
    assert shapes(made.config.to_dict(), kind) == theirs


def test_the_vision_tower_has_these_tensors() -> None:
    expect(TABLE, "vision", {name: list(shape) for name, shape in vision_shapes(VISION).items()})
    expect(
        TABLE,
        "vision, channels",
        {n: list(s) for n, s in vision_shapes(VISION | {"in_channels": 4, "depth": 1}).items()},
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", None),
        ("hidden_size", 0),
        ("hidden_size", True),
        ("hidden_size", "8"),
        ("hidden_size", 8.0),
        ("hidden_size", LARGEST + 1),
        ("num_hidden_layers", MOST_LAYERS + 1),
        ("rms_norm_eps", 0),
        ("rms_norm_eps", -1e-6),
        ("rms_norm_eps", float("inf")),
        ("rms_norm_eps", float("nan")),
        ("rms_norm_eps", "1e-6"),
        ("rms_norm_eps", True),
        ("rope_theta", 0.0),
        ("rope_parameters", {"rope_theta": 0.0}),
        ("num_attention_heads", 0),
    ],
)
def test_a_size_that_cannot_be_is_named(key: str, value: Any) -> None:
    with pytest.raises(BadConfig) as caught:
        shapes(TEXT | {key: value}, "llama")
    assert caught.value.key == ("rope_theta" if key == "rope_parameters" else key)
    expect(TABLE, f"{key}: {value}", str(caught.value))


@pytest.mark.parametrize("kinds", ["full_attention", ["full_attention"]])
def test_too_few_kinds_of_layers_are_named(kinds: Any) -> None:
    with pytest.raises(BadConfig) as caught:
        shapes(TEXT | LINEAR | {"layer_types": kinds}, "qwen3_5_text")
    expect(TABLE, f"layer_types: {kinds}", str(caught.value))


@pytest.mark.parametrize(
    ("key", "value"), [("vocab_size", 1), ("vocab_size", LARGEST), ("rms_norm_eps", 1), ("rope_theta", 1e-9)]
)
def test_a_size_at_its_limit_is_sound(key: str, value: Any) -> None:
    assert shapes(TEXT | {key: value}, "llama") is not None


def test_a_tower_of_too_many_layers_is_refused() -> None:
    with pytest.raises(BadConfig, match="10000"):
        vision_shapes(VISION | {"depth": MOST_LAYERS + 1})

"""Preflight's findings about values and layouts of single tensors: the whole text of each, also at its limits.

The expected findings are in preflight_values.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from quant.preflight.scales import WINDOW, format_findings, windows
from quant.preflight.tensors import is_linear, layer_names, plain_values, tensor_findings
from tests.support.small_checkpoints import (
    ATTENTION,
    DOWN,
    GATE,
    UP,
    Edit,
    Tensors,
    bytes_of,
    checkpoint,
    codes,
    few,
    told,
)
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("preflight_values.json")
# --- one layer ------------------------------------------------------------------------------------------------------


def layer(algorithm: str, name: str = DOWN) -> Tensors:
    """A sound layer of a format, of 16 rows."""
    if "NVFP4" in algorithm:
        made = {
            "weight": bytes_of(0x21, 16, 32),
            "weight_scale": codes(0x30, 0x38, shape=(16, 4)),
            "weight_scale_2": torch.tensor(0.01),
        }
        return {f"{name}.{part}": tensor for part, tensor in made.items()} | (
            {f"{name}.input_scale": torch.tensor(0.02)} if algorithm == "NVFP4" else {}
        )
    columns, scale = {
        "FP8": (8, torch.tensor(0.01)),
        "FP8_PER_CHANNEL_PER_TOKEN": (8, torch.full((16,), 0.01)),
        "FP8_PB_WO": (256, torch.full((1, 1, 2, 1), 0.01)),
        "MXFP8": (128, torch.full((16, 4), 120, dtype=torch.uint8)),
    }[algorithm]
    made = {"weight": codes(0x30, shape=(16, columns)), "weight_scale": scale}
    made |= {"input_scale": torch.tensor(0.02)} if algorithm == "FP8" else {}
    return {f"{name}.{part}": tensor for part, tensor in made.items()}


def put(part: str, tensor: Tensor) -> Edit:
    return lambda tensors: tensors.update({f"{DOWN}.{part}": tensor})


def no(part: str) -> Edit:
    return lambda tensors: tensors.pop(f"{DOWN}.{part}")


def number(part: str, value: float) -> tuple[str, Edit]:
    return f"{part} {value:.9g}", put(part, torch.tensor(value))


FINITE = [float("nan"), float("inf"), 0.0, -0.5]
LARGEST = 1e6 / (6 * 448)
LAYERS: dict[str, dict[str, Edit]] = {
    "NVFP4": {
        "sound": lambda _: None,
        "no weight_scale_2": no("weight_scale_2"),
        "no input_scale": no("input_scale"),
        "no weight_scale": no("weight_scale"),
        "two scales": put("weight_scale_2", torch.ones(2)),
        "one scale in a list": put("weight_scale_2", torch.ones(1)),
        "a scale of half precision": put("input_scale", torch.ones(1).half()),
        **dict(number("weight_scale_2", value) for value in FINITE),
        **dict(number("weight_scale_2", LARGEST * by) for by in (0.9999, 1.0001)),
        **dict(number("input_scale", LARGEST * by) for by in (0.9999, 1.0001)),
        **dict(number("weight_scale_2", LARGEST * 1e-18 * by) for by in (0.9999, 1.0001)),
        "a vector": put("weight", bytes_of(0x21, 512)),
        "24 columns": put("weight", bytes_of(0x21, 16, 12)),
        "block scales of single precision": put("weight_scale", torch.ones(16, 4)),
        "block scales of another shape": put("weight_scale", codes(0x30, 0x38, shape=(16, 5))),
        "block scales in rows of 32": put("weight_scale", codes(0x30, 0x38, shape=(16, 2))),
        "NaN": put("weight_scale", codes(0x7F, 0x38, shape=(16, 4))),
        "negative NaN": put("weight_scale", codes(0xFF, 0x38, shape=(16, 4))),
        "the largest": put("weight_scale", codes(0x7E, 0x38, shape=(16, 4))),
        "negative": put("weight_scale", codes(0x80, 0x81, 0x38, shape=(16, 4))),
        "negative and NaN": put("weight_scale", codes(0x81, 0xFF, 0x38, shape=(16, 4))),
        "zero": put("weight_scale", codes(0, 0, 0x38, shape=(16, 4))),
        "all equal": put("weight_scale", codes(0x38, shape=(16, 4))),
        "half at the minimum": put("weight_scale", codes(*[1] * 32, 2, shape=(16, 4))),
        "more than half at the minimum": put("weight_scale", codes(*[1] * 33, 2, shape=(16, 4))),
        "half at the next": put("weight_scale", codes(*[2] * 33, 1, 3, shape=(16, 4))),
        "zeros": put("weight", bytes_of(0, 16, 32)),
        "negative zeros": put("weight", bytes_of(0x88, 16, 32)),
        "one that is not zero, low": put("weight", few(0x01, 0, 1 / 512, 512)),
        "one that is not zero, high": put("weight", few(0x10, 0, 1 / 512, 512)),
        "one of 4 in the low half": put("weight", few(0x04, 0, 1 / 512, 512)),
        "one of 4 in the high half": put("weight", few(0x40, 0, 1 / 512, 512)),
        "60 % saturated": put("weight", few(0x77, 0x66, 0.6, 640)),
        "61 % saturated": put("weight", few(0x77, 0x66, 0.61, 640)),
        "70 % saturated": put("weight", few(0xF7, 0x66, 0.7, 640)),
        "31 bytes of zeros": lambda t: t.update({f"{DOWN}.weight": bytes_of(0, 1, 31)}),
        "32 bytes of zeros": lambda t: t.update({f"{DOWN}.weight": bytes_of(0, 1, 32)}),
        "63 equal scales": lambda t: t.update(
            {f"{DOWN}.weight": bytes_of(0x21, 1, 504), f"{DOWN}.weight_scale": codes(0x38, shape=(1, 63))}
        ),
        "no elements": lambda t: t.update(
            {f"{DOWN}.weight": bytes_of(0, 0, 32), f"{DOWN}.weight_scale": codes(0, shape=(0, 4))}
        ),
        "63 scales at the minimum": lambda t: t.update(
            {f"{DOWN}.weight": bytes_of(0x21, 1, 504), f"{DOWN}.weight_scale": codes(*[1] * 62, 2, shape=(1, 63))}
        ),
    },
    "W4A16_NVFP4": {"sound": lambda _: None, "an input scale": put("input_scale", torch.tensor(0.02))},
    "FP8": {
        "sound": lambda _: None,
        "no weight_scale": no("weight_scale"),
        "no input_scale": no("input_scale"),
        **dict(number("weight_scale", value) for value in FINITE),
        **dict(number("weight_scale", 1e6 / 448 * by) for by in (0.9999, 1.0001)),
        **dict(number("input_scale", 1e6 / 448 * by) for by in (0.9999, 1.0001)),
        "NVFP4's scale": put("weight_scale_2", torch.tensor(0.01)),
        "NaN": put("weight", codes(0x7F, 0x30, shape=(16, 8))),
        "negative NaN": put("weight", codes(0xFF, 0x30, shape=(16, 8))),
        "zeros": put("weight", codes(0, shape=(16, 8))),
        "negative zeros": put("weight", codes(0x80, shape=(16, 8))),
        "one that is not zero": put("weight", codes(0x01, 0, shape=(16, 8))),
        "31 zeros": put("weight", codes(0, shape=(1, 31))),
        "32 zeros": put("weight", codes(0, shape=(1, 32))),
        "nothing": put("weight", codes(0, shape=(0, 8))),
        "30 % saturated": put("weight", codes(*[0x7E] * 30, 0x30, shape=(1, 100))),
        "31 % saturated": put("weight", codes(*[0xFE] * 31, 0x30, shape=(1, 100))),
        "31 saturated": put("weight", codes(0x7E, shape=(1, 31))),
        "32 saturated": put("weight", codes(0x7E, shape=(1, 32))),
    },
    "FP8_PER_CHANNEL_PER_TOKEN": {
        "sound": lambda _: None,
        "a column of scales": put("weight_scale", torch.full((16, 1), 0.01)),
        "no weight_scale": no("weight_scale"),
        "another shape": put("weight_scale", torch.full((8,), 0.01)),
        "half precision": put("weight_scale", torch.full((16,), 0.01).half()),
        "two that are not finite and one of zero": put(
            "weight_scale", torch.tensor([math.nan, math.inf, 0.0, *[0.01] * 13])
        ),
        "one below zero": put("weight_scale", torch.tensor([-0.01, *[0.01] * 15])),
        "just plausible": put("weight_scale", torch.tensor([1e6 / 448 * 0.9999, *[0.01] * 15])),
        "implausible": put("weight_scale", torch.tensor([1e6 / 448 * 1.0001, *[0.01] * 15])),
        "small, but plausible": put("weight_scale", torch.full((16,), 1e-12 / 448 * 1.0001)),
        "too small": put("weight_scale", torch.full((16,), 1e-12 / 448 * 0.9999)),
        "an input scale": put("input_scale", torch.tensor(0.02)),
        "a weight of three dimensions": put("weight", codes(0x30, shape=(2, 8, 8))),
    },
    "FP8_PB_WO": {
        "sound": lambda _: None,
        "no multiple": put("weight", codes(0x30, shape=(16, 192))),
        "129 rows": put("weight", codes(0x30, shape=(129, 256))),
        "128 rows": put("weight", codes(0x30, shape=(128, 256))),
        "another shape": put("weight_scale", torch.full((1, 2), 0.01)),
        "a weight of three dimensions": put("weight", codes(0x30, shape=(2, 8, 192))),
    },
    "MXFP8": {
        "sound": lambda _: None,
        "no multiple": put("weight", codes(0x30, shape=(16, 80))),
        "no weight_scale": no("weight_scale"),
        "single precision": put("weight_scale", torch.full((16, 4), 1.0)),
        "another shape": put("weight_scale", bytes_of(120, 16, 3)),
        "two NaN": put("weight_scale", torch.tensor([255, 255, *[120] * 62], dtype=torch.uint8).reshape(16, 4)),
        "2**20": put("weight_scale", bytes_of(147, 16, 4)),
        "2**21": put("weight_scale", bytes_of(148, 16, 4)),
        "all at the minimum": put("weight_scale", bytes_of(0, 16, 4)),
        "all at the next": put("weight_scale", bytes_of(1, 16, 4)),
        "one above the minimum": put("weight_scale", few(1, 0, 1 / 64, 64)),
        "63 at the minimum": lambda t: t.update(
            {f"{DOWN}.weight": codes(0x30, shape=(1, 2016)), f"{DOWN}.weight_scale": bytes_of(0, 1, 63)}
        ),
        "nothing": lambda t: t.update(
            {f"{DOWN}.weight": codes(0x30, shape=(0, 128)), f"{DOWN}.weight_scale": bytes_of(0, 0, 4)}
        ),
        "an input scale": put("input_scale", torch.tensor(0.02)),
        "a weight of three dimensions": put("weight", codes(0x30, shape=(2, 8, 80))),
    },
}
LAYER_CASES = [(algorithm, case) for algorithm, cases in LAYERS.items() for case in cases]


@pytest.mark.parametrize(("algorithm", "case"), LAYER_CASES)
def test_what_is_wrong_with_a_layer(tmp_path: Path, algorithm: str, case: str) -> None:
    tensors = layer(algorithm)
    LAYERS[algorithm][case](tensors)
    findings = told(format_findings(checkpoint(tmp_path, tensors), DOWN, algorithm))
    assert (findings == []) or case != "sound"
    expect(TABLE, f"layer {algorithm}: {case}", findings)


def test_an_input_scale_that_the_groups_make_unread_is_refused(tmp_path: Path) -> None:
    groups = {"config_groups": {"a": {"weights": {"num_bits": 4}}}}
    config = {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", **groups}}
    findings = told(format_findings(checkpoint(tmp_path, layer("NVFP4"), config), DOWN, "W4A16_NVFP4"))
    expect(TABLE, "layer: an input scale that the groups make unread", findings)


@pytest.mark.parametrize("size", [16, 3 * WINDOW, 3 * WINDOW + 16, 4 * WINDOW, 10 * WINDOW + 32])
def test_of_a_large_tensor_start_middle_and_end_are_read(tmp_path: Path, size: int) -> None:
    numbers = torch.arange(size // 4, dtype=torch.int32)
    ours = checkpoint(tmp_path, {"first": torch.full((4,), -1, dtype=torch.int32), "x": numbers})
    read = windows(ours.tensors["x"]).view(np.int32).tolist()
    if size <= 3 * WINDOW:
        assert read == list(range(size // 4))
    else:
        third, middle = WINDOW // 4, size // 2 // 16 * 4
        assert read[:third] == list(range(third))
        assert read[third : 2 * third] == list(range(middle, middle + third))
        assert read[2 * third :] == list(range(size // 4 - third, size // 4))


# --- all layers of a checkpoint -------------------------------------------------------------------------------------


def modelopt(algorithm: str = "NVFP4", **more: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "modelopt", "quant_algo": algorithm, "ignore": [], **more}}


def inputs(*values: float) -> Tensors:
    """Layers that nothing fuses, with these input scales."""
    made: Tensors = {}
    for number, value in enumerate(values):
        name = f"model.layers.{number}.mlp.down_proj"
        made |= layer("NVFP4", name) | {f"{name}.input_scale": torch.tensor(value)}
    return made


def fused(scale: str, *values: float, parts: tuple[str, ...] = ("q_proj", "k_proj", "v_proj")) -> Tensors:
    made: Tensors = {}
    for part, value in zip(parts, values, strict=True):
        made |= layer("NVFP4", f"{ATTENTION}.{part}") | {f"{ATTENTION}.{part}.{scale}": torch.tensor(value)}
    return made


CACHE = {"kv_cache_scheme": {"num_bits": 8, "type": "float", "dynamic": False}}
NESTED_CACHE = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": [], "kv_cache_quant_algo": "FP8"}
Q = {f"model.layers.{n}.self_attn.q_proj.weight": torch.ones(2, 2).bfloat16() for n in (0, 1)}


def cache(*names: str, value: Any = 0.5) -> Tensors:
    return {name: value if isinstance(value, Tensor) else torch.tensor(value) for name in names}


KEYS = [f"model.layers.{n}.self_attn.{part}_proj.{part}_scale" for n in (0, 1) for part in ("k", "v")]
TINY = {
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 1,
    "vocab_size": 12,
}


def llama(**changes: tuple[int, ...] | None) -> Tensors:
    shapes: dict[str, tuple[int, ...] | None] = {
        "model.embed_tokens.weight": (12, 8),
        "model.norm.weight": (8,),
        "model.layers.0.input_layernorm.weight": (8,),
        "model.layers.0.post_attention_layernorm.weight": (8,),
        f"{ATTENTION}.q_proj.weight": (8, 8),
        f"{ATTENTION}.k_proj.weight": (4, 8),
        f"{ATTENTION}.v_proj.weight": (4, 8),
        f"{ATTENTION}.o_proj.weight": (8, 8),
        f"{GATE}.weight": (16, 8),
        f"{UP}.weight": (16, 8),
        f"{DOWN}.weight": (8, 16),
        "lm_head.weight": (12, 8),
    } | changes
    return {name: torch.ones(shape).bfloat16() for name, shape in shapes.items() if shape is not None}


def with_(tensors: Tensors, **more: Tensor) -> Tensors:
    return tensors | more


CHECKPOINTS: dict[str, tuple[Tensors, dict[str, Any]]] = {
    "four equal inputs": (inputs(0.5, 0.5, 0.5, 0.5), modelopt()),
    "three equal inputs": (inputs(0.5, 0.5, 0.5), modelopt()),
    "four inputs, one other": (inputs(0.5, 0.5, 0.5, 0.6), modelopt()),
    "four inputs of 1": (inputs(1.0, 1.0, 1.0, 1.0), modelopt()),
    "four inputs of two numbers": (
        inputs(1, 1, 1, 1) | {f"model.layers.{n}.mlp.down_proj.input_scale": torch.ones(2) for n in range(4)},
        modelopt(),
    ),
    "an odd weight scale": (fused("weight_scale_2", 0.01, 0.02, 0.01), modelopt()),
    "an odd input scale": (fused("input_scale", 0.01, 0.01, 0.02), modelopt()),
    "the first is odd": (fused("input_scale", 0.03, 0.01, 0.01), modelopt()),
    "no weight": (
        layer("NVFP4") | {f"{UP}.{part}": torch.ones(1) for part in ("weight_scale", "input_scale")}, modelopt()
    ),
    "weights of integers": ({f"{DOWN}.weight": torch.ones(2, 2, dtype=torch.int32)}, modelopt()),
    "packed, but excluded": (layer("NVFP4"), modelopt(ignore=[DOWN])),
    "plain, but excluded, with scales": (
        {f"{DOWN}.weight": torch.ones(2, 16).bfloat16(), f"{DOWN}.input_scale": torch.ones(1)},
        modelopt(ignore=[DOWN]),
    ),
    "plain, but not excluded": ({f"{DOWN}.weight": torch.ones(2, 16).bfloat16()}, modelopt()),
    "FP8 under NVFP4": (layer("FP8"), modelopt()),
    "NVFP4 under FP8": (layer("NVFP4"), modelopt("FP8")),
    "sound under W4A16": (layer("W4A16_NVFP4"), modelopt("W4A16_NVFP4")),
    "leftovers": (
        layer("NVFP4")
        | {
            f"{DOWN}.{part}": torch.ones(1)
            for part in (
                "pre_quant_scale", "amax", "input_quantizer._amax", "lora_A.weight", "odd_scale", "odd_scale_2",
                "weight_scale_inv", "weight_zero_point",
            )
        },
        modelopt(),
    ),
    "cache scales that no config names": (Q | cache(*KEYS), modelopt(ignore=["*"])),
    "cache scales": (Q | cache(*KEYS), modelopt(ignore=["*"], **CACHE)),
    "cache scales of attention": (
        Q | cache(*(f"model.layers.{n}.self_attn.{part}_scale" for n in (0, 1) for part in ("k", "v"))),
        modelopt(ignore=["*"], **CACHE),
    ),
    "a cache scale less": (Q | cache(*KEYS[:-1]), modelopt(ignore=["*"], **CACHE)),
    "a cache scale of NaN": (Q | cache(*KEYS[:-1]) | cache(KEYS[-1], value=math.nan), modelopt(ignore=["*"], **CACHE)),
    "a cache scale of zero": (Q | cache(*KEYS[:-1]) | cache(KEYS[-1], value=0.0), modelopt(ignore=["*"], **CACHE)),
    "a cache scale below zero": (Q | cache(KEYS[0], value=-1.0) | cache(*KEYS[1:]), modelopt(ignore=["*"], **CACHE)),
    "a small cache scale": (Q | cache(KEYS[0], value=1e-30) | cache(*KEYS[1:]), modelopt(ignore=["*"], **CACHE)),
    "a cache scale of two": (
        Q | cache(KEYS[0], value=torch.ones(2)) | cache(*KEYS[1:]), modelopt(ignore=["*"], **CACHE)
    ),
    "a cache scale of half precision": (
        Q | cache(KEYS[0], value=torch.ones(1).half()) | cache(*KEYS[1:]), modelopt(ignore=["*"], **CACHE)
    ),
    "a cache whose scales are not read": (
        Q | cache(*KEYS), {"quantization_config": {**NESTED_CACHE, "ignore": ["*"]}}
    ),
    "a cache whose scales are not read, all 1": (
        Q | cache(*KEYS, value=1.0), {"quantization_config": {**NESTED_CACHE, "ignore": ["*"]}}
    ),
    "llama": (llama(), TINY),
    "llama without its head": (llama(**{"lm_head.weight": None}), TINY),
    "llama, a tensor less": (llama(**{f"{UP}.weight": None}), TINY),
    "llama, another shape": (llama(**{f"{UP}.weight": (16, 9)}), TINY),
    "llama, another vector": (llama(**{"model.norm.weight": (9,)}), TINY),
    "llama, another head": (llama(**{"lm_head.weight": (13, 8)}), TINY),
    "llama, a tensor more": (llama(**{"model.layers.0.mlp.more.weight": (2, 2)}), TINY),
    "llama, a bias of the head": (llama(**{"lm_head.bias": (12,)}), TINY),
    "llama, an MTP head": (llama(**{"mtp.norm.weight": (2,), "model.rotary.inv_freq": (2,)}), TINY),
    "llama, an odd config": (llama(), {**TINY, "hidden_size": "8"}),
    "llama, a scale of an unknown layer": (llama(**{"model.x.weight_scale": (1,)}), TINY),
    "llama, scales of the head": (llama(**{"lm_head.weight_scale": (1,)}), TINY),
    "llama, a cache scale": (llama(**{f"{ATTENTION}.k_scale": (1,)}), TINY),
    "llama, packed": (
        llama() | {f"{DOWN}.weight": bytes_of(0x21, 8, 8)} | {"lm_head.weight": bytes_of(0x21, 12, 4)}, TINY
    ),
    "llama, packed in another shape": (llama() | {f"{DOWN}.weight": bytes_of(0x21, 8, 16)}, TINY),
    "llama, a packed head of another shape": (llama() | {"lm_head.weight": bytes_of(0x21, 12, 8)}, TINY),
}  # fmt: skip


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_what_is_wrong_with_the_layers_of_a_checkpoint(tmp_path: Path, case: str) -> None:
    tensors, config = CHECKPOINTS[case]
    expect(TABLE, f"checkpoint: {case}", told(tensor_findings(checkpoint(tmp_path, tensors, config))))


def test_constant_inputs_are_right_where_the_recipe_says_so(tmp_path: Path) -> None:
    ours = checkpoint(tmp_path, inputs(1.0, 1.0, 1.0, 1.0), modelopt())
    assert told(tensor_findings(ours, {"recipe": {"activations": "constant"}})) == []
    assert len(told(tensor_findings(ours, {"recipe": {"activations": "max"}}))) == 1
    half = checkpoint(tmp_path, inputs(0.5, 0.5, 0.5, 0.5), modelopt())
    assert len(told(tensor_findings(half, {"recipe": {"activations": "constant"}}))) == 1


def test_layers_are_what_has_a_weight_or_a_scale(tmp_path: Path) -> None:
    names = ("a.weight", "b.input_scale", "c.bias", "d.weight_scale_2", "e.k_scale")
    ours = checkpoint(tmp_path, {name: torch.ones(1) for name in names})
    assert layer_names(ours) == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("name", "shape", "scaled", "linear"),
    [
        ("x", (2, 2), False, True),
        ("x", (2,), False, False),
        ("x", (2, 2, 2), False, False),
        ("x", (2,), True, True),
        ("embed_tokens", (2, 2), False, False),
        ("embed_tokens", (2, 2), True, True),
    ],
)
def test_what_may_be_quantised(tmp_path: Path, name: str, shape: tuple[int, ...], scaled: bool, linear: bool) -> None:
    tensors = {f"{name}.weight": torch.ones(shape)} | ({f"{name}.weight_scale": torch.ones(1)} if scaled else {})
    assert is_linear(checkpoint(tmp_path, tensors), name) is linear


NAN16, INF16 = torch.tensor([math.nan]), torch.tensor([-math.inf])
ZEROS = torch.zeros(4, 8)
PLAIN: dict[str, tuple[Tensors, dict[str, Any]]] = {
    **{
        f"{what} in {dtype}".replace("torch.", ""): (
            {"x.weight": torch.cat([torch.ones(40), value]).to(dtype)}, {}
        )
        for dtype in (torch.bfloat16, torch.float16, torch.float32)
        for what, value in (("NaN", NAN16), ("infinity", INF16), ("one", torch.ones(1)))
    },
    **{
        f"{what} in {dtype}".replace("torch.", ""): ({"x.weight": value.to(dtype)}, {})
        for dtype in (torch.bfloat16, torch.float16, torch.float32)
        for what, value in (
            ("zeros", ZEROS),
            ("negative zeros", -ZEROS),
            ("the smallest", torch.tensor([6e-8, *[0.0] * 31]).reshape(4, 8)),
        )
    },
    "31 zeros": ({"x.weight": torch.zeros(1, 31)}, {}),
    "a vector of zeros": ({"x.weight": torch.zeros(32)}, {}),
    "a bias of zeros": ({"x.bias": torch.zeros(4, 8)}, {}),
    "a norm of zeros": ({"x.norm.weight": torch.zeros(32)}, {"model_type": "llama"}),
    "a centred norm of zeros": ({"x.norm.weight": torch.zeros(32)}, {"model_type": "qwen3_5_text"}),
    "scales of NaN": ({f"x.{part}": NAN16 for part in ("weight_scale", "input_scale", "k_scale")}, {}),
    "integers": ({"x.weight": torch.zeros(4, 8, dtype=torch.int32)}, {}),
    "NaN beside zeros": ({"x.weight": ZEROS, "y.weight": NAN16}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", PLAIN)
def test_what_is_wrong_with_plain_weights(tmp_path: Path, case: str) -> None:
    tensors, config = PLAIN[case]
    expect(TABLE, f"plain: {case}", told(plain_values(checkpoint(tmp_path, tensors, config))))

"""Preflight's findings about formats of other makers: the whole text of each, also at its limits.

The expected findings are in preflight_foreign.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from quant import images
from quant.checkpoint.view import View
from quant.preflight.foreign import foreign_findings, foreign_formats, matches, method_findings
from tests.support.small_checkpoints import (
    ATTENTION,
    DOWN,
    GATE,
    UP,
    Tensors,
    bytes_of,
    checkpoint,
    codes,
    few,
    told,
)
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("preflight_foreign.json")


def compressed(*formats: str, **more: Any) -> dict[str, Any]:
    groups = {f"group_{n}": {"format": name, "targets": ["Linear"]} for n, name in enumerate(formats)}
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups, **more}}


def block_fp8(**more: Any) -> dict[str, Any]:
    return {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128], **more}}


PACK = "nvfp4-pack-quantized"
ACTIVATIONS = {"a": {"format": PACK, "input_activations": {"num_bits": 4}}}


def packed(name: str = DOWN, **changes: Tensor | None) -> Tensors:
    parts: dict[str, Tensor | None] = {
        "weight_packed": bytes_of(0x21, 16, 32),
        "weight_scale": codes(0x30, 0x38, shape=(16, 4)),
        "weight_global_scale": torch.tensor([100.0]),
    } | changes
    return {f"{name}.{part}": tensor for part, tensor in parts.items() if tensor is not None}


def channel(scale: Tensor | None, name: str = DOWN) -> Tensors:
    made = {f"{name}.weight": codes(0x30, shape=(16, 8))}
    return made if scale is None else made | {f"{name}.weight_scale": scale}


def block(rows: int = 130, columns: int = 256, name: str = DOWN, **changes: Tensor | None) -> Tensors:
    parts: dict[str, Tensor | None] = {
        "weight": codes(0x30, shape=(rows, columns)),
        "weight_scale_inv": torch.full((-(-rows // 128), -(-columns // 128)), 0.01),
    } | changes
    return {f"{name}.{part}": tensor for part, tensor in parts.items() if tensor is not None}


def experts(blocks: Tensor, scales: Tensor | None) -> Tensors:
    made = {"model.layers.0.mlp.experts.down_proj_blocks": blocks}
    return made if scales is None else made | {"model.layers.0.mlp.experts.down_proj_scales": scales}


FLOAT = torch.ones(16, 16).bfloat16()
MXFP4: dict[str, Any] = {"quantization_config": {"quant_method": "mxfp4"}}
FLOATS = (torch.bfloat16, torch.float16, torch.float32)
FOREIGN: dict[str, tuple[Tensors, dict[str, Any]]] = {
    "packed": (packed(), compressed(PACK)),
    "a method that no image has": (packed(), {"quantization_config": {"quant_method": "zork"}}),
    "a method of which nothing is known": (packed(), {"quantization_config": {"quant_method": "awq"}}),
    "no groups": (packed(), compressed()),
    "groups in a list": (packed(), compressed(config_groups=[1])),
    "exclusions that are a text": (packed(), compressed(PACK, ignore="lm_head")),
    "exclusions that are null": (packed(), compressed(PACK, ignore=None)),
    "a format of the section": (
        packed(), compressed(format=PACK, config_groups={"a": {"targets": ["Linear"]}, "b": 1})
    ),
    "formats in order": (packed(), compressed(PACK, "int-quantized", PACK)),
    "integers alone": (packed(weight_scale=None), compressed("int-quantized")),
    "packed, but excluded": (packed(), compressed(PACK, ignore=[DOWN])),
    "packed, the end excluded": (packed(), compressed(PACK, ignore=["down_proj"])),
    "packed, a part of a name excluded": (packed(), compressed(PACK, ignore=["own_proj"])),
    "plain, but not excluded": (packed() | {f"{UP}.weight": FLOAT}, compressed(PACK)),
    "plain of each kind": (
        packed() | {f"model.layers.{n}.x.weight": FLOAT.to(dtype) for n, dtype in enumerate(FLOATS)}, compressed(PACK)
    ),
    "plain integers": (packed() | {f"{UP}.weight": torch.ones(2, 2, dtype=torch.int32)}, compressed(PACK)),
    "plain and excluded": (packed() | {f"{UP}.weight": FLOAT}, compressed(PACK, ignore=[UP])),
    "routers": (
        packed()
        | {
            f"{name}.weight": FLOAT
            for name in (
                "model.layers.0.mlp.gate", "model.layers.0.router", "model.layers.0.mlp.shared_expert_gate", "lm_head",
                "mtp.fc", "model.visual.fc", "model.embed_tokens",
            )
        },
        compressed(PACK),
    ),
    "a vector": (packed() | {"model.norm.weight": torch.ones(8)}, compressed(PACK)),
    "a packed vector": (packed(weight_packed=bytes_of(0x21, 512)), compressed(PACK)),
    "packed as integers": (packed(weight_packed=torch.ones(16, 32, dtype=torch.int32)), compressed(PACK)),
    "no scales": (packed(weight_scale=None), compressed(PACK)),
    "scales of another kind": (packed(weight_scale=torch.ones(16, 4)), compressed(PACK)),
    "scales of another shape": (packed(weight_scale=codes(0x30, 0x38, shape=(16, 2))), compressed(PACK)),
    "scales of zero": (packed(weight_scale=codes(0, 0x38, shape=(16, 4))), compressed(PACK)),
    "no global scale": (packed(weight_global_scale=None), compressed(PACK)),
    "two global scales": (packed(weight_global_scale=torch.ones(2)), compressed(PACK)),
    "a global scale of zero": (packed(weight_global_scale=torch.zeros(1)), compressed(PACK)),
    "no input scale where activations are quantised": (packed(), compressed(config_groups=ACTIVATIONS)),
    "an input scale": (packed(input_global_scale=torch.ones(1)), compressed(config_groups=ACTIVATIONS)),
    "fused parts that differ": (
        packed(f"{ATTENTION}.q_proj")
        | packed(f"{ATTENTION}.k_proj", weight_global_scale=torch.tensor([99.0]))
        | packed(f"{ATTENTION}.v_proj"),
        compressed(PACK),
    ),
    "fused parts whose inputs differ": (
        packed(GATE, input_global_scale=torch.ones(1)) | packed(UP, input_global_scale=torch.full((1,), 2.0)),
        compressed(config_groups=ACTIVATIONS),
    ),
    "fused parts that agree": (packed(GATE) | packed(UP), compressed(PACK)),
    "a finding, then a layer": (packed(GATE) | packed(f"{UP}", weight_scale=None), compressed(PACK, ignore=[GATE])),
    **{
        f"a scale for each row in {dtype}".replace("torch.", ""): (
            channel(torch.full((16, 1), 0.01).to(dtype)), compressed("float-quantized")
        )
        for dtype in FLOATS
    },
    **{
        f"{what} in {dtype}".replace("torch.", ""): (
            channel(torch.tensor([value, value, 0.01, 0.02]).to(dtype)), compressed("float-quantized")
        )
        for dtype in FLOATS
        for what, value in (("NaN", math.nan), ("infinity", math.inf), ("below zero", -0.5), ("zero", 0.0))
    },
    "one scale": (channel(torch.full((1,), 0.01)), compressed("naive-quantized")),
    "as many scales as sixteenths": (channel(torch.full((8,), 0.01)), compressed("float-quantized")),
    "a scale for each element of a small weight": (
        {f"{DOWN}.weight": codes(0x30, shape=(2, 4)), f"{DOWN}.weight_scale": torch.full((1,), 0.01)},
        compressed("float-quantized"),
    ),
    "two scales of a small weight": (
        {f"{DOWN}.weight": codes(0x30, shape=(2, 4)), f"{DOWN}.weight_scale": torch.full((2,), 0.01)},
        compressed("float-quantized"),
    ),
    "nine scales of 128 values": (channel(torch.full((9,), 0.01)), compressed("float-quantized")),
    "no scale": (channel(None), compressed("float-quantized")),
    "plain beside FP8": (channel(torch.ones(1)) | {f"{UP}.weight": FLOAT}, compressed("float-quantized")),
    "FP8, but excluded": (channel(torch.ones(1)), compressed("float-quantized", ignore=[DOWN])),
    "excluded, then a fault": (
        channel(torch.ones(1), GATE) | channel(None, UP), compressed("float-quantized", ignore=[GATE])
    ),
    "blocks": (block(), block_fp8()),
    "no size of blocks": (block(), {"quantization_config": {"quant_method": "fp8"}}),
    **{
        f"blocks of {size}": (block(), block_fp8(weight_block_size=size))
        for size in ([128], [128, 128, 128], [0, 128], [128, 0], [1 << 20, 128], [(1 << 20) - 1, 128], ["1", 128], 128)
    },
    "blocks of 1": (
        block(4, 4, weight_scale_inv=torch.full((4, 4), 0.01)), block_fp8(weight_block_size=[1, 1])
    ),
    "blocks of another shape": (block(weight_scale_inv=torch.full((1, 2), 0.01)), block_fp8()),
    "blocks of another shape, and a layer": (
        block(weight_scale_inv=torch.full((1, 2), 0.01)) | block(name=UP, weight_scale_inv=None), block_fp8()
    ),
    "no scales of blocks": (block(weight_scale_inv=None), block_fp8()),
    "scales of blocks of zero": (block(weight_scale_inv=torch.zeros(2, 2)), block_fp8()),
    "scales by another name": (
        block(weight_scale_inv=None, scale=torch.zeros(2, 2)), block_fp8()
    ),
    "scales by a third name": (
        block(weight_scale_inv=None, weight_scale=torch.zeros(2, 2)), block_fp8()
    ),
    "exponents": (block(weight_scale_inv=bytes_of(120, 2, 2)), block_fp8()),
    "exponents of NaN": (
        block(weight_scale_inv=bytes_of(255, 2, 2)) | block(name=UP, weight_scale_inv=None), block_fp8()
    ),
    "one exponent of 254": (block(weight_scale_inv=bytes_of(254, 2, 2)), block_fp8()),
    "scales of integers": (block(weight_scale_inv=torch.ones(2, 2, dtype=torch.int32)), block_fp8()),
    "more scales than elements": (
        block(2, 2, weight_scale_inv=torch.full((5,), 0.01)), {"quantization_config": {"quant_method": "fp8"}}
    ),
    "as many scales as elements": (
        block(2, 2, weight_scale_inv=torch.full((4,), 0.01)), {"quantization_config": {"quant_method": "fp8"}}
    ),
    "weights of NaN": (block(weight=codes(0x7F, 0x30, shape=(130, 256))), block_fp8()),
    "weights of negative NaN": (block(weight=codes(0xFF, 0x30, shape=(130, 256))), block_fp8()),
    "the largest weights": (block(weight=codes(0x7E, 0x30, shape=(130, 256))), block_fp8()),
    "plain beside blocks": (block() | {f"{UP}.weight": FLOAT}, block_fp8()),
    "blocks that are excluded": (block(), block_fp8(modules_to_not_convert=[DOWN])),
    "blocks that another list excludes": (block(), block_fp8(ignored_layers=[DOWN])),
    "a list that is none": (block(), block_fp8(ignored_layers=DOWN)),
    "excluded, then blocks with a fault": (
        block(name=GATE) | block(name=UP, weight_scale_inv=None), block_fp8(modules_to_not_convert=[GATE])
    ),
    "integers among blocks, then a fault": (
        {f"{GATE}.weight": torch.ones(2, 2, dtype=torch.int8)} | block(name=UP, weight_scale_inv=None), block_fp8()
    ),
    "experts": (experts(bytes_of(1, 2, 4, 2, 16), bytes_of(120, 2, 4, 2)), MXFP4),
    "experts without scales": (experts(bytes_of(1, 2, 4, 2, 16), None), MXFP4),
    "experts with too few scales": (experts(bytes_of(1, 2, 4, 2, 16), bytes_of(120, 2, 4, 1)), MXFP4),
    "experts with scales of single precision": (experts(bytes_of(1, 2, 4, 2, 16), torch.ones(2, 4, 2)), MXFP4),
    "experts with NaN": (experts(bytes_of(1, 2, 4, 2, 16), few(255, 120, 1 / 16, 16)), MXFP4),
    "experts with exponents of 254": (experts(bytes_of(1, 2, 4, 2, 16), bytes_of(254, 2, 4, 2)), MXFP4),
    "something else, then experts": (
        {"a.weight": FLOAT} | experts(bytes_of(1, 2, 4, 2, 16), None), MXFP4
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_wrong_with_another_maker_s_checkpoint(tmp_path: Path, case: str) -> None:
    tensors, config = FOREIGN[case]
    expect(TABLE, f"foreign: {case}", told(foreign_findings(checkpoint(tmp_path, tensors, config), None)))


def test_a_method_is_refused_where_the_image_has_it_not(tmp_path: Path) -> None:
    config = {"quantization_config": {"quant_method": "mxfp4"}}
    ours = checkpoint(tmp_path, experts(bytes_of(1, 2, 4, 2, 16), None), config)
    expect(TABLE, "method: any", told(method_findings(ours, None)))
    for name, image in images.images().items():
        expect(TABLE, f"method: {name}", told(method_findings(ours, image)))
    assert told(method_findings(View(tmp_path), None)) == []


def test_layers_of_other_formats_are_counted(tmp_path: Path) -> None:
    tensors = {
        "a.weight_packed": bytes_of(0, 2, 2),
        "b.weight_packed": torch.ones(2, 2, dtype=torch.int32),
        "c.down_proj_blocks": bytes_of(0, 2, 2),
        "c.down_proj_scales": bytes_of(0, 2, 2),
        "d.weight": codes(0x30, shape=(2, 2)),
        "e.weight": torch.ones(2, 2),
        "f.weight": torch.ones(2, 2),
        "norm.weight": torch.ones(2),
        "embed_tokens.weight": torch.ones(2, 2),
    }
    found = foreign_formats(checkpoint(tmp_path, tensors))
    assert found == {"NVFP4": 1, "packed": 1, "MXFP4": 1, "FP8": 1, "BF16": 2}


@pytest.mark.parametrize(
    ("pattern", "layer_name", "found"),
    [
        ("a.b", "a.b", True),
        ("b", "a.b", True),
        ("b", "ab", False),
        ("a", "a.b", False),
        ("re:a.b", "a.b", True),
        ("re:a", "a.b", True),
        ("re:b", "a.b", False),
        ("re:.*x.*y+b{1}", "a.b", False),  # four repeats
        ("re:.*[.]*b*", "a.b", True),  # three
        ("re:.*[.]*b*c*", "a.b", False),
        ("re:(a)*", "a.b", False),
        ("re:(a)+", "a.b", False),
        ("re:(a){1}", "a.b", False),
        ("re:" + "a" * 196 + ".*", "a" * 199, True),  # 400 characters in all
        ("re:" + "a" * 196 + ".*", "a" * 200, False),
        ("re:[", "a.b", False),
    ],
)
def test_a_pattern_matches_a_name_an_end_or_an_expression(pattern: str, layer_name: str, found: bool) -> None:
    assert matches(layer_name, [pattern]) is found
    assert matches(layer_name, ["re:[", "re:(a)*", "zork", pattern]) is found

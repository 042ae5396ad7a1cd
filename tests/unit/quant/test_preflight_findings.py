"""The findings of preflight one by one: point, level and place of each, on checkpoints of a few bytes."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from quant import images
from quant.checkpoint.digests import describe_tensors, json_digest
from quant.checkpoint.untrusted import digest
from quant.checkpoint.view import Problem, View, view
from quant.formats import nvfp4
from quant.preflight.config import architecture_findings
from quant.preflight.files import weight_file_findings
from quant.preflight.provenance import provenance_findings
from quant.preflight.quantization import quantization_findings
from quant.preflight.reference import file_findings, movement, note_changed_norms, weight_findings

Found = list[tuple[int, str, str]]
Edit = Callable[[dict[str, Any]], Any]


def found(findings: Iterable[Problem]) -> Found:
    """Point, level and place of each finding."""
    return sorted((finding.point, finding.level, finding.where) for finding in findings)


def refused(point: int, *places: str) -> Found:
    return sorted((point, "refused", place) for place in places)


def warned(point: int, *places: str) -> Found:
    return sorted((point, "warned", place) for place in places)


# --- the quantisation config ----------------------------------------------------------------------------------------

FP8_CACHE = {"num_bits": 8, "type": "float", "dynamic": False}
FLAT: dict[str, Any] = {
    "quant_method": "modelopt",
    "quant_algo": "NVFP4",
    "ignore": ["lm_head"],
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 16}, "input_activations": {"num_bits": 4}}},
    "kv_cache_scheme": FP8_CACHE,
}
OLDER: dict[str, Any] = {
    "producer": {"name": "modelopt"},
    "quantization": {
        "quant_algo": "NVFP4", "group_size": 16, "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"],
    },
}  # fmt: skip
MIXED = {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"model.layers.0.mlp.up_proj": {"quant_algo": "FP8"}}}
C, H = "config.json: quantization_config", "hf_quant_config.json"


def flat(**changes: Any) -> dict[str, Any]:
    return {**FLAT, **changes}


def older(producer: Any = OLDER["producer"], **changes: Any) -> dict[str, Any]:
    return {"producer": producer, "quantization": {**OLDER["quantization"], **changes}}


CONFIGS: dict[str, tuple[Any, Any, Found]] = {
    "flat": (FLAT, None, []),
    "both": (FLAT, OLDER, []),
    "no object": ("NVFP4", None, refused(1, C)),
    "older without its part": (FLAT, {}, warned(1, f"{H}: quantization")),
    "older alone, without its part": (None, {"quantization": []}, refused(1, f"{H}: quantization")),
    "older alone": (None, OLDER, warned(1, C)),
    "older alone, FP8": (None, older(quant_algo="FP8"), warned(1, C)),
    "older alone, W4A16": (
        None, older(quant_algo="W4A16_NVFP4"), refused(1, C, f"{H}: quantization.quant_method")
    ),
    "layers in the older": (flat(quant_algo="MIXED_PRECISION"), older(**MIXED), warned(1, f"{C}.quantized_layers")),
    "another algorithm": (FLAT, older(quant_algo="FP8"), refused(2, H)),
    "another exclusion": (FLAT, older(exclude_modules=["lm_head", "model.norm"]), refused(2, H)),
    "the exclusions in another order": (
        flat(ignore=["b", "a"]), older(exclude_modules=["a", "b", "a"]), []
    ),
    "another cache": (FLAT, older(kv_cache_quant_algo=None), refused(2, H)),
    "a cache in the older alone": (flat(kv_cache_scheme=None), OLDER, warned(2, H)),
    "another group size": (FLAT, older(group_size=32), refused(2, H)),
    "no group size": (FLAT, older(group_size=None), []),
    "other layers": (flat(**MIXED, config_groups=None), older(quant_algo="MIXED_PRECISION"), refused(2, H)),
    "no algorithm": (flat(quant_algo=None), None, refused(1, f"{C}.quant_algo")),
    "an unknown algorithm": (flat(quant_algo="NVFP3"), None, refused(1, f"{C}.quant_algo")),
    "another method": (flat(quant_method="awq"), None, refused(1, f"{C}.quant_method")),
    "exclusions that are null": (flat(ignore=None), None, refused(1, f"{C}.ignore")),
    "exclusions that are a text": (flat(ignore="lm_head"), None, refused(1, f"{C}.ignore")),
    "nested": ({**OLDER, "quant_method": "modelopt"}, None, []),
    "nested without a cache": (
        {"quant_method": "modelopt", "quantization": {"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": []}},
        None,
        refused(1, f"{C}.quantization.kv_cache_quant_algo"),
    ),
    "nested FP8 without a cache": ({"quant_method": "modelopt", "quantization": {"quant_algo": "FP8"}}, None, []),
    "nested with a cache that is a number": (
        {**older(kv_cache_quant_algo=8), "quant_method": "modelopt"},
        None,
        refused(1, f"{C}.quantization.kv_cache_quant_algo"),
    ),
    "mixed": (flat(**MIXED), None, refused(1, f"{C}.config_groups.group_0")),
    "mixed without layers": (
        flat(**{**MIXED, "quantized_layers": {}}, config_groups=None), None, refused(1, f"{C}.quantized_layers")
    ),
    "an unknown algorithm in mixed": (
        flat(**{**MIXED, "quantized_layers": {"a": {"quant_algo": "FP3"}}}, config_groups=None),
        None,
        refused(1, f"{C}.quantized_layers: a"),
    ),
    "layers beside one algorithm": (
        flat(quantized_layers={"a": {"quant_algo": "NVFP4"}}), None, refused(1, f"{C}.quantized_layers")
    ),
    "group size 15": (flat(group_size=15), None, refused(1, f"{C}.group_size")),
    "group size 16": (flat(group_size=16), None, []),
    "group size 17": (flat(group_size=17), None, refused(1, f"{C}.group_size")),
    "FP8 has no blocks of 16": (flat(quant_algo="FP8", group_size=17, config_groups=None), None, []),
    "a cache that is a number": (flat(kv_cache_scheme=8), None, refused(1, f"{C}.kv_cache_scheme")),
    "a cache of no format": (
        flat(kv_cache_scheme={**FP8_CACHE, "type": "int"}), None, refused(1, f"{C}.kv_cache_scheme")
    ),
    "a cache that is empty": (flat(kv_cache_scheme={}), None, []),
    "a cache that no image has": (flat(kv_cache_scheme="FP3"), None, refused(1, f"{C}: KV cache")),
    "eight bits under NVFP4": (
        flat(config_groups={**FLAT["config_groups"], "b": {"weights": {"num_bits": 8}}}),
        None,
        refused(1, f"{C}.config_groups.b"),
    ),
    "no bits under FP8": (flat(quant_algo="FP8", config_groups={"a": {}}), None, refused(1, f"{C}.config_groups.a")),
}  # fmt: skip


@pytest.mark.parametrize(("declared", "legacy", "expected"), CONFIGS.values(), ids=CONFIGS)
def test_what_is_wrong_with_a_quantisation_config(declared: Any, legacy: Any, expected: Found) -> None:
    config = {} if declared is None else {"quantization_config": copy.deepcopy(declared)}
    assert found(quantization_findings(View(Path("made"), config, legacy), None)) == expected


@pytest.mark.parametrize(
    ("image", "changes", "place"),
    [
        ("vllm-0.24", {"config_groups": {"a": {"weights": {"num_bits": 4}}}}, f"{C}.config_groups"),
        ("vllm-0.32", {"config_groups": {"a": {"weights": {"num_bits": 4}}}}, None),
        ("vllm-0.19", {"quant_algo": "W4A16_NVFP4"}, f"{C}.quant_algo"),
        ("vllm-0.32", {"quant_algo": "W4A16_NVFP4"}, None),
        ("vllm-0.19", {}, None),
    ],
)
def test_what_an_image_does_not_read_of_a_quantisation_config(image: str, changes: Any, place: str | None) -> None:
    ours = View(Path("made"), {"quantization_config": flat(**changes)})
    expected = refused(1, place) if place is not None else []
    assert found(quantization_findings(ours, images.find(image))) == expected


# --- weights beside the reference's ---------------------------------------------------------------------------------

LAYER = "model.layers.0.mlp.down_proj"


def checkpoint(directory: Path, tensors: dict[str, Tensor], config: dict[str, Any] | None = None) -> View:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config or {}))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors")
    return view(directory)[0]


def quantised(weight: Tensor, layer: str = LAYER) -> dict[str, Tensor]:
    made = nvfp4.quantize(weight)
    return {
        f"{layer}.weight": made.packed,
        f"{layer}.weight_scale": made.block_scale,
        f"{layer}.weight_scale_2": made.global_scale,
    }


def beside(values: Tensor, error: float, ratio: float) -> Tensor:
    """A reference from which `values` differ by that relative error and that scale."""
    size = error**2 + 2 * ratio - 1  # |values|² / |reference|²
    along = ratio / size
    across = torch.randn(values.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = values.double()
    across -= exact * (across * exact).sum() / exact.square().sum()
    across *= exact.norm() / across.norm()
    return (along * exact + max(1 / size - along**2, 0.0) ** 0.5 * across).float()


def numbers(problem: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", problem)]


def by(kind: str = "ptq", **recipe: Any) -> dict[str, Any]:
    return {"kind": kind, "recipe": recipe}


MOVED: dict[str, tuple[dict[str, Any] | None, bool, float, float]] = {
    "rounded": (by(), True, 0.15, 0.03),
    "rounded, plain": (by(), False, 1e-6, 0.03),
    "exported": (by("export"), True, 0.15, 0.03),
    "fitted": (by(algorithm="gptq"), True, 0.3, 0.15),
    "fitted by the Hessian": (by(algorithm="local_hessian"), True, 0.3, 0.15),
    "fitted, plain": (by(algorithm="gptq"), False, 0.6, 0.6),
    "trained": (by("qat", training={"steps": 1}), True, 0.6, 0.6),
    "trained, plain": (by("merge", training={"steps": 1}), False, 0.6, 0.6),
    "unknown": (None, True, 0.18, 0.1),
    "unknown, plain": (None, False, 0.6, 0.6),
    "another kind": (by("other"), True, 0.18, 0.1),
}


@pytest.mark.parametrize(("provenance", "packed", "limit", "drift"), MOVED.values(), ids=MOVED)
def test_weights_differ_from_the_reference_s_by_a_limit_for_each_way_of_making_them(
    tmp_path: Path, provenance: dict[str, Any] | None, packed: bool, limit: float, drift: float
) -> None:
    """A wrong size is the global scale's, any other difference the weight's."""
    torch.manual_seed(0)
    weight = torch.randn(4, 256)
    tensors = quantised(weight) if packed else {f"{LAYER}.weight": weight}
    values = nvfp4.dequantize(nvfp4.NVFP4Tensor(*tensors.values())) if packed else weight
    ours = checkpoint(tmp_path / "ours", tensors)
    level = warned if provenance is not None and provenance["recipe"].get("training") else refused
    ratios = [1.0, *(1 + sign * share * drift for sign in (-1, 1) for share in (0.9, 1.1))]
    for number, (error, ratio) in enumerate(
        (max(share * limit, abs(ratio - 1) * 1.01), ratio) for share in (0.9, 1.1) for ratio in ratios
    ):
        theirs = checkpoint(tmp_path / f"theirs-{number}", {f"{LAYER}.weight": beside(values, error, ratio)})
        off = abs(ratio - 1) > drift
        place = f"model.safetensors: {LAYER}.{'weight_scale_2' if off and packed else 'weight'}"
        expected = level(4, place) if error > limit or off else []
        findings = list(weight_findings(ours, theirs, provenance))
        assert found(findings) == expected, (error, ratio)
        for finding in findings:
            assert numbers(finding.problem) == pytest.approx([ratio, error], abs=0.006)


@pytest.mark.parametrize("kind", ["llama", "qwen3_5_text"])
def test_smoothing_moves_a_factor_from_a_weight_into_its_norm(tmp_path: Path, kind: str) -> None:
    """The limits are wider then: a column's factor scales its rounding error, too."""
    torch.manual_seed(0)
    name, norm = "model.layers.0.mlp.up_proj.weight", "model.layers.0.post_attention_layernorm.weight"
    weight, factors = torch.randn(4, 64), torch.rand(64) + 1
    stored = 1.0 if kind.startswith("qwen3_5") else 0.0  # such norms multiply by 1 + weight
    config = {"model_type": kind}
    ours = checkpoint(tmp_path / "ours", {name: weight / factors, norm: factors - stored}, config)
    for number, (error, ratio, expected) in enumerate(
        [
            (0.001, 1.0, []),
            (0.39, 1.0, []),
            (0.41, 1.0, refused(4, f"model.safetensors: {name}")),
            (0.39, 1.14, []),
            (0.39, 1.16, refused(4, f"model.safetensors: {name}")),
            (0.39, 0.86, []),
            (0.39, 0.84, refused(4, f"model.safetensors: {name}")),
        ]
    ):
        tensors = {name: beside(weight, error, ratio), norm: torch.ones(64) - stored}
        theirs = checkpoint(tmp_path / f"theirs-{number}", tensors, config)
        note_changed_norms(ours, theirs)
        assert ours.changed_norms == {norm}
        assert found(weight_findings(ours, theirs, by())) == expected, (error, ratio)


def test_all_codes_of_a_packed_weight_are_read_as_what_they_are(tmp_path: Path) -> None:
    """In blocks of other scales, in all rows that are compared."""
    codes = torch.arange(256, dtype=torch.uint8).repeat(4, 1)
    scales = (torch.arange(128, dtype=torch.uint8) % 100 + 8).reshape(4, 32).view(torch.float8_e4m3fn)
    made = nvfp4.NVFP4Tensor(codes, scales, torch.tensor(0.5))
    tensors = {"weight": made.packed, "weight_scale": made.block_scale, "weight_scale_2": made.global_scale}
    ours = checkpoint(tmp_path / "ours", {f"{LAYER}.{part}": tensor for part, tensor in tensors.items()})
    expected = nvfp4.dequantize(made)
    assert movement(ours, checkpoint(tmp_path / "same", {f"{LAYER}.weight": expected})) == {}
    for code in range(1, 16):
        if code == 8:
            continue
        other = expected.clone()
        other[:, (code * 2) :: 512] *= 1.5
        theirs = checkpoint(tmp_path / f"other-{code}", {f"{LAYER}.weight": other})
        assert movement(ours, theirs)["layer"] == f"{LAYER}.weight"


# --- what the provenance says ---------------------------------------------------------------------------------------

TENSORS = {
    "model.norm.weight": torch.ones(4),
    f"{LAYER}.weight": torch.ones(2, 4),
    f"{LAYER}.weight_scale": torch.ones(2),
}
FILES = {"generation_config.json": '{"eos_token_id": 1}', "chat_template.jinja": "{{ messages }}", "README.md": "x"}


def without(name: str) -> dict[str, Tensor]:
    return {each: tensor for each, tensor in TENSORS.items() if each != name}


CHANGES: dict[str, tuple[dict[str, Tensor], dict[str, str | None], Found]] = {
    "nothing": (TENSORS, {}, []),
    "a tensor gone": (without("model.norm.weight"), {}, refused(2, "model.safetensors: model.norm.weight")),
    "a tensor changed": (
        {**TENSORS, f"{LAYER}.weight": torch.zeros(2, 4)}, {}, refused(2, f"model.safetensors: {LAYER}.weight")
    ),
    "a scale changed": (
        {**TENSORS, f"{LAYER}.weight_scale": torch.zeros(2)},
        {},
        refused(2, f"model.safetensors: {LAYER}.weight_scale"),
    ),
    "a tensor more": ({**TENSORS, "model.more": torch.ones(1)}, {}, refused(2, "model.safetensors: model.more")),
    "a tensor renamed": (
        {**without("model.norm.weight"), "model.nor.weight": torch.ones(4)},
        {},
        refused(2, "model.safetensors: model.nor.weight", "model.safetensors: model.norm.weight"),
    ),
    "a file gone": (TENSORS, {"generation_config.json": None}, refused(9, "generation_config.json")),
    "JSON changed": (TENSORS, {"generation_config.json": '{"eos_token_id": 2}'}, refused(9, "generation_config.json")),
    "JSON in another layout": (TENSORS, {"generation_config.json": '{\n"eos_token_id":1}'}, []),
    "a template changed": (TENSORS, {"chat_template.jinja": "{{ message }}"}, refused(9, "chat_template.jinja")),
    "a template more": (TENSORS, {"more.jinja": "x"}, refused(9, "more.jinja")),
    "a companion more": (TENSORS, {"added_tokens.json": "{}"}, refused(9, "added_tokens.json")),
    "another file more": (TENSORS, {"notes.json": "{}"}, []),
    "a text changed": (TENSORS, {"README.md": "y"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "files", "expected"), CHANGES.values(), ids=CHANGES)
def test_what_changed_since_a_checkpoint_was_written(
    tmp_path: Path, tensors: dict[str, Tensor], files: dict[str, str | None], expected: Found
) -> None:
    checkpoint(tmp_path, TENSORS)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    entries = {
        name: {"json_sha256": json_digest(tmp_path / name)}
        if name.endswith(".json")
        else {"sha256": digest(tmp_path / name)}
        for name in FILES
    }
    provenance = {"tensors": describe_tensors(tmp_path), "files": entries}
    for name, changed in files.items():
        (tmp_path / name).unlink() if changed is None else (tmp_path / name).write_text(changed)
    assert found(provenance_findings(checkpoint(tmp_path, tensors), provenance)) == expected


# --- shards and their index -----------------------------------------------------------------------------------------

FIRST, SECOND, LIST = (
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
)
BOTH = {FIRST: ["a"], SECOND: ["b"]}
LISTED = {"a": FIRST, "b": SECOND}
SHARDS: dict[str, tuple[dict[str, list[str]], dict[str, str] | None, Found]] = {
    "whole": (BOTH, LISTED, []),
    "one file needs no index": ({"model.safetensors": ["a"]}, None, []),
    "no index": (BOTH, None, refused(1, LIST)),
    "a shard missing": ({SECOND: ["b"]}, {"b": SECOND}, refused(1, FIRST)),
    "a shard missing that the index names": ({FIRST: ["a"]}, LISTED, refused(1, SECOND, f"{LIST}: {SECOND}")),
    "a file that the index does not name": (
        {**BOTH, "more.safetensors": []}, LISTED, refused(1, "more.safetensors")
    ),
    "a tensor that the index does not name": ({**BOTH, SECOND: ["b", "c"]}, LISTED, refused(2, f"{SECOND}: c")),
    "a tensor that is nowhere": (BOTH, {**LISTED, "c": FIRST}, refused(2, f"{LIST}: c")),
    "a tensor in the other shard": (BOTH | {FIRST: ["a", "c"]}, {**LISTED, "c": SECOND}, refused(2, f"{LIST}: c")),
    "a tensor in both": ({FIRST: ["a"], SECOND: ["a", "b"]}, LISTED, refused(2, f"{SECOND}: a")),
}  # fmt: skip


@pytest.mark.parametrize(("shards", "index", "expected"), SHARDS.values(), ids=SHARDS)
def test_what_is_wrong_with_shards_and_their_index(
    tmp_path: Path, shards: dict[str, list[str]], index: dict[str, str] | None, expected: Found
) -> None:
    (tmp_path / "config.json").write_text("{}")
    for file, names in shards.items():
        save_file({name: torch.ones(1) for name in names}, tmp_path / file)
    if index is not None:
        (tmp_path / LIST).write_text(json.dumps({"weight_map": index}))
    assert found(weight_file_findings(view(tmp_path)[0])) == expected


def test_a_checkpoint_without_weights_says_so(tmp_path: Path) -> None:
    assert found(weight_file_findings(View(tmp_path))) == refused(1, str(tmp_path))


# --- the model's config ---------------------------------------------------------------------------------------------

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
VL: dict[str, Any] = {
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "model_type": "qwen3_5",
    "text_config": {"tie_word_embeddings": False},
    "vision_config": {},
}
HEAD, EMBEDDING, EYE = "lm_head.weight", "model.embed_tokens.weight", "model.visual.patch_embed.proj.weight"
ENDS = {HEAD: torch.ones(2, 2), EMBEDDING: torch.zeros(2, 2)}
WRAPPED = {HEAD: torch.ones(2, 2), "model.language_model.embed_tokens.weight": torch.zeros(2, 2), EYE: torch.ones(1)}
K = "config.json"


def llama(**changes: Any) -> dict[str, Any]:
    return {**LLAMA, **changes}


MODELS: dict[str, tuple[dict[str, Any], dict[str, Tensor], Found]] = {
    "llama": (LLAMA, ENDS, []),
    "vision": (VL, WRAPPED, []),
    "no class": (llama(architectures=[]), ENDS, refused(7, f"{K}: architectures")),
    "an unknown class": (llama(architectures=["Llama9"]), ENDS, refused(7, *[f"{K}: architectures"] * 2)),
    "no type": (llama(model_type=None), ENDS, refused(7, f"{K}: model_type")),
    "another class than the type's": (llama(model_type="qwen3"), ENDS, refused(7, f"{K}: architectures")),
    "another type than the class's": (llama(model_type="zork"), ENDS, refused(7, f"{K}: model_type")),
    "text config gone": (
        {key: value for key, value in VL.items() if key != "text_config"} | {"tie_word_embeddings": False},
        WRAPPED,
        refused(7, f"{K}: text_config"),
    ),
    "two thetas": (
        llama(rope_theta=1.0, rope_parameters={"rope_theta": 2.0}), ENDS, refused(7, f"{K}: rope_theta")
    ),
    "two thetas, inside": (
        {**VL, "text_config": {**VL["text_config"], "rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}},
        WRAPPED,
        refused(7, f"{K}: text_config.rope_theta"),
    ),
    "one theta twice": (llama(rope_theta=1.0, rope_parameters={"rope_theta": 1.0}), ENDS, []),
    "eyes of a text model": (
        {"architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "tie_word_embeddings": False},
        {**ENDS, EYE: torch.ones(1)},
        refused(7, f"model.safetensors: {EYE}"),
    ),
    "a vision config without eyes": (llama(vision_config={}), ENDS, refused(7, f"{K}: vision_config")),
    "the same of an unknown type": (
        {**llama(vision_config={}), "architectures": ["OPTForCausalLM"], "model_type": "opt"},
        ENDS,
        warned(7, f"{K}: vision_config"),
    ),
    "eyes without a vision config": ({**VL, "vision_config": None}, WRAPPED, refused(7, f"{K}: vision_config")),
    "a wrapped llama": (
        LLAMA, {HEAD: torch.ones(2, 2), "model.language_model.embed_tokens.weight": torch.zeros(2, 2)},
        refused(7, "model.safetensors: model.language_model.embed_tokens.weight"),
    ),
    "a bare model beside eyes": (VL, {**ENDS, EYE: torch.ones(1)}, refused(7, f"model.safetensors: {EMBEDDING}")),
    "tied and not tied": (
        {**VL, "tie_word_embeddings": True}, WRAPPED,
        refused(8, f"{K}: tie_word_embeddings", f"model.safetensors: {HEAD}"),
    ),
    "no head": (LLAMA, {EMBEDDING: torch.ones(2, 2)}, refused(8, f"model.safetensors: {HEAD}")),
    "a tied head": (llama(tie_word_embeddings=True), {EMBEDDING: torch.ones(2, 2)}, []),
    "the embedding twice": (llama(tie_word_embeddings=True), {**ENDS, HEAD: torch.zeros(2, 2)}, []),
    "a tied head that differs": (llama(tie_word_embeddings=True), ENDS, refused(8, f"model.safetensors: {HEAD}")),
    "a tied head of another shape": (
        llama(tie_word_embeddings=True), {**ENDS, HEAD: torch.zeros(4, 1)}, refused(8, f"model.safetensors: {HEAD}")
    ),
    "a tied head that is not excluded": (
        llama(tie_word_embeddings=True, quantization_config=flat(ignore=[])),
        {EMBEDDING: torch.ones(2, 2)},
        refused(8, f"{C}.ignore"),
    ),
    "a tied head that is excluded": (
        llama(tie_word_embeddings=True, quantization_config=FLAT), {EMBEDDING: torch.ones(2, 2)}, []
    ),
    "a tied head of a mixed model": (
        llama(tie_word_embeddings=True, quantization_config=flat(ignore=[], **MIXED)),
        {EMBEDDING: torch.ones(2, 2)},
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "tensors", "expected"), MODELS.values(), ids=MODELS)
def test_what_is_wrong_with_a_model_s_config(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, Tensor], expected: Found
) -> None:
    assert found(architecture_findings(checkpoint(tmp_path, tensors, config), None)) == expected


# --- files beside the reference's -----------------------------------------------------------------------------------

COPIED = {
    "tokenizer.json": "{}",
    "tokenizer_config.json": '{"a": 1}',
    "generation_config.json": '{"eos_token_id": [1, 2]}',
}
EDITS: dict[str, tuple[dict[str, str | None], Found]] = {
    "nothing": ({}, []),
    "missing": ({"tokenizer.json": None}, refused(9, "tokenizer.json")),
    "another": ({"tokenizer.json": "{ }"}, refused(9, "tokenizer.json")),
    "one more": ({"merges.txt": ""}, refused(9, "merges.txt")),
    "one more template": ({"more.jinja": ""}, refused(9, "more.jinja")),
    "no settings": ({"tokenizer_config.json": None}, refused(9, "tokenizer_config.json")),
    "settings that cannot be read": ({"tokenizer_config.json": "["}, refused(9, "tokenizer_config.json")),
    "another setting": ({"tokenizer_config.json": '{"a": 2}'}, refused(9, "tokenizer_config.json: a")),
    "a setting more": ({"tokenizer_config.json": '{"a": 1, "b": 2}'}, refused(9, "tokenizer_config.json: b")),
    "another class": ({"tokenizer_config.json": '{"a": 1, "tokenizer_class": "X"}'}, []),
    "sampling": (
        {"generation_config.json": '{"eos_token_id": [1, 2], "top_k": 1}'}, refused(9, "generation_config.json: top_k")
    ),
    "a stop less": (
        {"generation_config.json": '{"eos_token_id": 1}'}, refused(9, "generation_config.json: eos_token_id")
    ),
    "a stop more": ({"generation_config.json": '{"eos_token_id": [3, 2, 1]}'}, []),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), EDITS.values(), ids=EDITS)
def test_what_differs_from_the_files_of_the_reference(
    tmp_path: Path, files: dict[str, str | None], expected: Found
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for directory, held in ((theirs, COPIED), (ours, {**COPIED, **files})):
        directory.mkdir()
        for name, text in held.items():
            if text is not None:
                (directory / name).write_text(text)
    assert found(file_findings(View(ours), theirs)) == expected


@pytest.mark.parametrize(
    ("tensors", "expected"),
    [
        (ENDS, []),
        ({EMBEDDING: torch.zeros(2, 2)}, []),  # a head that is not there goes with the tie flag
        ({HEAD: torch.ones(2, 2)}, refused(2, f"model.safetensors: {EMBEDDING}")),
        ({**ENDS, EMBEDDING: torch.zeros(2, 3)}, refused(2, f"model.safetensors: {EMBEDDING}")),
        ({**ENDS, "model.more": torch.ones(1)}, refused(2, "model.safetensors: model.more")),
        ({**ENDS, "model.more_scale": torch.ones(1)}, []),
    ],
)
def test_what_differs_from_the_tensors_of_the_reference(
    tmp_path: Path, tensors: dict[str, Tensor], expected: Found
) -> None:
    theirs = checkpoint(tmp_path / "theirs", ENDS)
    assert found(weight_findings(checkpoint(tmp_path / "ours", tensors), theirs, None)) == expected


def test_a_head_for_several_tokens_that_is_missing_goes_with_the_heads(tmp_path: Path) -> None:
    theirs = checkpoint(tmp_path / "theirs", {**ENDS, "mtp.norm.weight": torch.ones(1)})
    ours = checkpoint(tmp_path / "ours", ENDS)
    assert found(weight_findings(ours, theirs, None)) == refused(8, "model.safetensors: mtp.norm.weight")

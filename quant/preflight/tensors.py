"""Preflight checks of tensors: each layer has the format that vLLM expects, and plausible scales (points 2-5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from quant.checkpoint.quantization import legacy_section, normalise
from quant.checkpoint.view import AGAIN, Problem, View, has_centred_norms
from quant.formats.fused import fused_groups
from quant.preflight.architectures import BadConfig, shapes, vision_shapes
from quant.preflight.quantization import served_algorithms
from quant.preflight.scales import format_findings, windows

SCALES = ("weight_scale", "weight_scale_2", "input_scale")
KV_SCALES = ("k_scale", "v_scale")
_ONE = np.float32(1).tobytes()
_FLOATS = {"BF16", "F16", "F32"}
#: dtype -> unsigned type of its bits, mask of its exponent, mask of all but its sign
_EXPONENT = {
    "BF16": ("<u2", 0x7F80, 0x7FFF),
    "F16": ("<u2", 0x7C00, 0x7FFF),
    "F32": ("<u4", 0x7F800000, 0x7FFFFFFF),
}


def layer_names(view: View) -> list[str]:
    """Plain names of all layers that have a `weight` or a scale, in the order of the file."""
    found: dict[str, None] = {}
    for name in view.by_plain_name:
        parent, _, last = name.rpartition(".")
        if last == "weight" or last in SCALES:
            found[parent] = None
    return list(found)


def is_linear(view: View, name: str) -> bool:
    """Whether a layer may be quantised: two-dimensional and not an embedding, or with scales."""
    weight = view.get(f"{name}.weight")
    scaled = any(view.get(f"{name}.{scale}") is not None for scale in SCALES)
    embedding = name.endswith(("embed_tokens", "pos_embed", "patch_embed"))
    return scaled or (weight is not None and len(weight.info.shape) == 2 and not embedding)


def tensor_findings(view: View, made: dict[str, Any] | None = None) -> Iterator[Problem]:
    """All findings about tensors; `made` is the checkpoint's provenance, which says how its scales were computed."""
    yield from _leftovers(view)
    linear = [name for name in layer_names(view) if is_linear(view, name)]
    served, findings = served_algorithms(view, linear)
    yield from findings
    yield from _schema_findings(view, served)
    for name in linear:
        yield from _layer_findings(view, name, served[name])
    yield from _fused_findings(view, linear)
    yield from _constant_findings(view, linear, made)
    yield from _kv_findings(view)
    yield from plain_values(view)


def _leftovers(view: View) -> Iterator[Problem]:
    allowed = {*SCALES, *KV_SCALES}
    for name, tensor in view.tensors.items():
        last = name.rpartition(".")[2]
        bad = "_quantizer" in name or last.endswith(("pre_quant_scale", "amax")) or "lora_" in name
        if bad or (last.endswith(("_scale", "_scale_2", "_scale_inv", "_zero_point")) and last not in allowed):
            problem = "is a leftover of the quantiser that vLLM does not load"
            yield Problem(5, f"{tensor.file}: {name}", problem, "fold it into the weights before export")


def _format(view: View, name: str) -> str:
    weight = view.get(f"{name}.weight")
    if weight is None:
        return "missing"
    dtype = weight.info.dtype
    if dtype == "U8":
        return "NVFP4" if view.get(f"{name}.input_scale") is not None else "W4A16_NVFP4"
    return "FP8" if dtype == "F8_E4M3" else "BF16" if dtype in _FLOATS else dtype


def _layer_findings(view: View, name: str, algorithm: str | None) -> Iterator[Problem]:
    held = _format(view, name)
    at = view.where(f"{name}.weight")
    if held == "missing":
        yield Problem(2, at, "is missing, but its scales are there", AGAIN)
    elif held not in {"NVFP4", "W4A16_NVFP4", "FP8", "BF16"}:
        yield Problem(2, at, f"has dtype {held}, which is no weight format that is served", AGAIN)
    elif algorithm is None:
        if held != "BF16":
            problem = f"holds {held} data, but the config has vLLM take {name} for BF16"
            yield Problem(2, at, problem, "take it out of the exclusions (or into quantized_layers), or export again")
        for scale in SCALES:
            if held == "BF16" and view.get(f"{name}.{scale}") is not None:
                yield Problem(2, view.where(f"{name}.{scale}"), "is there, but the layer is not quantised", AGAIN)
    elif held == "BF16":
        problem = f"is not quantised, but the config has vLLM take {name} for {algorithm}"
        yield Problem(2, at, problem, "exclude it by its exact name (with all that it is fused with), or export again")
    elif ("NVFP4" in algorithm) != ("NVFP4" in held):
        yield Problem(2, at, f"holds {held} data, but the config says {algorithm}", AGAIN)
    else:
        yield from format_findings(view, name, algorithm)


def _fused_findings(view: View, linear: list[str]) -> Iterator[Problem]:
    """Check that parts of a fused layer share format and per-tensor scales (point 3)."""
    for fused, members in fused_groups(linear).items():
        formats = {_format(view, member) for member in members}
        if len(formats) > 1:
            listed = ", ".join(f"{m.rpartition('.')[2]} {_format(view, m)}" for m in members)
            problem = f"is fused into {fused}, but the parts have different formats: {listed}"
            yield Problem(3, view.where(f"{members[0]}.weight"), problem, "quantise all or none of them")
            continue
        if not formats & {"NVFP4", "W4A16_NVFP4"}:
            continue  # for FP8 the server rescales the parts to the largest scale
        for scale in ("weight_scale_2", "input_scale"):
            values = {m: t.raw(8) for m in members if (t := view.get(f"{m}.{scale}")) is not None}
            if len(set(values.values())) > 1:
                held = list(values.values())
                odd = min(values, key=lambda member: held.count(values[member]))
                other = next(member for member, value in values.items() if value != values[odd])
                second = view.where(f"{other}.{scale}").partition(": ")[2]
                problem = f"differs from {second}, but both are fused into one; vLLM takes the largest for all"
                yield Problem(3, view.where(f"{odd}.{scale}"), problem, "tie the amax of the group, then export again")


def _constant_findings(view: View, linear: list[str], made: dict[str, Any] | None) -> Iterator[Problem]:
    """Check for missing calibration: all input scales equal, unless the recipe sets them all to 1."""
    fused = {member: group for group, members in fused_groups(linear).items() for member in members}
    values = {fused.get(n, n): t.raw(4) for n in linear if (t := view.get(f"{n}.input_scale")) is not None}
    if len(values) < _LEAST_GROUPS or len(set(values.values())) > 1:
        return
    first = next(name for name in linear if view.get(f"{name}.input_scale") is not None)
    tensor = view.get(f"{first}.input_scale")
    if tensor is not None and tensor.info.dtype == "F32" and tensor.info.elements == 1:
        value = float(tensor.floats()[0])
        recipe = (made or {}).get("recipe")
        if value == 1 and isinstance(recipe, dict) and recipe.get("activations") == "constant":
            return
        problem = f"is {value:g}, as are those of all {len(values)} inputs: nothing was calibrated"
        yield Problem(4, view.where(f"{first}.input_scale"), problem, "calibrate, then export again")


#: `…self_attn.k_proj.k_scale` of ModelOpt, `…self_attn.k_scale` of others: vLLM maps both to its attention layer.
_KV_SCALE = re.compile(r"^(.*\.(?:self_attn|mixer))\.(?:(?:[kv]|qkv)_proj\.|attn\.)?([kv])_scale$")
_LEAST_GROUPS = 4


def _kv_findings(view: View) -> Iterator[Problem]:
    quantization, section = view.quantization, view.section
    legacy = legacy_section(view.legacy)
    named = [quantization, normalise(legacy)] if legacy is not None else [quantization]
    wanted = any(entry is not None and entry.kv_cache is not None for entry in named)
    found = [name for name in view.by_plain_name if name.endswith(KV_SCALES)]
    if section is not None and quantization is not None and quantization.is_modelopt:
        held = [tensor for name in found if (tensor := view.get(name)) is not None]
        calibrated = any(tensor.info.dtype == "F32" and tensor.raw(4) != _ONE for tensor in held)
        if quantization.kv_cache == "FP8" and not quantization.kv_scales and calibrated:
            problem = "names the KV cache's format without kv_cache_scheme: its calibrated scales are not read"
            fix = "write kv_cache_scheme {num_bits: 8, type: float, dynamic: false}"
            yield Problem(2, f"{section.where}.kv_cache_quant_algo", problem, fix)
    for name in found:
        tensor = view.get(name)
        assert tensor is not None
        if not wanted:
            yield Problem(5, view.where(name), "is a KV cache scale, but no config names a KV cache format", AGAIN)
            return
        if tensor.info.dtype != "F32" or tensor.info.elements != 1:
            yield Problem(4, view.where(name), "must be one F32 number", AGAIN)
        elif not np.isfinite(value := float(tensor.floats()[0])) or value <= 0:
            yield Problem(4, view.where(name), f"is {value}, but a scale must be finite and positive", AGAIN)
    if wanted and found:
        # Only those of the decoder: the MTP head is in BF16, and vLLM uses 1.0 for its missing scale.
        layers = {
            name.rpartition(".self_attn.")[0]
            for name in view.by_plain_name
            if name.startswith("model.layers.") and ".self_attn.q_proj.w" in name
        }
        there = {(match[1], match[2]) for name in found if (match := _KV_SCALE.match(name))}
        for layer in sorted(layers):
            for part in ("k", "v"):
                if (f"{layer}.self_attn", part) not in there:
                    name = f"{layer}.self_attn.{part}_proj.{part}_scale"
                    yield Problem(2, view.where(name), "is missing, though other layers have it", AGAIN)


def _schema_findings(view: View, served: dict[str, str | None]) -> Iterator[Problem]:
    """Check that exactly the tensors of the architecture are there, with their shapes (point 2)."""
    kind = str(view.config.get("model_type"))
    try:
        expected = shapes(view.text_config, kind)
        vision = view.config.get("vision_config")
        if expected is not None and kind == "qwen3_5" and isinstance(vision, dict):
            expected |= vision_shapes(vision)
    except BadConfig as error:
        yield Problem(7, f"config.json: {error.key}", f"{error}", "take the BF16 checkpoint's")
        return
    if expected is None:
        return
    held = set(view.by_plain_name)
    extra = {"lm_head.weight", "lm_head.bias"}
    for name, shape in expected.items():
        if name not in held:
            yield Problem(2, view.where(name), "is missing", AGAIN)
            continue
        tensor = view.get(name)
        assert tensor is not None
        packed = tensor.info.dtype == "U8"
        wanted = (*shape[:-1], shape[-1] // 2) if packed else shape
        if tensor.info.shape != wanted:
            problem = f"has shape {list(tensor.info.shape)}, but config.json asks for {list(wanted)}"
            yield Problem(2, view.where(name), problem, "take config and weights from the same export")
    head = view.get("lm_head.weight")
    if head is not None:
        rows, hidden = expected["model.embed_tokens.weight"]
        wanted = (rows, hidden // 2 if head.info.dtype == "U8" else hidden)
        if head.info.shape != wanted:
            problem = f"has shape {list(head.info.shape)}, but config.json asks for {list(wanted)}"
            yield Problem(2, view.where("lm_head.weight"), problem, "take config and weights from the same export")
    for name in sorted(held - set(expected) - extra):
        parent, _, last = name.rpartition(".")
        scale_of_known = last in {*SCALES, *KV_SCALES} and (f"{parent}.weight" in expected or parent == "lm_head")
        scale_of_known |= _KV_SCALE.match(name) is not None
        elsewhere = name.startswith(("mtp.", "visual.")) or last == "inv_freq"  # which vLLM computes itself
        leftover = "_quantizer" in name or last.endswith("pre_quant_scale")
        if not scale_of_known and not elsewhere and not leftover:
            yield Problem(2, view.where(name), f"is no tensor of {kind} with this config.json", AGAIN)


def plain_values(view: View) -> Iterator[Problem]:
    """Check unquantised weights: no NaN, no infinity, and matrices are not all zero."""
    centred = has_centred_norms(view.config)
    for name, tensor in view.tensors.items():
        last = name.rpartition(".")[2]
        if tensor.info.dtype not in _EXPONENT or last in SCALES or last in KV_SCALES:
            continue
        unsigned, mask, magnitude = _EXPONENT[tensor.info.dtype]
        numbers = windows(tensor).view(unsigned)
        multiplies = len(tensor.info.shape) == 2 or (name.endswith("norm.weight") and not centred)
        if np.any((numbers & mask) == mask):
            yield Problem(4, f"{tensor.file}: {name}", "holds NaN or infinity", AGAIN)
        elif multiplies and last == "weight" and numbers.size >= 32 and not np.any(numbers & magnitude):
            yield Problem(4, f"{tensor.file}: {name}", "is all zeros", AGAIN)

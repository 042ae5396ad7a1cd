"""Preflight checks of formats of other tools: compressed-tensors, Hugging Face's block FP8, MXFP4 (points 1 to 4).

vLLM serves them but this project does not make them, so each checkpoint in one of them gets one warning that names the
format and what was checked. Layouts: compressed-tensors' nvfp4-pack-quantized (`weight_packed`, `weight_scale`
for 16 columns, `weight_global_scale` and `input_global_scale` that values are *multiplied* by), float-quantized;
transformers' FineGrainedFP8 (`weight_scale_inv` for a block of `weight_block_size`); gpt-oss (`…_blocks`, `…_scales`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from quant.checkpoint.view import AGAIN, Problem, Tensor, View
from quant.formats.fused import fused_groups
from quant.images import Image, images
from quant.preflight.scales import block_scale_values, windows

_FLOATS = {"BF16", "F16", "F32"}
_LOOKED_AT = {
    "compressed-tensors": "format, exclusions, shapes, scales and fused parts were checked",
    "fp8": "exclusions, shapes and scales were checked",
    "mxfp4": "blocks and scales were checked",
}


def is_foreign(view: View) -> bool:
    """Whether the checkpoint is quantised in a format that is not ModelOpt's."""
    quantization = view.quantization
    return (
        quantization is not None
        and not quantization.is_modelopt
        and quantization.algorithm is None
        and bool(quantization.method not in {"", "unknown"})
    )


def foreign_formats(view: View) -> Counter[str]:
    """Number of linear layers per format; experts in one tensor count once."""
    found: Counter[str] = Counter()
    for name, tensor in ((name, view.tensors[full]) for name, full in view.by_plain_name.items()):
        if name.endswith(".weight_packed"):
            found["NVFP4" if tensor.info.dtype == "U8" else "packed"] += 1
        elif name.endswith("_blocks"):
            found["MXFP4"] += 1
        elif name.endswith(".weight") and len(tensor.info.shape) == 2 and not name.endswith("embed_tokens.weight"):
            found["FP8" if tensor.info.dtype == "F8_E4M3" else "BF16"] += 1
    return found


def method_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """Findings about the method: does the image, or any known image, support it?"""
    section, quantization = view.section, view.quantization
    if section is None or quantization is None or not is_foreign(view):
        return
    candidates = [image] if image is not None else list(images().values())
    if not any(quantization.method in candidate.release.methods for candidate in candidates):
        image_name = image.name if image is not None else "any image known here"
        problem = f"{quantization.method:.40} is not loaded by {image_name}"
        yield Problem(1, f"{section.where}.quant_method", problem, "take another image, or another format")


def foreign_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """Findings about a checkpoint in another tool's format, and one warning that names the format."""
    section, quantization = view.section, view.quantization
    assert section is not None
    assert quantization is not None
    method, where = quantization.method, f"{section.where}.quant_method"
    if unknown := list(method_findings(view, image)):
        yield from unknown
        return
    named = [group.get("format") or section.outer.get("format") for group in _groups(section.outer)]
    formats = sorted({f"{entry:.40}" for entry in named if isinstance(entry, str)})
    name = f"{method:.40} ({', '.join(formats)})" if formats else f"{method:.40}"
    seen = _LOOKED_AT.get(method, "preflight only knows that the image loads it")
    problem = f"is {name}, which other tools make: {seen}, against no record of how it was made"
    yield Problem(1, where, problem, "compare its answers with the BF16 model's (diff)", "warned")
    if method == "compressed-tensors":
        yield from _compressed_tensors(view, section.outer)
    elif method == "fp8":
        yield from _block_fp8(view, section.outer)
    elif method == "mxfp4":
        yield from _mxfp4(view)


#: A repeated group: a failing match can take exponential time.
_NESTED = re.compile(r"\)[*+{]")


def _groups(section: dict[str, Any]) -> list[dict[str, Any]]:
    groups = section.get("config_groups")
    return [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def matches(layer: str, patterns: list[str]) -> bool:
    """Whether a pattern matches a layer: its name, its end, or a `re:` pattern, as in compressed-tensors and vLLM.

    Patterns are untrusted: one that is not a valid regular expression, or could take long, matches nothing.
    """
    for pattern in patterns:
        if pattern.startswith("re:"):
            slow = len(pattern) + len(layer) > 400 or len(re.findall(r"[*+{]", pattern)) > 3 or _NESTED.search(pattern)
            if slow:
                continue
            try:
                if re.match(pattern[3:], layer):
                    return True
            except (re.error, RecursionError, OverflowError):
                continue
        elif layer == pattern or layer.endswith(f".{pattern}"):
            return True
    return False


def _linear(view: View) -> list[str]:
    found: dict[str, None] = {}
    for name in view.by_plain_name:
        parent, _, last = name.rpartition(".")
        tensor = view.get(name)
        two = tensor is not None and len(tensor.info.shape) == 2 and not parent.endswith("embed_tokens")
        if last == "weight_packed" or (last == "weight" and two and not name.startswith(("mtp.", "model.visual"))):
            found[parent] = None
    return list(found)


def _layers(view: View, ignored: list[str], packed: str) -> Iterator[tuple[str, Problem | None]]:
    """Every linear layer that should be quantised and is, and findings about the others."""
    raw = {plain: full.rpartition(".")[0] for plain, full in view.by_plain_name.items()}
    for layer in _linear(view):
        names = {layer, raw.get(f"{layer}.weight", layer), raw.get(f"{layer}.weight_packed", layer)}
        left = any(matches(name, ignored) for name in names)
        weight = view.get(f"{layer}.weight")
        quantised = view.get(f"{layer}.{packed}") is not None and (packed != "weight" or view.is_quantised(layer))
        where = view.where(f"{layer}.{packed if quantised else 'weight'}")
        if quantised and left:
            problem = "is quantised, but the config's exclusions have vLLM take it for BF16"
            yield layer, Problem(2, where, problem, "take it out of the exclusions, or export again")
        elif quantised:
            yield layer, None
        elif not left and weight is not None and weight.info.dtype in _FLOATS and not _router(layer):
            problem = "is not quantised, but no exclusion names it: vLLM takes it for quantised"
            yield layer, Problem(2, where, problem, "name it among the exclusions, or export again")


def _router(layer: str) -> bool:
    return layer.endswith((".mlp.gate", ".router", "shared_expert_gate")) or layer == "lm_head"


def _compressed_tensors(view: View, section: dict[str, Any]) -> Iterator[Problem]:
    groups = _groups(section)
    ignored = section.get("ignore", [])
    where = "config.json: quantization_config"
    if not groups:
        yield Problem(1, f"{where}.config_groups", "is missing or empty", AGAIN)
        return
    if not isinstance(ignored, list | None):
        yield Problem(1, f"{where}.ignore", "is no list", AGAIN)
        return
    formats = {str(group.get("format") or section.get("format")) for group in groups}
    if not formats & {"nvfp4-pack-quantized"}:
        if formats & {"float-quantized", "naive-quantized"}:
            yield from _channel_fp8(view, _names(ignored))
        return
    activations = any(group.get("input_activations") is not None for group in groups)
    held = []
    for layer, finding in _layers(view, _names(ignored), "weight_packed"):
        if finding is not None:
            yield finding
            continue
        held.append(layer)
        yield from _packed(view, layer, activations)
    for fused, members in fused_groups(held).items():
        for scale in ("weight_global_scale", "input_global_scale"):
            values = {m: t.raw(4) for m in members if (t := view.get(f"{m}.{scale}")) is not None}
            if len(set(values.values())) > 1:
                problem = f"differs among the parts that are fused into {fused}; vLLM takes the largest for all"
                at = view.where(f"{members[0]}.{scale}")
                yield Problem(3, at, problem, "export again with one global scale for them", "warned")


def _packed(view: View, layer: str, activations: bool) -> Iterator[Problem]:
    weight = view.get(f"{layer}.weight_packed")
    assert weight is not None
    if len(weight.info.shape) != 2 or weight.info.dtype != "U8":
        problem = f"is {weight.info.dtype} {list(weight.info.shape)}, but must be U8 of two dimensions"
        yield Problem(2, view.where(f"{layer}.weight_packed"), problem, AGAIN)
        return
    rows, columns = weight.info.shape[0], weight.info.shape[1] * 2
    scale, at = view.get(f"{layer}.weight_scale"), view.where(f"{layer}.weight_scale")
    if scale is None:
        yield Problem(2, at, "is missing", AGAIN)
    elif scale.info.dtype != "F8_E4M3" or scale.info.shape != (rows, columns // 16):
        problem = f"is {scale.info.dtype} {list(scale.info.shape)}, but must be F8_E4M3 {[rows, columns // 16]}"
        yield Problem(4, at, problem, AGAIN)
    else:
        yield from block_scale_values(scale, at)
    wanted = ["weight_global_scale", *(["input_global_scale"] if activations else [])]
    for name in wanted:
        yield from _positive(view.get(f"{layer}.{name}"), view.where(f"{layer}.{name}"), (1, 1))


def _positive(tensor: Tensor | None, at: str, elements: tuple[int, int]) -> Iterator[Problem]:
    """Check a tensor of floats: its number of elements, and that all are finite and above zero."""
    if tensor is None:
        yield Problem(2, at, "is missing: vLLM would serve garbage, silently", AGAIN)
    elif tensor.info.dtype not in _FLOATS or not elements[0] <= tensor.info.elements <= elements[1]:
        problem = f"is {tensor.info.dtype} {list(tensor.info.shape)}, which are no scales of this weight"
        yield Problem(4, at, problem, AGAIN)
    else:
        raw = windows(tensor).tobytes()
        raw = raw[: len(raw) // 4 * 4]
        values = (
            np.frombuffer(raw, "<f4")
            if tensor.info.dtype == "F32"
            else np.frombuffer(raw, "<f2").astype(np.float32)
            if tensor.info.dtype == "F16"
            else (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        )
        if bad := int((~np.isfinite(values) | (values <= 0)).sum()):
            yield Problem(4, at, f"{bad} of its {values.size} values are not finite and positive", AGAIN)


def _channel_fp8(view: View, ignored: list[str]) -> Iterator[Problem]:
    for layer, finding in _layers(view, ignored, "weight"):
        weight = view.get(f"{layer}.weight")
        if finding is not None or weight is None:
            if finding is not None:
                yield finding
            continue
        scale = view.get(f"{layer}.weight_scale")
        yield from _positive(scale, view.where(f"{layer}.weight_scale"), (1, max(weight.info.elements // 16, 1)))


def _block_fp8(view: View, section: dict[str, Any]) -> Iterator[Problem]:
    block = section.get("weight_block_size")
    left = [*_names(section.get("modules_to_not_convert")), *_names(section.get("ignored_layers"))]
    sound = isinstance(block, list) and len(block) == 2 and all(isinstance(n, int) and 0 < n < 1 << 20 for n in block)
    if block is not None and not sound:
        where = "config.json: quantization_config.weight_block_size"
        yield Problem(1, where, f"is {block!r:.40}, but must be two numbers", AGAIN)
        return
    for layer, finding in _layers(view, left, "weight"):
        weight = view.get(f"{layer}.weight")
        if finding is not None:
            # Only the model's class knows which layers it builds without this method.
            plain = weight is not None and weight.info.dtype in _FLOATS
            yield replace(finding, level="warned") if plain else finding
        if finding is not None or weight is None or len(weight.info.shape) != 2 or weight.info.dtype != "F8_E4M3":
            continue
        rows, columns = weight.info.shape
        kinds = ("weight_scale_inv", "scale", "weight_scale")
        name = next((kind for kind in kinds if view.get(f"{layer}.{kind}") is not None), kinds[0])
        scale, at = view.get(f"{layer}.{name}"), view.where(f"{layer}.{name}")
        if scale is not None and scale.info.dtype in {"U8", "F8_E8M0"}:  # exponents, as DeepSeek writes them
            if np.any(windows(scale) == 255):
                yield Problem(4, at, "holds NaN", AGAIN)
            continue
        if isinstance(block, list) and scale is not None and scale.info.dtype in _FLOATS:
            wanted = (-(-rows // block[0]), -(-columns // block[1]))
            if scale.info.shape != wanted:
                yield Problem(4, at, f"has shape {list(scale.info.shape)}, but the weight needs {list(wanted)}", AGAIN)
                continue
        yield from _positive(scale, at, (1, weight.info.elements))
        if np.any((windows(weight) & 0x7F) == 0x7F):
            yield Problem(4, view.where(f"{layer}.weight"), "holds NaN", AGAIN)


def _mxfp4(view: View) -> Iterator[Problem]:
    for name in view.by_plain_name:
        if not name.endswith("_blocks"):
            continue
        blocks, scales = view.get(name), view.get(name.removesuffix("_blocks") + "_scales")
        at = view.where(name.removesuffix("_blocks") + "_scales")
        assert blocks is not None
        if scales is None:
            yield Problem(2, at, "is missing", AGAIN)
        elif scales.info.dtype not in {"U8", "F8_E8M0"} or scales.info.elements * 16 != blocks.info.elements:
            problem = f"is {scales.info.dtype} {list(scales.info.shape)}, but the blocks are {list(blocks.info.shape)}"
            yield Problem(4, at, problem, AGAIN)
        elif np.any(windows(scales) == 255):
            yield Problem(4, at, "holds NaN", AGAIN)

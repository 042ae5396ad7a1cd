"""Preflight, tensors: each layer is in the format that vLLM takes it for, and its scales are sane (points 2-5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from quant.checkpoint.safetensors_file import e4m3_values
from quant.checkpoint.view import Problem, Tensor, View, has_centred_norms
from quant.formats.fused import fused_groups
from quant.images import Image
from quant.preflight.architectures import BadConfig, shapes, vision_shapes
from quant.preflight.config import served_algorithms

ANEW = "export the checkpoint again"
SCALES = ("weight_scale", "weight_scale_2", "input_scale")
KV_SCALES = ("k_scale", "v_scale")
_FLOATS = {"BF16", "F16", "F32"}
#: dtype -> unsigned type of its bits, mask of its exponent, mask of all but its sign
_EXPONENT = {
    "BF16": ("<u2", 0x7F80, 0x7FFF),
    "F16": ("<u2", 0x7C00, 0x7FFF),
    "F32": ("<u4", 0x7F800000, 0x7FFFFFFF),
}
#: Bytes of a large tensor that are looked at: that many at its start, middle and end.
WINDOW = 1 << 15
#: A global scale stands for this largest magnitude times its value; weights and activations lie well inside.
SMALLEST_AMAX, LARGEST_AMAX = 1e-12, 1e6


def layer_names(view: View) -> list[str]:
    """Plain names of everything that has a `weight` or a scale, in the order of the file."""
    found: dict[str, None] = {}
    for name in view.by_plain_name:
        parent, _, last = name.rpartition(".")
        if last == "weight" or last in SCALES:
            found[parent] = None
    return list(found)


def is_linear(view: View, name: str) -> bool:
    """Whether a layer is one that a quantiser could have touched: two-dimensional and no embedding, or with scales."""
    weight = view.get(f"{name}.weight")
    scaled = any(view.get(f"{name}.{scale}") is not None for scale in SCALES)
    embedding = name.endswith(("embed_tokens", "pos_embed", "patch_embed"))
    return scaled or (weight is not None and len(weight.info.shape) == 2 and not embedding)


def tensor_findings(view: View, image: Image | None) -> Iterator[Problem]:
    """All findings about tensors."""
    yield from _leftovers(view)
    linear = [name for name in layer_names(view) if is_linear(view, name)]
    served, findings = served_algorithms(view, linear)
    yield from findings
    yield from _schema_findings(view, served)
    for name in linear:
        yield from _layer_findings(view, name, served[name])
    yield from _fused_findings(view, linear)
    yield from _kv_findings(view)
    yield from _plain_values(view, set(linear))


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
        yield Problem(2, at, "is missing, but its scales are there", ANEW)
    elif held not in {"NVFP4", "W4A16_NVFP4", "FP8", "BF16"}:
        yield Problem(2, at, f"has dtype {held}, which is no weight format that is served", ANEW)
    elif algorithm is None:
        if held != "BF16":
            problem = f"holds {held} data, but the config has vLLM take {name} for BF16"
            yield Problem(2, at, problem, "take it out of the exclusions (or into quantized_layers), or export again")
        for scale in SCALES:
            if held == "BF16" and view.get(f"{name}.{scale}") is not None:
                yield Problem(2, view.where(f"{name}.{scale}"), "is there, but the layer is not quantised", ANEW)
    elif held == "BF16":
        problem = f"is not quantised, but the config has vLLM take {name} for {algorithm}"
        yield Problem(2, at, problem, "exclude it by its exact name (with all that it is fused with), or export again")
    elif ("NVFP4" in algorithm and held == "FP8") or (algorithm.startswith("FP8") and "NVFP4" in held):
        yield Problem(2, at, f"holds {held} data, but the config says {algorithm}", ANEW)
    elif "NVFP4" in algorithm:
        yield from _nvfp4_findings(view, name, algorithm)
    elif algorithm == "FP8":
        yield from _fp8_findings(view, name)


def _scalar(view: View, name: str, scale: str, levels: float) -> Iterator[Problem]:
    """A per-tensor scale: there, float32, one element, finite, positive, standing for a believable amax."""
    tensor = view.get(f"{name}.{scale}")
    at = view.where(f"{name}.{scale}")
    if tensor is None:
        yield Problem(2, at, "is missing: vLLM would serve garbage, silently", ANEW)
    elif tensor.info.dtype != "F32" or tensor.info.elements != 1:
        shape = list(tensor.info.shape)
        yield Problem(4, at, f"is {tensor.info.dtype} {shape}, but must be one F32 number", ANEW)
    else:
        value = float(tensor.floats()[0])
        if not np.isfinite(value) or value <= 0:
            yield Problem(4, at, f"is {value}, but a scale must be finite and positive", ANEW)
        elif not SMALLEST_AMAX <= value * levels <= LARGEST_AMAX:
            yield Problem(4, at, f"is {value:.3g}, a largest value of {value * levels:.3g}, out of all reason", ANEW)


def _nvfp4_findings(view: View, name: str, algorithm: str) -> Iterator[Problem]:
    weight = view.get(f"{name}.weight")
    assert weight is not None
    shape = weight.info.shape
    at = view.where(f"{name}.weight")
    if len(shape) != 2:
        yield Problem(2, at, f"has shape {list(shape)}, but packed weights have two dimensions", ANEW)
        return
    columns = shape[1] * 2
    if columns % 16:
        yield Problem(4, at, f"packs {columns} columns, which is no multiple of 16", "leave this layer in BF16")
    yield from _scalar(view, name, "weight_scale_2", 6 * 448)
    if algorithm == "NVFP4":
        yield from _scalar(view, name, "input_scale", 6 * 448)
    elif view.get(f"{name}.input_scale") is not None:
        where = view.where(f"{name}.input_scale")
        yield Problem(2, where, f"is there, but under {algorithm} activations are not quantised", ANEW)
    yield from _packed_values(weight, at)
    scale = view.get(f"{name}.weight_scale")
    at = view.where(f"{name}.weight_scale")
    if scale is None:
        yield Problem(2, at, "is missing", ANEW)
    elif scale.info.dtype != "F8_E4M3":
        problem = f"is {scale.info.dtype}, but block scales are F8_E4M3 (at most 448)"
        yield Problem(4, at, problem, ANEW)
    elif scale.info.shape != (shape[0], columns // 16):
        problem = f"has shape {list(scale.info.shape)}, but the weight needs {[shape[0], columns // 16]}"
        yield Problem(4, at, problem, ANEW)
    else:
        yield from _block_scale_values(scale, at)


def _block_scale_values(scale: Tensor, at: str) -> Iterator[Problem]:
    codes = np.frombuffer(scale.raw(), np.uint8)
    if codes.size == 0:
        return
    # E4M3 codes grow with their value up to 0x7E (448); 0x7F is NaN, from 0x80 on the sign is set.
    if int(codes.max()) > 0x7E:
        bad = codes[codes > 0x7E]
        what = "NaN" if np.any((bad & 0x7F) == 0x7F) else "negative"
        yield Problem(4, at, f"{bad.size} of {codes.size} block scales are {what}", ANEW)
    elif int(codes.min()) == 0:
        yield Problem(4, at, f"{int((codes == 0).sum())} of {codes.size} block scales are zero", ANEW)
    elif codes.size >= 64 and int(codes.min()) == int(codes.max()):
        value = float(e4m3_values()[codes[0]])
        yield Problem(4, at, f"all {codes.size} block scales are {value:g}, whatever the weights are", ANEW)
    elif codes.size >= 64 and int((codes == 1).sum()) > codes.size // 2:
        share = float((codes == 1).mean())
        problem = f"{share:.0%} of the block scales are at the floor of 2**-9: most of the weight is lost"
        yield Problem(4, at, problem, "calibrate again; the global scale is far too large")


def _windows(tensor: Tensor) -> np.ndarray:
    """The tensor's bytes, of a large one those at its start, middle and end."""
    size = tensor.info.bytes
    if size <= 3 * WINDOW:
        return np.frombuffer(tensor.raw(), np.uint8)
    parts = []
    with tensor.path.open("rb") as stream:
        for start in (0, size // 2 // 16 * 16, (size - WINDOW) // 16 * 16):
            stream.seek(tensor.info.begin + start)
            parts.append(np.frombuffer(stream.read(min(WINDOW, size - start)), np.uint8))
    return np.concatenate(parts)


def _packed_values(weight: Tensor, at: str) -> Iterator[Problem]:
    data = _windows(weight)
    if data.size < 32:
        return
    codes = np.concatenate((data & 7, (data >> 4) & 7))
    if not codes.any():
        yield Problem(4, at, "is all zeros", ANEW)
    elif (share := float((codes == 7).mean())) > 0.6:
        yield Problem(4, at, f"{share:.0%} of its elements are saturated", "export again; the scales do not fit")


def _fp8_findings(view: View, name: str) -> Iterator[Problem]:
    weight = view.get(f"{name}.weight")
    assert weight is not None
    yield from _scalar(view, name, "weight_scale", 448)
    yield from _scalar(view, name, "input_scale", 448)
    if view.get(f"{name}.weight_scale_2") is not None:
        yield Problem(2, view.where(f"{name}.weight_scale_2"), "is NVFP4's, but the layer is FP8", ANEW)
    data = _windows(weight)
    at = view.where(f"{name}.weight")
    if data.size and np.any((data & 0x7F) == 0x7F):
        yield Problem(4, at, "holds NaN", ANEW)
    elif data.size >= 32 and not np.any(data & 0x7F):
        yield Problem(4, at, "is all zeros", ANEW)
    elif data.size >= 32 and float(((data & 0x7F) == 0x7E).mean()) > 0.3:
        yield Problem(4, at, "is saturated", "export again; the scales do not fit")


def _fused_findings(view: View, linear: list[str]) -> Iterator[Problem]:
    """Parts of a fused layer share format and per-tensor scales (point 3)."""
    for fused, members in fused_groups(linear).items():
        formats = {_format(view, member) for member in members}
        if len(formats) > 1:
            said = ", ".join(f"{m.rpartition('.')[2]} {_format(view, m)}" for m in members)
            problem = f"is fused into {fused}, but the parts have different formats: {said}"
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


def _kv_findings(view: View) -> Iterator[Problem]:
    quantization = view.quantization
    wanted = quantization is not None and quantization.kv_cache is not None
    found = [name for name in view.by_plain_name if name.endswith(KV_SCALES)]
    for name in found:
        tensor = view.get(name)
        assert tensor is not None
        if not wanted:
            yield Problem(5, view.where(name), "is a KV cache scale, but no config names a KV cache format", ANEW)
            return
        if tensor.info.dtype != "F32" or tensor.info.elements != 1:
            yield Problem(4, view.where(name), "must be one F32 number", ANEW)
        elif not np.isfinite(value := float(tensor.floats()[0])) or value <= 0:
            yield Problem(4, view.where(name), f"is {value}, but a scale must be finite and positive", ANEW)
    if wanted and found:
        # The decoder's: the MTP head is left in BF16, and vLLM takes 1.0 for the scale that it lacks.
        layers = {
            name.rpartition(".self_attn.")[0]
            for name in view.by_plain_name
            if name.startswith("model.layers.") and ".self_attn.q_proj.w" in name
        }
        for layer in sorted(layers):
            for part in ("k", "v"):
                name = f"{layer}.self_attn.{part}_proj.{part}_scale"
                if view.get(name) is None:
                    yield Problem(2, view.where(name), "is missing, though other layers have it", ANEW)


def _schema_findings(view: View, served: dict[str, str | None]) -> Iterator[Problem]:
    """All tensors of the architecture are there with their shapes, and no others (point 2)."""
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
            yield Problem(2, view.where(name), "is missing", ANEW)
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
        elsewhere = name.startswith(("mtp.", "visual."))
        leftover = "_quantizer" in name or last.endswith("pre_quant_scale")
        if not scale_of_known and not elsewhere and not leftover:
            yield Problem(2, view.where(name), f"is no tensor of {kind} with this config.json", ANEW)


def _plain_values(view: View, linear: set[str]) -> Iterator[Problem]:
    """Weights left as they were hold numbers: no NaN, no infinity, and those that multiply are not all zero."""
    centred = has_centred_norms(view.config)
    for name, tensor in view.tensors.items():
        last = name.rpartition(".")[2]
        if tensor.info.dtype not in _EXPONENT or last in SCALES or last in KV_SCALES:
            continue
        unsigned, mask, magnitude = _EXPONENT[tensor.info.dtype]
        numbers = _windows(tensor).view(unsigned)
        multiplies = len(tensor.info.shape) == 2 or (name.endswith("norm.weight") and not centred)
        if np.any((numbers & mask) == mask):
            yield Problem(4, f"{tensor.file}: {name}", "holds NaN or infinity", ANEW)
        elif multiplies and last == "weight" and numbers.size >= 32 and not np.any(numbers & magnitude):
            yield Problem(4, f"{tensor.file}: {name}", "is all zeros", ANEW)

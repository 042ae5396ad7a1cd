"""Preflight checks of one layer: weight and scales have shapes, dtypes and values of its format (points 2 and 4).

Shapes are those that vLLM 0.32 registers (layers/quantization/modelopt.py): NVFP4 packs two values per byte along
the columns, with one scale per 16 columns and one global scale; FP8 has one scale; FP8_PER_CHANNEL_PER_TOKEN one per
row; FP8_PB_WO one per 128 x 128 block; MXFP8 one exponent per 32 columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from quant.checkpoint.safetensors_file import e4m3_values
from quant.checkpoint.view import AGAIN, Problem, Tensor, View

#: Bytes of a large tensor that are read at its start, middle and end each.
WINDOW = 1 << 15
#: Limits of the amax that a global scale corresponds to; those of weights and activations are well inside.
SMALLEST_AMAX, LARGEST_AMAX = 1e-12, 1e6
_GARBAGE = "is missing: vLLM would serve garbage, silently"


def windows(tensor: Tensor) -> np.ndarray:
    """The tensor's bytes; of a large tensor those at its start, middle and end."""
    size = tensor.info.bytes
    if size <= 3 * WINDOW:
        return np.frombuffer(tensor.raw(), np.uint8)
    parts = []
    with tensor.path.open("rb") as stream:
        for start in (0, size // 2 // 16 * 16, (size - WINDOW) // 16 * 16):
            stream.seek(tensor.info.begin + start)
            parts.append(np.frombuffer(stream.read(min(WINDOW, size - start)), np.uint8))
    return np.concatenate(parts)


def format_findings(view: View, name: str, algorithm: str) -> Iterator[Problem]:
    """Findings about one quantised layer that vLLM reads as `algorithm`."""
    if "NVFP4" in algorithm:
        yield from _nvfp4(view, name, algorithm)
    elif algorithm == "FP8":
        yield from _scalar(view, name, "weight_scale", 448)
        yield from _scalar(view, name, "input_scale", 448)
        yield from _fp8_weight(view, name)
    elif algorithm == "FP8_PER_CHANNEL_PER_TOKEN":
        yield from _grid(view, name, lambda rows, _: [(rows,), (rows, 1)])
        yield from _fp8_weight(view, name, dynamic=algorithm)
    elif algorithm == "FP8_PB_WO":
        yield from _multiple(view, name, 128)
        yield from _grid(view, name, lambda rows, columns: [(-(-rows // 128), 1, columns // 128, 1)])
        yield from _fp8_weight(view, name, dynamic=algorithm)
    elif algorithm == "MXFP8":
        yield from _multiple(view, name, 32)
        yield from _exponents(view, name)
        yield from _fp8_weight(view, name, dynamic=algorithm)


def _multiple(view: View, name: str, block: int) -> Iterator[Problem]:
    weight = view.get(f"{name}.weight")
    if weight is not None and len(weight.info.shape) == 2 and weight.info.shape[1] % block:
        problem = f"has {weight.info.shape[1]} columns, which is no multiple of {block}"
        yield Problem(4, view.where(f"{name}.weight"), problem, "leave this layer in BF16")


def _scalar(view: View, name: str, scale: str, levels: float) -> Iterator[Problem]:
    """Check a per-tensor scale: present, float32, one element, finite, positive, with a plausible amax."""
    tensor = view.get(f"{name}.{scale}")
    at = view.where(f"{name}.{scale}")
    if tensor is None:
        yield Problem(2, at, _GARBAGE, AGAIN)
    elif tensor.info.dtype != "F32" or tensor.info.elements != 1:
        shape = list(tensor.info.shape)
        yield Problem(4, at, f"is {tensor.info.dtype} {shape}, but must be one F32 number", AGAIN)
    else:
        value = float(tensor.floats()[0])
        if not np.isfinite(value) or value <= 0:
            yield Problem(4, at, f"is {value}, but a scale must be finite and positive", AGAIN)
        elif not SMALLEST_AMAX <= value * levels <= LARGEST_AMAX:
            yield Problem(
                4, at, f"is {value:.3g}, a largest value of {value * levels:.3g}, which is implausible", AGAIN
            )


def _grid(view: View, name: str, shapes: Callable[[int, int], list[tuple[int, ...]]]) -> Iterator[Problem]:
    """Check F32 scales, one for each block of the weight: all present, finite, positive and plausible."""
    weight, scale = view.get(f"{name}.weight"), view.get(f"{name}.weight_scale")
    at = view.where(f"{name}.weight_scale")
    if scale is None or weight is None or len(weight.info.shape) != 2:
        if scale is None:
            yield Problem(2, at, _GARBAGE, AGAIN)
        return
    wanted = shapes(*weight.info.shape)
    if scale.info.dtype != "F32":
        yield Problem(4, at, f"is {scale.info.dtype}, but must be F32", AGAIN)
    elif scale.info.shape not in wanted:
        yield Problem(4, at, f"has shape {list(scale.info.shape)}, but the weight needs {list(wanted[0])}", AGAIN)
    else:
        values = scale.floats()
        if bad := int((~np.isfinite(values) | (values <= 0)).sum()):
            yield Problem(4, at, f"{bad} of its {values.size} scales are not finite and positive", AGAIN)
        elif values.size and not SMALLEST_AMAX <= float(values.max()) * 448 <= LARGEST_AMAX:
            yield Problem(4, at, f"is up to {float(values.max()):.3g}, which is implausible", AGAIN)


def _exponents(view: View, name: str) -> Iterator[Problem]:
    """Check MXFP8's scales: E8M0, one byte each, a power of two; 255 is NaN."""
    weight, scale = view.get(f"{name}.weight"), view.get(f"{name}.weight_scale")
    at = view.where(f"{name}.weight_scale")
    if scale is None or weight is None or len(weight.info.shape) != 2:
        if scale is None:
            yield Problem(2, at, _GARBAGE, AGAIN)
        return
    rows, columns = weight.info.shape
    if scale.info.dtype not in {"U8", "F8_E8M0"}:
        yield Problem(4, at, f"is {scale.info.dtype}, but MXFP8's scales are U8 (E8M0)", AGAIN)
    elif scale.info.shape != (rows, columns // 32):
        problem = f"has shape {list(scale.info.shape)}, but the weight needs {[rows, columns // 32]}"
        yield Problem(4, at, problem, AGAIN)
    else:
        codes = np.frombuffer(scale.raw(), np.uint8)
        if bad := int((codes == 255).sum()):
            yield Problem(4, at, f"{bad} of {codes.size} block scales are NaN", AGAIN)
        elif codes.size and int(codes.max()) > 127 + 20:
            yield Problem(4, at, f"is up to 2**{int(codes.max()) - 127}, which is implausible", AGAIN)
        elif codes.size >= 64 and int(codes.min()) == int(codes.max()) == 0:
            yield Problem(4, at, "block scales are all at the minimum of 2**-127: most of the weight is lost", AGAIN)


def _nvfp4(view: View, name: str, algorithm: str) -> Iterator[Problem]:
    weight = view.get(f"{name}.weight")
    assert weight is not None
    shape = weight.info.shape
    at = view.where(f"{name}.weight")
    if len(shape) != 2:
        yield Problem(2, at, f"has shape {list(shape)}, but packed weights have two dimensions", AGAIN)
        return
    columns = shape[1] * 2
    if columns % 16:
        yield Problem(4, at, f"packs {columns} columns, which is no multiple of 16", "leave this layer in BF16")
    yield from _scalar(view, name, "weight_scale_2", 6 * 448)
    if algorithm == "NVFP4":
        yield from _scalar(view, name, "input_scale", 6 * 448)
    elif view.get(f"{name}.input_scale") is not None:
        where = view.where(f"{name}.input_scale")
        if view.quantization is not None and view.quantization.weight_only:
            problem = "is there, but config_groups say that activations are not quantised, so vLLM serves W4A16"
            yield Problem(2, where, problem, "write input_activations into config_groups, or export as W4A16_NVFP4")
        else:
            problem = f"is there, but under {algorithm} activations are not quantised, so vLLM drops it"
            yield Problem(2, where, problem, "remove it, or export again", "warned")
    yield from _packed_values(weight, at)
    scale = view.get(f"{name}.weight_scale")
    at = view.where(f"{name}.weight_scale")
    if scale is None:
        yield Problem(2, at, "is missing", AGAIN)
    elif scale.info.dtype != "F8_E4M3":
        problem = f"is {scale.info.dtype}, but block scales are F8_E4M3 (at most 448)"
        yield Problem(4, at, problem, AGAIN)
    elif scale.info.shape != (shape[0], columns // 16):
        problem = f"has shape {list(scale.info.shape)}, but the weight needs {[shape[0], columns // 16]}"
        yield Problem(4, at, problem, AGAIN)
    else:
        yield from block_scale_values(scale, at)


def block_scale_values(scale: Tensor, at: str) -> Iterator[Problem]:
    """Findings about E4M3 block scales: NaN, negative, zero, all equal, or at the minimum."""
    codes = np.frombuffer(scale.raw(), np.uint8)
    if codes.size == 0:
        return
    # E4M3 codes grow with their value up to 0x7E (448); 0x7F is NaN, from 0x80 on the sign is set.
    if int(codes.max()) > 0x7E:
        bad = codes[codes > 0x7E]
        what = "NaN" if np.any((bad & 0x7F) == 0x7F) else "negative"
        yield Problem(4, at, f"{bad.size} of {codes.size} block scales are {what}", AGAIN)
    elif int(codes.min()) == 0:
        yield Problem(4, at, f"{int((codes == 0).sum())} of {codes.size} block scales are zero", AGAIN)
    elif codes.size >= 64 and int(codes.min()) == int(codes.max()):
        value = float(e4m3_values()[codes[0]])
        yield Problem(4, at, f"all {codes.size} block scales are {value:g}, whatever the weights are", AGAIN)
    elif codes.size >= 64 and int((codes == 1).sum()) > codes.size // 2:
        share = float((codes == 1).mean())
        problem = f"{share:.0%} of the block scales are at the minimum of 2**-9: most of the weight is lost"
        yield Problem(4, at, problem, "calibrate again; the global scale is far too large")


def _packed_values(weight: Tensor, at: str) -> Iterator[Problem]:
    data = windows(weight)
    if data.size < 32:
        return
    codes = np.concatenate((data & 7, (data >> 4) & 7))
    if not codes.any():
        yield Problem(4, at, "is all zeros", AGAIN)
    elif (share := float((codes == 7).mean())) > 0.6:
        yield Problem(4, at, f"{share:.0%} of its elements are saturated", "export again; the scales do not fit")


def _fp8_weight(view: View, name: str, dynamic: str | None = None) -> Iterator[Problem]:
    """Check the weight's values, and that it has no scale of another format; `dynamic` formats need no input scale."""
    weight = view.get(f"{name}.weight")
    assert weight is not None
    if view.get(f"{name}.weight_scale_2") is not None:
        yield Problem(2, view.where(f"{name}.weight_scale_2"), "is NVFP4's, but the layer is FP8", AGAIN)
    if dynamic is not None and view.get(f"{name}.input_scale") is not None:
        problem = f"is there, but {dynamic} scales activations as they come"
        yield Problem(2, view.where(f"{name}.input_scale"), problem, "remove it, or export again", "warned")
    data = windows(weight)
    at = view.where(f"{name}.weight")
    if data.size and np.any((data & 0x7F) == 0x7F):
        yield Problem(4, at, "holds NaN", AGAIN)
    elif data.size >= 32 and not np.any(data & 0x7F):
        yield Problem(4, at, "is all zeros", AGAIN)
    elif data.size >= 32 and float(((data & 0x7F) == 0x7E).mean()) > 0.3:
        yield Problem(4, at, "is saturated", "export again; the scales do not fit")

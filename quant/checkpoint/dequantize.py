"""Loads a quantised checkpoint as a transformers model: dequantised weights, activations rounded like a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quant.checkpoint import loading
from quant.checkpoint.quantization import plain
from quant.checkpoint.view import View, view
from quant.errors import UsageError
from quant.formats import fp8, nvfp4


def _read(path: Path, name: str) -> Tensor:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        tensor: Tensor = file.get_tensor(name)
    return tensor


def _hook(kind: str, amax: Tensor) -> Any:
    def before(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rounded = (nvfp4 if kind == "NVFP4" else fp8).fake_quantize(inputs[0], amax)
        return (rounded, *inputs[1:])

    return before


@torch.no_grad()
def load(directory: Path, skeleton: Path, device: str) -> Any:
    """The model that a server of `directory` computes with; `skeleton` is the BF16 checkpoint it was made from.

    Raises UsageError if the two have different architectures.
    """
    ours, findings = view(directory)
    if findings or ours.bad_files:
        raise UsageError(f"{directory}: {findings[0] if findings else ours.bad_files}; run preflight")
    model = loading.load_model(skeleton, device)
    parameters = {plain(name): parameter for name, parameter in model.named_parameters()}
    modules = {plain(name): module for name, module in model.named_modules()}
    tied = {plain(name) for name, parameter in model.named_parameters(remove_duplicate=False)} - parameters.keys()
    names = {_weight_name(name): name for name in ours.by_plain_name}
    for name in sorted(parameters.keys() - names.keys() - {"lm_head.weight"}):
        raise UsageError(f"{directory}: holds no {name}, so it is not made from {skeleton}")
    for name, held in names.items():
        parameter = parameters.get(name)
        if parameter is None:
            if name.endswith(".weight") and name not in tied and not name.startswith("mtp."):
                raise UsageError(f"{directory}: holds {name}, which {skeleton} does not, so it is not made from that")
            continue
        layer = name.rpartition(".")[0]
        tensor = _read(ours.tensors[ours.by_plain_name[held]].path, ours.by_plain_name[held])
        parts = _parts(ours, layer)
        weight = _expanded(tensor, parts, parameter.dtype, f"{directory}: {layer}")
        if weight.shape != parameter.shape:
            raise UsageError(
                f"{directory}: {name} has shape {list(weight.shape)}, {skeleton} has {list(parameter.shape)}"
            )
        parameter.copy_(weight)
        if name.endswith(".weight") and "input_scale" in parts and layer in modules:
            kind, levels = ("NVFP4", 6 * 448) if tensor.dtype == torch.uint8 else ("FP8", 448)
            modules[layer].register_forward_pre_hook(_hook(kind, parts["input_scale"].to(device).float() * levels))
    return model


def _weight_name(name: str) -> str:
    """`…weight` for compressed-tensors' `…weight_packed`; other names unchanged."""
    return name.removesuffix("_packed") if name.endswith(".weight_packed") else name


def _parts(ours: View, layer: str) -> dict[str, Tensor]:
    """A layer's scales under ModelOpt's names. compressed-tensors stores the reciprocals of global scales."""
    found = {
        part: _read(tensor.path, ours.by_plain_name[f"{layer}.{part}"])
        for part in ("weight_scale", "weight_scale_2", "input_scale", "weight_scale_inv")
        if (tensor := ours.get(f"{layer}.{part}")) is not None
    }
    for theirs, part in (("weight_global_scale", "weight_scale_2"), ("input_global_scale", "input_scale")):
        if (tensor := ours.get(f"{layer}.{theirs}")) is not None:
            found[part] = 1 / _read(tensor.path, ours.by_plain_name[f"{layer}.{theirs}"]).float().reshape(())
    return found


def _expanded(tensor: Tensor, parts: dict[str, Tensor], dtype: torch.dtype, where: str) -> Tensor:
    """The weight that a server computes with. Raises UsageError for a format or a scale that is not known here."""
    try:
        if tensor.dtype == torch.uint8:
            packed = nvfp4.NVFP4Tensor(tensor, parts["weight_scale"], parts["weight_scale_2"])
            return nvfp4.dequantize(packed, dtype)
        if tensor.dtype == torch.float8_e4m3fn and "weight_scale_inv" in parts:
            return _blocks(tensor, parts["weight_scale_inv"], dtype)
        if tensor.dtype == torch.float8_e4m3fn:
            scale = parts["weight_scale"].float()
            if scale.dim() == 4:
                return _blocks(tensor, scale[:, 0, :, 0], dtype)
            return (tensor.float() * (scale[:, None] if scale.dim() == 1 and scale.numel() > 1 else scale)).to(dtype)
    except KeyError as error:
        raise UsageError(f"{where}: has no {error}, so its weights cannot be read; run preflight") from None
    return tensor


def _blocks(tensor: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """FP8 values times their block scales; the block size follows from the shapes, 128 if there is only one block."""
    rows, columns = tensor.shape
    sizes = [
        128 if count == 1 else -(-length // count) for length, count in zip(tensor.shape, scales.shape, strict=True)
    ]
    sizes = [1 << (size - 1).bit_length() for size in sizes]
    wide = scales.float().repeat_interleave(sizes[0], 0).repeat_interleave(sizes[1], 1)[:rows, :columns]
    return (tensor.float() * wide).to(dtype)

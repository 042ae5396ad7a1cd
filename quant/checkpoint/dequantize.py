"""A quantised checkpoint as a transformers model: weights expanded, activations rounded as the server does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quant.checkpoint import loading
from quant.checkpoint.quantization import plain
from quant.checkpoint.view import view
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

    Raises UsageError where the two are of different architectures.
    """
    ours, findings = view(directory)
    if findings or ours.bad_files:
        raise UsageError(f"{directory}: {findings[0] if findings else ours.bad_files}; run preflight")
    model = loading.load_model(skeleton, device)
    parameters = {plain(name): parameter for name, parameter in model.named_parameters()}
    modules = {plain(name): module for name, module in model.named_modules()}
    tied = {plain(name) for name, parameter in model.named_parameters(remove_duplicate=False)} - parameters.keys()
    for name in sorted(parameters.keys() - ours.by_plain_name.keys() - {"lm_head.weight"}):
        raise UsageError(f"{directory}: holds no {name}, so it is not made from {skeleton}")
    for name, file_name in ours.by_plain_name.items():
        parameter = parameters.get(name)
        if parameter is None:
            if name.endswith(".weight") and name not in tied and not name.startswith("mtp."):
                raise UsageError(f"{directory}: holds {name}, which {skeleton} does not, so it is not made from that")
            continue
        tensor = _read(ours.tensors[file_name].path, file_name)
        layer = name.rpartition(".")[0]
        parts = {
            part: _read(found.path, ours.by_plain_name[f"{layer}.{part}"])
            for part in ("weight_scale", "weight_scale_2", "input_scale")
            if (found := ours.get(f"{layer}.{part}")) is not None
        }
        if tensor.dtype == torch.uint8:
            packed = nvfp4.NVFP4Tensor(tensor, parts["weight_scale"], parts["weight_scale_2"])
            weight = nvfp4.dequantize(packed, parameter.dtype)
        elif tensor.dtype == torch.float8_e4m3fn:
            weight = (tensor.float() * parts["weight_scale"].float()).to(parameter.dtype)
        else:
            weight = tensor
        if weight.shape != parameter.shape:
            raise UsageError(
                f"{directory}: {name} has shape {list(weight.shape)}, {skeleton} has {list(parameter.shape)}"
            )
        parameter.copy_(weight)
        if name.endswith(".weight") and "input_scale" in parts and layer in modules:
            kind, levels = ("NVFP4", 6 * 448) if tensor.dtype == torch.uint8 else ("FP8", 448)
            modules[layer].register_forward_pre_hook(_hook(kind, parts["input_scale"].to(device).float() * levels))
    return model

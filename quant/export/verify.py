"""Checks that the exported weights, dequantised, equal the model's fake-quantised ones, bit for bit.

Every layer is compared through SHA-256 digests, so that no second copy of the model is needed in memory.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from torch import Tensor, nn

from quant.errors import NotServedAsMade
from quant.formats import nvfp4

_PIECE = 64 * 2**20
"""Bytes copied from a GPU at a time."""


def digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bits; -0.0 counts as 0.0."""
    tensor = (tensor.detach() + 0.0).contiguous()  # -0.0 becomes 0.0: equal, but not the same bits
    raw = tensor.view(-1).view(torch.uint8)
    if tensor.device.type == "cpu":
        return hashlib.sha256(raw.numpy().data).hexdigest()
    found = hashlib.sha256()
    held = torch.empty(min(_PIECE, len(raw)), dtype=torch.uint8, pin_memory=True)
    for piece in raw.split(_PIECE):
        found.update(held[: len(piece)].copy_(piece).numpy().data)
    return found.hexdigest()


def digests(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, str]:
    """`digest` of many tensors by name, on all cores; only a few tensors are in memory at the same time."""
    workers = min(16, os.cpu_count() or 1)
    left = threading.Semaphore(workers + 2)
    found: dict[str, Future[str]] = {}
    with ThreadPoolExecutor(workers) as pool:
        for name, tensor in tensors:
            left.acquire()
            found[name] = pool.submit(digest, tensor)
            found[name].add_done_callback(lambda _: left.release())
            del tensor
    return {name: future.result() for name, future in found.items()}


@torch.no_grad()
def computed_digests(model: nn.Module) -> dict[str, str]:
    """SHA-256 of the weight that each quantised layer multiplies by, in the model's dtype, by module name."""
    return digests(
        (name, _computed(module))
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), Tensor)
        and getattr(getattr(module, "weight_quantizer", None), "is_enabled", False)
    )


def _computed(module: Any) -> Tensor:
    """The weight that a quantised layer multiplies by, also if its original weight is in host memory."""
    if not hasattr(module, "_hf_hook"):
        return cast(Tensor, module.weight_quantizer(module.weight)).detach()
    from accelerate.utils import align_module_device

    with align_module_device(module):
        return cast(Tensor, module.weight_quantizer(module.weight)).detach()


def plain_name(name: str) -> str:
    """A layer's name, the same in a text model and in the text part of a vision model."""
    return name.replace("model.language_model.", "model.").replace("language_model.model.", "model.")


def _open_all(directory: Path, device: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(directory.glob("*.safetensors")):
        file = safe_open(path, framework="pt", device=device)
        found.update(dict.fromkeys(file.keys(), file))
    return found


def exported_digests(directory: Path, dtype: torch.dtype) -> dict[str, str]:
    """SHA-256 of the dequantised weight of each quantised layer of a checkpoint, by plain layer name.

    Computed on the GPU if there is one: every value is one product in float32, the same on any machine.
    """
    files = _open_all(directory, "cuda" if torch.cuda.is_available() else "cpu")
    return digests(
        (plain_name(key.removesuffix(".weight")), _expanded(files, key.removesuffix(".weight"), dtype))
        for key in files
        if key.endswith(".weight") and f"{key}_scale" in files
    )


def _expanded(files: dict[str, Any], name: str, dtype: torch.dtype) -> Tensor:
    weight, scale = (files[key].get_tensor(key) for key in (f"{name}.weight", f"{name}.weight_scale"))
    if weight.dtype == torch.uint8:
        second = files[f"{name}.weight_scale_2"].get_tensor(f"{name}.weight_scale_2")
        return nvfp4.dequantize(nvfp4.NVFP4Tensor(weight, scale, second), dtype)
    expanded: Tensor = (weight.float() * scale.float()).to(dtype)
    return expanded


def assert_served_as_made(computed: dict[str, str], directory: Path, dtype: torch.dtype) -> int:
    """Raise NotServedAsMade unless every layer's exported weight equals the computed one, bit for bit.

    Returns how many layers were compared.
    """
    expected = {plain_name(name): digest for name, digest in computed.items()}
    exported = exported_digests(directory, dtype)
    missing = sorted(expected.keys() - exported.keys())
    surplus = sorted(exported.keys() - expected.keys())
    different = sorted(name for name in expected.keys() & exported.keys() if expected[name] != exported[name])
    if missing or surplus or different:
        groups = (("not exported", missing), ("exported but not quantised", surplus), ("different", different))
        differences = "; ".join(f"{len(names)} {what}, first {names[0]}" for what, names in groups if names)
        raise NotServedAsMade(f"the exported weights are not the model's: {differences}")
    return len(expected)

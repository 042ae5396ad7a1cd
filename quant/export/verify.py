"""What is served is what was made: the exported weights, expanded again, equal the model's fake-quantised ones.

Every layer is compared bit for bit, through digests, so that no second copy of the model is held.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from quant.errors import NotServedAsMade
from quant.formats import nvfp4


def digest(tensor: Tensor) -> str:
    """SHA-256 of a tensor's bits, minus zero taken as zero."""
    tensor = (tensor + 0.0).contiguous().cpu()  # -0.0 becomes 0.0: equal, but not the same bits
    return hashlib.sha256(tensor.view(torch.uint8).numpy().data).hexdigest()


@torch.no_grad()
def computed_digests(model: nn.Module) -> dict[str, str]:
    """SHA-256 of the weight that each quantised layer multiplies by, in the model's dtype, by module name."""
    return {
        name: digest(module.weight_quantizer(module.weight))
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), Tensor)
        and getattr(getattr(module, "weight_quantizer", None), "is_enabled", False)
    }


def plain_name(name: str) -> str:
    """A layer's name without the prefix that tells a text model from the text part of a vision model."""
    return name.replace("model.language_model.", "model.").replace("language_model.model.", "model.")


def _open_all(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(directory.glob("*.safetensors")):
        file = safe_open(path, framework="pt")
        found.update(dict.fromkeys(file.keys(), file))
    return found


def exported_digests(directory: Path, dtype: torch.dtype) -> dict[str, str]:
    """SHA-256 of the expanded weight of each quantised layer of a checkpoint, by plain layer name."""
    files = _open_all(directory)
    digests: dict[str, str] = {}
    for key in files:
        name, _, last = key.rpartition(".")
        if last != "weight" or f"{name}.weight_scale" not in files:
            continue
        weight = files[key].get_tensor(key)
        scale = files[f"{name}.weight_scale"].get_tensor(f"{name}.weight_scale")
        if weight.dtype == torch.uint8:
            second = files[f"{name}.weight_scale_2"].get_tensor(f"{name}.weight_scale_2")
            expanded = nvfp4.dequantize(nvfp4.NVFP4Tensor(weight, scale, second), dtype)
        else:
            expanded = (weight.float() * scale.float()).to(dtype)
        digests[plain_name(name)] = digest(expanded)
    return digests


def assert_served_as_made(computed: dict[str, str], directory: Path, dtype: torch.dtype) -> int:
    """Raise NotServedAsMade unless every layer's exported weight is the computed one.

    Returns how many layers were compared.
    """
    expected = {plain_name(name): digest for name, digest in computed.items()}
    exported = exported_digests(directory, dtype)
    missing = sorted(expected.keys() - exported.keys())
    surplus = sorted(exported.keys() - expected.keys())
    different = sorted(name for name in expected.keys() & exported.keys() if expected[name] != exported[name])
    if missing or surplus or different:
        groups = (("not exported", missing), ("exported but not quantised", surplus), ("different", different))
        said = "; ".join(f"{len(names)} {what}, first {names[0]}" for what, names in groups if names)
        raise NotServedAsMade(f"the exported weights are not the model's: {said}")
    return len(expected)

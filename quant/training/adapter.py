"""Rounds the trained adapter to the stored precision, and writes it in the layout of `quant.export.adapter`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from quant.export.adapter import PREFIX, write_folder
from quant.export.verify import digests
from quant.recipe import Recipe
from quant.training.layers import TrainedLinear


def round_to_stored(layers: dict[str, TrainedLinear]) -> None:
    """Round the adapters to BF16, the stored precision, and from now on merge them like `merge` does.

    So the measured and exported weights are, bit for bit, those that any machine rebuilds from the stored adapter.
    """
    import torch

    with torch.no_grad():
        for layer in layers.values():
            for factor in (layer.lora_a, layer.lora_b):
                if factor is not None:
                    factor.copy_(factor.bfloat16())
            layer.settled = True


def base_digests(layers: dict[str, TrainedLinear]) -> dict[str, str]:
    """SHA-256 of the weights under the adapters, by layer, with which `merge` checks its base model."""
    return digests((name, layer.weight.detach()) for name, layer in layers.items() if layer.lora_a is not None)


def write(
    directory: Path,
    config: Any,
    layers: dict[str, TrainedLinear],
    recipe: Recipe,
    made: dict[str, str],
    base: dict[str, str],
) -> None:
    """Write the files into `directory`, which is created."""
    from safetensors.torch import save_file

    adapter: dict[str, Tensor] = {}
    amax: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.lora_a is not None and layer.lora_b is not None:
            adapter[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_a.detach().bfloat16().cpu().contiguous()
            adapter[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_b.detach().bfloat16().cpu().contiguous()
        for which, kind in (("weight", layer.weight_kind), ("input", layer.input_kind)):
            if kind != "none":
                found = getattr(layer, f"{which}_amax").detach().float().cpu().reshape(1)
                # fused layers may share one tensor, which a safetensors file cannot store
                amax[f"{name}.{which}_amax"] = found.clone()
    write_folder(directory, amax, recipe, made, base)
    if adapter:
        save_file(adapter, directory / "adapter_model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(directory)

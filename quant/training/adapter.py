"""What training leaves beside the checkpoint: the adapter in peft's layout, with the quantisers' amax.

    adapter/adapter_config.json, adapter_model.safetensors     as peft reads and writes them, BF16
    adapter/quantizers.safetensors                             `NAME.weight_amax`, `NAME.input_amax`
    adapter/recipe.json                                        the recipe in force
    adapter/digests.json                                       SHA-256 of each quantised weight, by layer
    adapter/base.json                                          SHA-256 of each weight that was adapted, by layer

With the base model that is all it takes to build the checkpoint again: `python -m quant merge`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from quant.errors import UsageError
from quant.recipe import Recipe
from quant.served import digest
from quant.training.layers import TrainedLinear

FOLDER = "adapter"
_PREFIX = "base_model.model."


def settle(layers: dict[str, TrainedLinear]) -> None:
    """Round the adapters to BF16 values, in which they are stored, so that what is merged now is what is kept."""
    import torch

    with torch.no_grad():
        for layer in layers.values():
            for factor in (layer.lora_a, layer.lora_b):
                if factor is not None:
                    factor.copy_(factor.bfloat16())


def base_digests(layers: dict[str, TrainedLinear]) -> dict[str, str]:
    """SHA-256 of the weights under the adapters, by layer: what `merge` knows the base model by."""
    return {name: digest(layer.weight.detach()) for name, layer in layers.items() if layer.lora_a is not None}


def write(
    directory: Path,
    config: Any,
    layers: dict[str, TrainedLinear],
    recipe: Recipe,
    digests: dict[str, str],
    base: dict[str, str],
) -> None:
    """Write the folder's files into `directory`, which is made."""
    from safetensors.torch import save_file

    directory.mkdir()
    adapter: dict[str, Tensor] = {}
    amax: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.lora_a is not None and layer.lora_b is not None:
            adapter[f"{_PREFIX}{name}.lora_A.weight"] = layer.lora_a.detach().bfloat16().cpu().contiguous()
            adapter[f"{_PREFIX}{name}.lora_B.weight"] = layer.lora_b.detach().bfloat16().cpu().contiguous()
        for which, kind in (("weight", layer.weight_kind), ("input", layer.input_kind)):
            if kind != "none":
                amax[f"{name}.{which}_amax"] = getattr(layer, f"{which}_amax").detach().float().cpu().reshape(1)
    if adapter:
        save_file(adapter, directory / "adapter_model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(directory)
    if amax:
        save_file(amax, directory / "quantizers.safetensors")
    (directory / "recipe.json").write_text(json.dumps(recipe.model_dump(), indent=1) + "\n")
    (directory / "digests.json").write_text(json.dumps(digests, indent=0) + "\n")
    if base:
        (directory / "base.json").write_text(json.dumps(base, indent=0) + "\n")


@dataclass(frozen=True)
class Adapter:
    """An adapter folder.

    Attributes:
        factors: `(A, B)` by layer, `(rank, in)` and `(out, rank)`.
        scaling: what B A is multiplied by.
        amax: by `NAME.weight_amax` and `NAME.input_amax`, one element each.
        digests: SHA-256 of the quantised weights that were trained, by layer.
        base: SHA-256 of the weights that were adapted, by layer; empty in folders of before it was kept.
    """

    factors: dict[str, tuple[Tensor, Tensor]]
    scaling: float
    amax: dict[str, Tensor]
    recipe: Recipe
    digests: dict[str, str]
    base: dict[str, str]


def read(directory: Path) -> Adapter:
    """Read what `write` wrote.

    Raises:
        UsageError: a file is missing or not what it should be.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(directory / "adapter_model.safetensors")
        quantizers = directory / "quantizers.safetensors"
        amax = load_file(quantizers) if quantizers.exists() else {}
        recipe = Recipe.model_validate(json.loads((directory / "recipe.json").read_text()))
        config = json.loads((directory / "adapter_config.json").read_text())
        digests = json.loads((directory / "digests.json").read_text())
        kept = directory / "base.json"
        base = json.loads(kept.read_text()) if kept.exists() else {}
        names = sorted({name.removeprefix(_PREFIX).rpartition(".lora_")[0] for name in weights})
        factors = {
            name: (weights[f"{_PREFIX}{name}.lora_A.weight"], weights[f"{_PREFIX}{name}.lora_B.weight"])
            for name in names
        }
        return Adapter(
            factors, float(config["lora_alpha"]) / float(config["r"]), amax, recipe, dict(digests), dict(base)
        )
    except FileNotFoundError as error:
        name = error.filename or str(error).partition(":")[0]
        raise UsageError(
            f"{directory}: {name} is missing; give the adapter folder of a result of qat or sft"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UsageError(f"{directory}: is no adapter that qat or sft wrote ({str(error).splitlines()[0]})") from None

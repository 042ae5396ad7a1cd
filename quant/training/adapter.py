"""What training leaves beside the checkpoint: the adapter in peft's layout, with the quantisers' amax.

    adapter/adapter_config.json, adapter_model.safetensors     as peft reads and writes them
    adapter/quantizers.safetensors                             `NAME.weight_amax`, `NAME.input_amax`
    adapter/recipe.json                                        the recipe in force
    adapter/digests.json                                       SHA-256 of each quantised weight, by layer

With the base model that is all it takes to build the checkpoint again: `python -m quant merge`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from quant.errors import UsageError
from quant.recipe import Recipe
from quant.training.layers import TrainedLinear

FOLDER = "adapter"
_PREFIX = "base_model.model."


def write(
    directory: Path, config: Any, layers: dict[str, TrainedLinear], recipe: Recipe, digests: dict[str, str]
) -> None:
    """Write the folder's files into `directory`, which is made."""
    from safetensors.torch import save_file

    directory.mkdir()
    adapter: dict[str, Tensor] = {}
    amax: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.lora_a is not None and layer.lora_b is not None:
            adapter[f"{_PREFIX}{name}.lora_A.weight"] = layer.lora_a.detach().cpu().contiguous()
            adapter[f"{_PREFIX}{name}.lora_B.weight"] = layer.lora_b.detach().cpu().contiguous()
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


def read(directory: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Recipe, dict[str, str], float]:
    """Adapter tensors and amax by plain layer name, the recipe, the digests, and the scaling.

    Raises:
        UsageError: a file is missing or not what `write` writes.
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
        scaling = float(config["lora_alpha"]) / float(config["r"])
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: missing; give the adapter folder of a checkpoint that qat made") from None
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise UsageError(f"{directory}: is no adapter that qat wrote ({str(error).splitlines()[0]})") from None
    return {name.removeprefix(_PREFIX): tensor for name, tensor in weights.items()}, amax, recipe, digests, scaling

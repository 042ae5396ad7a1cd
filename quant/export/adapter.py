"""Reads and writes the adapter directory of a trained checkpoint: the adapter in peft's layout, and every amax.

    adapter/adapter_config.json, adapter_model.safetensors     as peft reads and writes them, BF16
    adapter/quantizers.safetensors                             `NAME.weight_amax`, `NAME.input_amax`
    adapter/recipe.json                                        the recipe, with all settings applied
    adapter/digests.json                                       SHA-256 of each served weight, by layer
    adapter/base.json                                          SHA-256 of each base weight, by layer

From this and the base model, `python -m quant merge` rebuilds the checkpoint. `ptq --keep` writes such a directory,
too, without an adapter: calibration only finds the amax.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from quant.errors import UsageError
from quant.export import verify
from quant.recipe import Recipe

FOLDER = "adapter"
WEIGHTS = "adapter_model.safetensors"

PREFIX = "base_model.model."


@dataclass(frozen=True)
class Calibrated:
    """The results of calibration: amax by `NAME.weight_amax` and `NAME.input_amax`, and digests of the base model."""

    amax: dict[str, Tensor]
    base: dict[str, str]

    @classmethod
    def of(cls, model: Any) -> Calibrated:
        """Collect them from a quantised model. Call it before the export, which packs the weights in place."""
        from quant.quantize.modelopt_backend import global_scale_amax

        amax: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, module in model.named_modules():
            for which in ("weight", "input"):
                quantizer: Any = getattr(module, f"{which}_quantizer", None)
                if getattr(quantizer, "is_enabled", False):
                    amax[f"{name}.{which}_amax"] = global_scale_amax(quantizer).float().cpu().reshape(1)
            if f"{name}.weight_amax" in amax:
                weights[name] = module.weight.detach()
        return cls(amax, verify.digests(weights.items()))

    def write(self, directory: Path, recipe: Recipe, digests: dict[str, str]) -> None:
        """Write the files into `directory`, which is created."""
        write_folder(directory, self.amax, recipe, digests, self.base)


def write_folder(
    directory: Path, amax: dict[str, Tensor], recipe: Recipe, digests: dict[str, str], base: dict[str, str]
) -> None:
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    if amax:
        save_file(amax, directory / "quantizers.safetensors")
    (directory / "recipe.json").write_text(json.dumps(recipe.model_dump(), indent=1) + "\n")
    (directory / "digests.json").write_text(json.dumps(digests, indent=0) + "\n")
    if base:
        (directory / "base.json").write_text(json.dumps(base, indent=0) + "\n")


@dataclass(frozen=True)
class Adapter:
    """The content of an adapter directory.

    Attributes:
        factors: `(A, B)` by layer, `(rank, in)` and `(out, rank)`.
        scaling: factor of the product B A.
        amax: by `NAME.weight_amax` and `NAME.input_amax`, one element each.
        digests: SHA-256 of the weights that are served, by layer: quantised, or merged in BF16.
        base: SHA-256 of the base model's weights, by layer; empty for directories of older versions.
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
        UsageError: a file is missing or invalid.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        recipe = Recipe.model_validate(json.loads((directory / "recipe.json").read_text()))
        weights, scaling = {}, 0.0
        if recipe.training is not None:
            weights = load_file(directory / WEIGHTS)
            config = json.loads((directory / "adapter_config.json").read_text())
            scaling = float(config["lora_alpha"]) / float(config["r"])
        quantizers = directory / "quantizers.safetensors"
        amax = load_file(quantizers) if quantizers.exists() else {}
        digests = json.loads((directory / "digests.json").read_text())
        kept = directory / "base.json"
        base = json.loads(kept.read_text()) if kept.exists() else {}
        names = sorted({name.removeprefix(PREFIX).rpartition(".lora_")[0] for name in weights})
        factors = {
            name: (weights[f"{PREFIX}{name}.lora_A.weight"], weights[f"{PREFIX}{name}.lora_B.weight"])
            for name in names
        }
        return Adapter(factors, scaling, amax, recipe, dict(digests), dict(base))
    except FileNotFoundError as error:
        name = error.filename or WEIGHTS  # safetensors names no file
        raise UsageError(
            f"{directory}: {name} is missing; give an adapter directory written by qat, sft or ptq"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise UsageError(
            f"{directory}: is not an adapter directory written by qat, sft or ptq ({str(error).splitlines()[0]})"
        ) from None

"""Converts a recipe to ModelOpt's configuration."""

from __future__ import annotations

from typing import Any

from quant.formats import fp8
from quant.quantize.modelopt_backend import register_backend
from quant.recipe import Recipe

_NVFP4 = {"num_bits": (2, 1), "block_sizes": {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}}

#: The amax of an activation for which its global scale is 1: 6 * 448.
CONSTANT_AMAX = 2688.0


def _fp8(backend: str) -> dict[str, Any]:
    fp8.register_backends()
    return {"num_bits": (4, 3), "axis": None, "backend": backend}


def _entries(pattern: str, fmt: str, nvfp4: dict[str, Any], activations: str) -> list[dict[str, Any]]:
    weight = {"nvfp4": nvfp4, "nvfp4-w4a16": nvfp4, "fp8": _fp8(fp8.WEIGHT_BACKEND), "bf16": None}[fmt]
    constant = {"constant_amax": CONSTANT_AMAX} if activations == "constant" else {}
    inputs = {"nvfp4": {**nvfp4, **constant}, "nvfp4-w4a16": None, "fp8": _fp8(fp8.INPUT_BACKEND), "bf16": None}[fmt]
    entries: list[dict[str, Any]] = []
    for name, cfg in ((f"*{pattern}.weight_quantizer", weight), (f"*{pattern}.input_quantizer", inputs)):
        entries.append({"quantizer_name": name, **({"cfg": cfg} if cfg else {"enable": False})})
    return entries


def modelopt_config(recipe: Recipe) -> dict[str, Any]:
    """The `config` of `mtq.quantize`: the recipe's layer map in its order; all other layers are not quantised.

    Every quantiser uses the project's backend, also on a GPU. ModelOpt's own forward pass for NVFP4 needs CUDA, and
    for both formats it rounds differently from its export, so that the served weights would differ from the computed
    ones.
    """
    nvfp4 = {**_NVFP4, "backend": register_backend()}
    config: list[dict[str, Any]] = [{"quantizer_name": "*", "enable": False}]
    for pattern, fmt in recipe.layers:
        config += _entries(pattern, fmt, nvfp4, recipe.activations)
    if recipe.kv_cache == "fp8":
        config.append({"quantizer_name": "*[kv]_bmm_quantizer", "cfg": _fp8(fp8.INPUT_BACKEND)})
    return {"quant_cfg": config, "algorithm": "nvfp4_act_headroom" if recipe.activations == "headroom" else "max"}

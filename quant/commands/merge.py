"""`python -m quant merge`: rebuilds a checkpoint from its base model and the adapter directory that training wrote.

The merge is computed in float64 and rounded once, so that all machines get the same result. The quantisers use the
stored amax, so no calibration is needed. The directory has digests of the original weights; layers that differ from
them are reported. A directory written by `ptq --keep` has no adapter: then only the base model is quantised.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quant import images
from quant.checkpoint import loading
from quant.checkpoint.atomic import check_free, check_outside
from quant.checkpoint.provenance import Provenance, describe_file
from quant.checkpoint.quiet import quiet
from quant.errors import UsageError
from quant.export import adapter
from quant.quantize.quantize import check_image


def run(arguments: argparse.Namespace) -> int:
    """Merge, quantise, export and check; returns 1 if preflight refuses the result."""
    from quant.export import verify
    from quant.export.finish import finish, finish_bf16

    loading.check_source(arguments.model)
    check_outside(arguments.out, arguments.model)
    check_free(arguments.out)
    held = adapter.read(arguments.adapter)
    image = images.find(arguments.image or held.recipe.image) if held.recipe.quantizes else None
    if image is not None:
        check_image(held.recipe, image)
    provenance = Provenance("merge")
    provenance.record = {
        "recipe": held.recipe.model_dump(),
        "data": {str(path): describe_file(path) for path in sorted(arguments.adapter.iterdir()) if path.is_file()},
        "source": {"path": str(arguments.model)},
    }
    with provenance.phase("load", loading.size_of(arguments.model)):
        model = loading.load_model(arguments.model, "cpu")
    scales = searched_on(model, held)
    with provenance.phase("merge", f"{len(held.factors)} layers"):
        merge(model, held, arguments.adapter)
    if image is None:
        same = _compared(changed_layers(_weights(model, held.digests), held), held, provenance)
        finish_bf16(model, arguments.model, arguments.out, provenance)
        print(f"{arguments.out}: BF16, {len(held.factors)} layers merged{same}")
        return 0
    with provenance.phase("quantize", f"{held.recipe.name}, with the scales that were kept"):
        restore_quantizers(model, held, arguments.adapter, scales)
    same = _compared(changed_layers(verify.computed_digests(model), held), held, provenance)
    count = finish(model, arguments.model, arguments.out, image, provenance)
    print(f"{arguments.out}: {held.recipe.name} for {image.name}, {count} quantised layers{same}")
    return 0


def _compared(changed: list[str], held: adapter.Adapter, provenance: Provenance) -> str:
    """Record whether the weights equal the original ones; returns the text for the report."""
    provenance.record["made_first"] = {"layers": len(held.digests), "changed": changed}
    if not held.digests:
        return ""
    if not changed:
        return ", all equal to the original ones, bit for bit"
    return f", {len(changed)} of {len(held.digests)} differ from the original ones, such as {changed[0]}"


def _weights(model: Any, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the weights of these layers, by name; layers that the model does not have are left out."""
    from quant.export.verify import digests

    modules = dict(model.named_modules())
    weights = {name: getattr(modules.get(name), "weight", None) for name in names}
    return digests((name, weight.detach()) for name, weight in weights.items() if weight is not None)


def merge(model: Any, held: adapter.Adapter, where: Path) -> None:
    """Add the adapter to the model's weights, in float64, rounded once. Raises UsageError if it does not fit."""
    import torch

    from quant.training.layers import merged_weight

    modules = dict(model.named_modules())
    weights = _weights(model, held.base)
    other = [name for name in held.base if weights.get(name) != held.base[name]]
    with torch.no_grad():
        for name, (a, b) in held.factors.items():
            weight = getattr(modules.get(name), "weight", None)
            if weight is None or tuple(weight.shape) != (b.shape[0], a.shape[1]):
                found = "no such layer" if weight is None else f"a layer of {tuple(weight.shape)}"
                raise UsageError(f"{where}: is for {name} of {(b.shape[0], a.shape[1])}; the model has {found}")
            weight.copy_(merged_weight(weight, a, b, held.scaling))
    if other:
        raise UsageError(
            f"{where}: was made from another base: {len(other)} of {len(held.base)} layers of --model have other "
            f"weights, first {other[0]}; give the checkpoint that it was made from"
        )


def searched_on(model: Any, held: adapter.Adapter) -> dict[str, Any]:
    """Block scales by layer, searched on the base model's weights; empty if the recipe does not search.

    Call it before the adapter is merged: training does not change these scales.
    """
    from quant.formats import nvfp4
    from quant.formats.nvfp4_search import search_scales

    found = {}
    for name, module in model.named_modules():
        amax = held.amax.get(f"{name}.weight_amax")
        if held.recipe.search is not None and amax is not None and held.recipe.format_of(name).startswith("nvfp4"):
            found[name] = search_scales(module.weight, nvfp4.global_scale(amax), held.recipe.search)
    return found


def restore_quantizers(model: Any, held: adapter.Adapter, where: Path, scales: Mapping[str, Any]) -> None:
    """Quantise by the recipe without calibration, with the amax and the block `scales` that were used in training."""
    import modelopt.torch.quantization as mtq

    from quant.quantize.modelopt_backend import set_searched
    from quant.quantize.modelopt_config import modelopt_config

    with quiet():
        mtq.quantize(model, {**modelopt_config(held.recipe), "algorithm": None}, None)
    wanted = set(held.amax)
    for name, module in model.named_modules():
        for which in ("weight", "input"):
            quantizer: Any = getattr(module, f"{which}_quantizer", None)
            if not getattr(quantizer, "is_enabled", False):
                continue
            amax = held.amax.get(f"{name}.{which}_amax")
            if amax is None:
                raise UsageError(
                    f"{where}/quantizers.safetensors: has no {name}.{which}_amax; give the complete directory"
                )
            if which == "weight" and name in scales:
                set_searched(quantizer, scales[name], amax)
            else:
                quantizer.amax = amax.reshape(())
            wanted.discard(f"{name}.{which}_amax")
    if wanted:
        raise UsageError(
            f"{where}/quantizers.safetensors: {min(wanted)} fits no layer of this model; give the base "
            "model that it was made from"
        )


def changed_layers(weights: Mapping[str, str], held: adapter.Adapter) -> list[str]:
    """Layers whose weight differs from the original one in at least one bit."""
    return sorted(name for name in held.digests if weights.get(name) != held.digests[name])

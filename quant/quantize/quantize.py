"""Quantises a model by a recipe: checks recipe, model and image, calibrates, gives fused layers a common amax."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from quant.checkpoint import loading
from quant.checkpoint.quiet import quiet
from quant.errors import UsageError
from quant.formats.fused import fused_groups, tie_fused_amax
from quant.images import Image
from quant.quantize import calibration
from quant.quantize.search import search_weights
from quant.recipe import Recipe


def check_layers(model: Any, chosen: Recipe) -> None:
    """Raise UsageError if the recipe's layers do not suit the model: no match, or only a part of a fused layer."""
    from torch import nn

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and "lora_" not in name]
    formats = {name.removesuffix(".base_layer"): chosen.format_of(name.removesuffix(".base_layer")) for name in linear}
    where = f"recipe {chosen.name}: layers:"
    if set(formats.values()) <= {"bf16"} and any(rule[1] != "bf16" for rule in chosen.layers):
        raise UsageError(f"{where} no pattern matches a linear layer of this model; fix them (such as *.mlp.*)")
    check_experts(model, chosen)
    for members in fused_groups(formats).values():
        if len({formats[member] for member in members}) > 1:
            listed = ", ".join(f"{member.rpartition('.')[2]} {formats[member]}" for member in members)
            raise UsageError(f"{where} servers fuse these into one, so they need one format: {listed}")
    if formats.get("lm_head", "bf16") != "bf16" and getattr(model.config, "tie_word_embeddings", False):
        raise UsageError(f'{where} lm_head is tied to the embedding in this model; add ["*lm_head*", "bf16"]')


def check_experts(model: Any, chosen: Recipe) -> None:
    """Raise UsageError if the recipe would quantise experts that no quantiser can reach.

    transformers 5 keeps the experts of a layer in one three-dimensional parameter, but quantisers wrap linear layers:
    the experts, nearly all of the model, would stay in BF16.
    """
    from torch import nn

    for name, module in model.named_modules():
        stacked = [key for key, weight in module.named_parameters(recurse=False) if weight.dim() == 3]
        if not stacked or isinstance(module, nn.modules.conv._ConvNd) or "visual" in name:
            continue
        fmt = chosen.format_of(f"{name}.{stacked[0]}")
        if fmt != "bf16":
            experts = int(getattr(module, stacked[0]).shape[0])
            raise UsageError(
                f"recipe {chosen.name}: layers: {name} holds {experts} experts in one tensor, {stacked[0]}, which "
                f'cannot be quantised to {fmt} here; leave the experts in BF16 with ["*{name.rpartition(".")[2]}*", '
                '"bf16"], or take a tool that quantises them (llm-compressor)'
            )


def check_reached(model: Any) -> None:
    """Raise UsageError if calibration never reached a layer, such as an expert that got no token."""
    missed = [
        name
        for name, module in model.named_modules()
        if getattr(quantizer := getattr(module, "input_quantizer", None), "is_enabled", False)
        and getattr(quantizer, "amax", None) is None
        and not getattr(quantizer, "_dynamic", False)
    ]
    if missed:
        what = "experts" if any("expert" in name for name in missed) else "layers"
        raise UsageError(
            f"calibration never reached {len(missed)} {what}, first {missed[0]}: their input scales are unknown; "
            "calibrate on more or other samples (calibration.samples)"
        )


def without_head(model: Any) -> Any:
    """The part of a model that calibration runs: without an unquantised lm_head, which is a fifth of a small model."""
    head = model.get_output_embeddings()
    kinds = ("input_quantizer", "weight_quantizer", "output_quantizer")
    quantised = any(getattr(getattr(head, kind, None), "is_enabled", False) for kind in kinds)
    body = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    return model if head is None or body is None or quantised else body


def quantize(model: Any, chosen: Recipe, sequences: list[list[int]], pad: int) -> Any:
    """Calibrate `model` on token sequences and quantise it in place; fused groups share their amax. Returns the model.

    If the model has peft layers, one quantiser is put around weight and adapter together.
    """
    import modelopt.torch.quantization as mtq
    import torch

    from quant.quantize import hessian
    from quant.quantize.awq import quantize_awq_lite
    from quant.quantize.modelopt_config import modelopt_config

    device = str(loading.device_of(model))
    # AWQ needs means over all tokens. Headroom needs percentiles over all of them, in which padding must not count.
    percentiles = chosen.activations == "headroom"
    plain = chosen.algorithm != "awq_lite" and not percentiles

    @torch.inference_mode()
    def forward(calibrated: Any, each_alone: bool = percentiles) -> None:
        batch_size = 1 if each_alone else chosen.calibration.batch_size
        share = plain and not each_alone
        calibration.run_through(without_head(calibrated), sequences, batch_size, pad, device, share=share)

    check_layers(model, chosen)
    config = modelopt_config(chosen)
    for inside in ("*lora*", "*base_layer*"):
        config["quant_cfg"].append({"quantizer_name": inside, "enable": False})
    with quiet():
        if chosen.algorithm == "awq_lite":
            model = quantize_awq_lite(model, config, forward)
        else:
            model = mtq.quantize(model, config, forward)
    check_reached(model)
    tie_fused_amax(model)
    if chosen.search is not None:
        search_weights(model, chosen.search)
    elif chosen.algorithm in {"local_hessian", "gptq"}:
        find = hessian.gptq if chosen.algorithm == "gptq" else hessian.local_hessian
        find(model, functools.partial(forward, each_alone=True))
    return model


def import_modelopt() -> None:
    """Import what `quantize` and the export need, which takes seconds."""
    for name in ("modelopt.torch.quantization", "modelopt.torch.export", "peft"):
        importlib.import_module(name)


def check_image(chosen: Recipe, image: Image) -> None:
    """Raise UsageError if `image` cannot load what the recipe makes; called before anything slow starts."""
    formats = {fmt for _, fmt in chosen.layers} - {"bf16"}
    names = {"nvfp4": "NVFP4", "nvfp4-w4a16": "W4A16_NVFP4", "fp8": "FP8"}
    wanted = ["MIXED_PRECISION"] if len(formats) > 1 else [names[fmt] for fmt in formats]
    for algorithm in wanted:
        if algorithm not in image.release.algorithms:
            raise UsageError(
                f"recipe {chosen.name}: {image.name} does not load {algorithm}; "
                f"it loads {', '.join(image.release.algorithms)}: take another recipe or --for a newer image"
            )
    if len(formats) > 1 and (unknown := {names[fmt] for fmt in formats} - set(image.release.mixed)):
        raise UsageError(f"recipe {chosen.name}: {image.name} does not load {min(unknown)} inside MIXED_PRECISION")

"""`python -m quant ptq`: calibrates, quantises and exports a checkpoint, and checks the exported weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from quant import images, recipe
from quant.checkpoint import loading
from quant.checkpoint.atomic import atomic_directory, check_free, check_outside
from quant.checkpoint.provenance import Provenance, describe_data
from quant.errors import UsageError
from quant.quantize import calibration
from quant.quantize.quantize import check_image, import_modelopt, quantize
from quant.quantize.search import weight_error
from quant.recipe import Recipe

ACTIVATIONS = 3 * 10**9
"""Bytes of GPU memory that calibration needs besides the weights, at the recipes' batch sizes."""


def run(arguments: argparse.Namespace) -> int:
    """Make a quantised checkpoint; returns 1 if the export differs from the model or preflight refuses it."""
    chosen = recipe.load(arguments.recipe, arguments.settings)
    if arguments.kv_cache:
        chosen = chosen.model_copy(update={"kv_cache": arguments.kv_cache})
    if chosen.training is not None:
        raise UsageError(f"recipe {chosen.name}: has a training part; run it with `annie-quant qat`")
    image = images.find(arguments.image or chosen.image)
    check_image(chosen, image)
    loading.check_source(arguments.model)
    check_outside(arguments.out, arguments.model)
    check_free(arguments.out)
    if arguments.keep is not None:
        check_outside(arguments.keep, arguments.model, "--keep")
        check_outside(arguments.keep, arguments.out, "--keep")
        check_outside(arguments.out, arguments.keep)
        check_free(arguments.keep)
        if chosen.algorithm not in recipe.REPEATABLE or chosen.kv_cache != "none":
            # Others depend on the calibration data, and a KV cache has its own scales.
            raise UsageError(
                f"--keep {arguments.keep}: {chosen.name} cannot be rebuilt from amax alone; leave --keep out"
            )
    samples = calibration.read_samples(arguments.calib, chosen.calibration.samples, arguments.shape)
    provenance = Provenance("ptq")
    provenance.record = {
        "recipe": chosen.model_dump(),
        "data": {str(arguments.calib): describe_data(arguments.calib)},
        "image": image.name,
    }
    device = loading.default_device()
    offloaded = _offloads(arguments, chosen, device)
    with provenance.phase("load", f"{len(samples)} samples, and {loading.size_of(arguments.model)}"):
        tokenizer = loading.load_tokenizer(arguments.model)
        limits = chosen.calibration
        sequences = calibration.tokenize(tokenizer, samples, arguments.calib, limits.max_length, limits.samples)
        lacking = calibration.warnings(samples, sequences, tokenizer.chat_template, limits)
        if offloaded:
            model = loading.load_offloaded(arguments.model, device)
        else:
            model = loading.load_model(arguments.model, device, import_modelopt)
    for line in lacking:
        print(f"warning: {arguments.calib}: {line}", file=sys.stderr, flush=True)
    provenance.record |= {"source": {"path": str(arguments.model)}, "device": device, "offloaded": offloaded}
    from quant.training import delta_net

    with delta_net.used(model, device):
        make(model, chosen, sequences, tokenizer, arguments.model, arguments.out, image, provenance, arguments.keep)
    return 0


def _offloads(arguments: argparse.Namespace, chosen: Recipe, device: str) -> bool:
    """Whether the weights stay in their files because the GPU is too small. Raises UsageError if that is not possible.

    Besides the weights, the GPU needs memory for the activations of a batch and for the layer that is being packed.
    """
    if device == "cpu":
        return False
    size, free = loading.weight_bytes(arguments.model), loading.free_bytes(device)
    if size + ACTIVATIONS <= free:
        return False
    message = f"{arguments.model}: {size / 1e9:.1f} GB of weights for {free / 1e9:.1f} GB of free GPU memory"
    if chosen.algorithm not in recipe.REPEATABLE or arguments.keep is not None:
        raise UsageError(f"{message}; they can stay in their files only with algorithm {recipe.TAKE}, without --keep")
    print(f"{message}: they are read from their files, each layer when it computes", flush=True)
    return True


def make(
    model: Any,
    chosen: Recipe,
    sequences: list[list[int]],
    tokenizer: Any,
    source: Path,
    out: Path,
    image: images.Image,
    provenance: Provenance,
    keep: Path | None = None,
) -> None:
    """Quantise, export to `out` and check; write to `keep` what `merge` needs to rebuild it.

    Raises NotServedAsMade and removes the output if a check fails.
    """
    from quant.export.adapter import Calibrated
    from quant.export.finish import finish
    from quant.quantize import quality

    tokens = sum(map(len, sequences))
    with provenance.phase("reference", f"{tokens:,} tokens through the model as it is"):
        reference = quality.logits(model, sequences)
        outputs = quality.layer_outputs(model, sequences[:2])
    with provenance.phase("quantize", f"{chosen.name}, calibrated on these tokens"):
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        model = quantize(model, chosen, sequences, pad)
    rate = tokens / max(provenance.seconds["quantize"], 1e-9)  # quantising the weights is included
    provenance.record["calibration"] = {"tokens": tokens, "tokens_per_second": round(rate, 1)}
    with provenance.phase("compare", "the same tokens through the quantised model"):
        after = quality.agreement(reference, quality.logits(model, sequences))
        errors = quality.layer_errors(outputs, quality.layer_outputs(model, sequences[:2]))
        provenance.record["quality"] = {"after": after.as_dict(), "block_errors": errors}
    moved = chosen.algorithm in {"awq_lite", "gptq"}  # the weights: there is nothing left to compare with
    weights = None if moved else weight_error(model, chosen.search)
    if weights is not None:
        provenance.record["quality"]["weight_error"] = weights.as_dict()
    kept = None if keep is None else Calibrated.of(model)

    def extra(_: Path, computed: dict[str, str]) -> None:
        if keep is not None and kept is not None:
            with atomic_directory(keep) as partial:
                kept.write(partial, chosen, computed)

    layers = finish(model, source, out, image, provenance, extra=extra)
    print(f"calibrated on {tokens:,} tokens, {rate:,.0f} tok/s")
    if weights is not None:
        print(f"weight error {weights.found:.2%} of the weights' norm; max scales have {weights.max:.2%}")
    print(
        f"{out}: {chosen.name} for {image.name}, {layers} layers equal the model's bit for bit; KL {after.kl:.4f} "
        f"nats/token, top-1 agreement {after.top1:.1%} over {after.positions} calibration tokens; "
        f"{sum(provenance.seconds.values()):.0f} s; {out}/serve.md has the commands"
    )
    print(f"KL is a distance, no verdict (`annie-eval docs quant`, What the KL says); annie-eval gate {out} judges")

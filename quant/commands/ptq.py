"""`python -m quant ptq`: calibrate, quantise, export, and prove that what was exported is what was computed."""

from __future__ import annotations

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quant import images, recipe
from quant.checkpoint import loading
from quant.checkpoint.atomic import atomic_directory, check_free, check_outside
from quant.checkpoint.provenance import Ledger, describe_file
from quant.errors import NotServedAsMade, UsageError
from quant.quantize import calibration
from quant.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m quant ptq`."""
    parser.add_argument("--model", type=Path, required=True, help="BF16 checkpoint directory")
    parser.add_argument("--recipe", required=True, help="name (`python -m quant recipes`) or path of a .toml file")
    parser.add_argument("--calib", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint directory to make")
    parser.add_argument("--for", dest="image", metavar="IMAGE", help="serving image (default: the recipe's)")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="leave amax and digests there, for `merge` to make the checkpoint again",
    )
    parser.add_argument("--kv-cache", choices=["none", "fp8"], help="KV cache format (default: the recipe's)")


def check_layers(model: Any, chosen: Recipe) -> None:
    """Raise UsageError where the recipe's layers do not suit the model: nothing matches, or half of a fused layer."""
    from torch import nn

    from quant.formats.fused import fused_groups

    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and "lora_" not in name]
    formats = {name.removesuffix(".base_layer"): chosen.format_of(name.removesuffix(".base_layer")) for name in linear}
    where = f"recipe {chosen.name}: layers:"
    if set(formats.values()) <= {"bf16"} and any(rule[1] != "bf16" for rule in chosen.layers):
        raise UsageError(f"{where} no pattern matches a linear layer of this model; mend them (such as *.mlp.*)")
    for members in fused_groups(formats).values():
        if len({formats[member] for member in members}) > 1:
            said = ", ".join(f"{member.rpartition('.')[2]} {formats[member]}" for member in members)
            raise UsageError(f"{where} servers fuse these into one, so they need one format: {said}")
    if formats.get("lm_head", "bf16") != "bf16" and getattr(model.config, "tie_word_embeddings", False):
        raise UsageError(f'{where} lm_head is tied to the embedding in this model; add ["*lm_head*", "bf16"]')


def without_head(model: Any) -> Any:
    """The part of a model that calibration runs: all but an lm_head without quantisers, a fifth of a small model."""
    head = model.get_output_embeddings()
    kinds = ("input_quantizer", "weight_quantizer", "output_quantizer")
    quantised = any(getattr(getattr(head, kind, None), "is_enabled", False) for kind in kinds)
    body = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    return model if head is None or body is None or quantised else body


def quantize(model: Any, chosen: Recipe, sequences: list[list[int]], pad: int) -> Any:
    """Calibrate `model` on token sequences and quantise it in place, fused groups tied. Returns the model.

    A model that peft has been at gets its quantisers around weight and adapter together, none inside.
    """
    import modelopt.torch.quantization as mtq
    import torch

    from quant.formats.fused import tie_fused_amax
    from quant.quantize.awq import quantize_awq_lite
    from quant.quantize.modelopt_config import modelopt_config

    device = str(model.device)
    plain = chosen.algorithm == "max"  # AWQ weighs means over all tokens

    @torch.inference_mode()
    def forward(calibrated: Any) -> None:
        body = without_head(calibrated)
        calibration.run_through(body, sequences, chosen.calibration.batch_size, pad, device, share=plain)

    check_layers(model, chosen)
    config = modelopt_config(chosen)
    for inside in ("*lora*", "*base_layer*"):
        config["quant_cfg"].append({"quantizer_name": inside, "enable": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if chosen.algorithm == "awq_lite":
            model = quantize_awq_lite(model, config, forward)
        else:
            model = mtq.quantize(model, config, forward)
    tie_fused_amax(model)
    return model


def check_image(chosen: Recipe, image: images.Image) -> None:
    """Raise UsageError where `image` cannot load what the recipe makes, before anything slow starts."""
    formats = {fmt for _, fmt in chosen.layers} - {"bf16"}
    names = {"nvfp4": "NVFP4", "nvfp4-w4a16": "W4A16_NVFP4", "fp8": "FP8"}
    wanted = ["MIXED_PRECISION"] if len(formats) > 1 else [names[fmt] for fmt in formats]
    for algorithm in wanted:
        if algorithm not in image.algorithms:
            raise UsageError(
                f"recipe {chosen.name}: {image.name} does not load {algorithm}; "
                f"it loads {', '.join(image.algorithms)}: take another recipe or --for a newer image"
            )
    if len(formats) > 1 and (unknown := {names[fmt] for fmt in formats} - set(image.mixed)):
        raise UsageError(f"recipe {chosen.name}: {image.name} does not load {min(unknown)} inside MIXED_PRECISION")


def run(arguments: argparse.Namespace) -> int:
    """Make a quantised checkpoint; status 1 when the export differs from the model or preflight refuses it."""
    chosen = recipe.load(arguments.recipe)
    if arguments.kv_cache:
        chosen = chosen.model_copy(update={"kv_cache": arguments.kv_cache})
    if chosen.training is not None:
        raise UsageError(f"recipe {chosen.name}: has a training part; run it with `python -m quant qat`")
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
        if chosen.algorithm != "max" or chosen.kv_cache != "none":
            # AWQ moves weights, and a KV cache has scales of its own.
            raise UsageError(
                f"--keep {arguments.keep}: {chosen.name} cannot be made again from amax alone; leave it out"
            )
    samples = calibration.read_samples(arguments.calib, chosen.calibration.samples)
    ledger = Ledger("ptq")
    ledger.record = {
        "recipe": chosen.model_dump(),
        "data": {str(arguments.calib): describe_file(arguments.calib)},
        "image": image.name,
    }
    with ledger.phase("load"):
        tokenizer = loading.load_tokenizer(arguments.model)
        limits = chosen.calibration
        sequences = calibration.tokenize(tokenizer, samples, arguments.calib, limits.max_length, limits.samples)
        device = loading.default_device()
        model = loading.load_model(arguments.model, device)
    ledger.record |= {"source": {"path": str(arguments.model)}, "device": device}
    make(model, chosen, sequences, tokenizer, arguments.model, arguments.out, image, ledger, arguments.keep)
    return 0


def make(
    model: Any,
    chosen: Recipe,
    sequences: list[list[int]],
    tokenizer: Any,
    source: Path,
    out: Path,
    image: images.Image,
    ledger: Ledger,
    keep: Path | None = None,
) -> None:
    """Quantise, export to `out` and check; leave in `keep` what `merge` needs to make it again.

    Raises NotServedAsMade, and leaves nothing, where a check fails.
    """
    from quant.commands.diff import layer_errors, layer_outputs
    from quant.quantize import quality
    from quant.training import adapter

    with ledger.phase("reference"):
        reference = quality.logits(model, sequences)
        outputs = layer_outputs(model, sequences[:2])
    with ledger.phase("quantize"):
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0
        model = quantize(model, chosen, sequences, pad)
    with ledger.phase("compare"):
        after = quality.compare(reference, quality.logits(model, sequences))
        errors = layer_errors(outputs, layer_outputs(model, sequences[:2]))
        ledger.record["quality"] = {"after": after.as_dict(), "block_errors": errors}
    kept = None if keep is None else adapter.Calibrated.of(model)

    def extra(_: Path, computed: dict[str, str]) -> None:
        if keep is not None and kept is not None:
            with atomic_directory(keep) as partial:
                kept.write(partial, chosen, computed)

    layers = finish(model, source, out, image, ledger, extra=extra)
    print(
        f"{out}: {chosen.name} for {image.name}, {layers} layers equal the model's bit for bit; KL {after.kl:.4f} "
        f"nats/token, top-1 agreement {after.top1:.1%} over {after.positions} calibration tokens; "
        f"{sum(ledger.seconds.values()):.0f} s; {out}/serve.md has the commands"
    )


def finish(
    model: Any,
    source: Path,
    out: Path,
    image: images.Image,
    ledger: Ledger,
    *,
    trained: dict[str, str] | None = None,
    extra: Callable[[Path, dict[str, str]], None] | None = None,
) -> int:
    """Export a quantised model for `image`, check it bit for bit and with preflight, write the ledger, make it `out`.

    Args:
        trained: digests of the weights that training multiplied by; the model's must be these.
        extra: writes more files into the checkpoint, given the digests of the weights that the model multiplies by.

    Returns the number of layers compared. Raises NotServedAsMade, and leaves nothing, where a check fails.
    """
    from quant.commands.diff import plot
    from quant.export import verify as served
    from quant.export.export import export_model, retarget
    from quant.preflight.check import preflight

    with ledger.phase("digest"):
        computed = served.computed_digests(model)
    if not computed:
        raise UsageError("the recipe's layers match no linear layer of this model; mend its patterns")
    if trained is not None and (changed := [name for name in computed if computed[name] != trained.get(name)]):
        raise NotServedAsMade(
            f"{len(changed)} layers of the merged model are not those that were trained, first {changed[0]}"
        )
    dtype = model.dtype
    with atomic_directory(out) as partial:
        with ledger.phase("export"), contextlib.redirect_stdout(io.StringIO()):
            export_model(model, source, partial)
            retarget(partial, image)
        with ledger.phase("verify"):
            layers = served.assert_served_as_made(computed, partial, dtype)
            ledger.record["bit_check"] = {"layers": layers, "equal": True}
        with ledger.phase("preflight"):
            findings = preflight(partial, image=image, reference=source, being_built=True)
        if findings:
            raise NotServedAsMade(f"preflight refuses the export: {findings[0]}; nothing was kept")
        if errors := ledger.record.get("quality", {}).get("block_errors"):
            plot(errors, partial / "block_errors.png", f"{out.name}: error of each block after quantisation")
        if extra is not None:
            extra(partial, computed)
        ledger.write(partial)
    return layers

"""`python -m quant sensitivity`: measures KL when only one group of layers is quantised, and proposes a mixed recipe.

Groups are attention, DeltaNet and MLP of every decoder layer. Weights and activations of one group at a time go to
the wanted format, everything else stays BF16. The proposed recipe starts with FP8
everywhere and moves groups to NVFP4, those with the least added KL per saved byte first, until the mean number of bits
per weight is within the budget. This assumes that the effects add up, as in HAWQ (arXiv 1911.03852); measure the
result with `diff`.
"""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from pathlib import Path
from typing import Any

from quant import recipe
from quant.checkpoint import loading
from quant.checkpoint.atomic import atomic_directory, check_free, check_outside
from quant.checkpoint.provenance import Provenance, describe_data
from quant.errors import UsageError
from quant.quantize import calibration

_BITS = {"nvfp4": 4.5, "fp8": 8.0}
_KINDS = ("self_attn", "linear_attn", "mlp")


def groups(model: Any) -> dict[str, int]:
    """Layer groups of the language model and the number of linear weights in each."""
    from torch import nn

    found: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "visual" not in name and not name.endswith(("in_proj_a", "in_proj_b")):
            parent = name.rpartition(".")[0]
            if parent.endswith(_KINDS):
                found[parent] = found.get(parent, 0) + module.weight.numel()
    return found


def measure(model: Any, sequences: list[list[int]], pad: int) -> dict[str, dict[str, float]]:
    """KL of each group in each format: `{group: {"nvfp4": nats/token, "fp8": …}}`. Quantisers are left disabled."""
    import modelopt.torch.quantization as mtq
    import torch

    from quant.quantize import quality
    from quant.quantize.modelopt_config import modelopt_config
    from quant.quantize.progress import ProgressBar
    from quant.recipe import Recipe

    names = list(groups(model))
    reference = quality.logits(model, sequences)
    found: dict[str, dict[str, float]] = {name: {} for name in names}

    @torch.inference_mode()
    def forward(calibrated: Any) -> None:
        for batch in calibration.batches(sequences, 8, pad):
            calibrated(**{key: value.to(calibrated.device) for key, value in batch.items()}, use_cache=False)

    with ProgressBar("sensitivity", 2 * len(names), "groups") as progress:
        for fmt in _BITS:
            layers = [["*", "bf16"], *([f"{name}.*", fmt] for name in names)]
            layers += [["*.in_proj_a", "bf16"], ["*.in_proj_b", "bf16"], ["*.conv1d*", "bf16"]]
            chosen = Recipe(name=fmt, summary=fmt, layers=layers)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = mtq.quantize(model, modelopt_config(chosen), forward)
            quantizers = {
                name: [
                    quantizer
                    for module_name, module in model.named_modules()
                    if module_name.startswith(f"{name}.")
                    for kind in ("weight_quantizer", "input_quantizer")
                    if (quantizer := getattr(module, kind, None)) is not None and quantizer.is_enabled
                ]
                for name in names
            }
            for members in quantizers.values():
                for quantizer in members:
                    quantizer.disable()
            for name, members in quantizers.items():
                for quantizer in members:
                    quantizer.enable()
                found[name][fmt] = quality.agreement(reference, quality.logits(model, sequences)).kl
                for quantizer in members:
                    quantizer.disable()
                progress.add(1)
    return found


def propose(sensitivities: dict[str, dict[str, float]], sizes: dict[str, int], bits: float) -> dict[str, str]:
    """A format for every group, with at most `bits` bits per weight on average; least added KL per bit first."""
    chosen = dict.fromkeys(sensitivities, "fp8")
    total = sum(sizes.values())

    def price(name: str) -> float:
        return (sensitivities[name]["nvfp4"] - sensitivities[name]["fp8"]) / sizes[name]

    for name in sorted(sensitivities, key=price):
        if sum(_BITS[chosen[n]] * sizes[n] for n in sizes) <= bits * total:
            break
        chosen[name] = "nvfp4"
    return chosen


def recipe_text(chosen: dict[str, str], bits: float, model: Path, predicted: float) -> str:
    """The proposed recipe as a file."""
    lines = "".join(f'  ["{name}.*", "{fmt}"],\n' for name, fmt in chosen.items())
    return (
        f"# annie-quant ptq --model {model} --recipe FILE.toml --calib FILE.jsonl --out DIR\n#\n"
        f"# Proposed by `annie-quant sensitivity` for {bits} bits per weight. The sum of the groups' KL is\n"
        f"# {predicted:.4f} nats per token. Measure the recipe with `annie-quant diff`.\n\n"
        f'name = "sensitivity-{bits:g}"\nsummary = "mixed NVFP4 and FP8 at {bits:g} bits per weight"\n\n'
        f'layers = [\n{lines}  ["*.in_proj_a", "bf16"],\n  ["*.in_proj_b", "bf16"],\n  ["*.conv1d*", "bf16"],\n]\n'
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure every group, write table, plot and recipe."""
    if not _BITS["nvfp4"] <= arguments.bits <= _BITS["fp8"]:
        raise UsageError(f"--bits {arguments.bits}: give a budget from 4.5 (all NVFP4) to 8 (all FP8)")
    loading.check_source(arguments.model)
    check_outside(arguments.out, arguments.model)
    check_free(arguments.out)
    samples = calibration.read_samples(arguments.calib, arguments.samples, arguments.shape)
    tokenizer = loading.load_tokenizer(arguments.model)
    sequences = calibration.tokenize(tokenizer, samples, arguments.calib, arguments.max_length, arguments.samples)
    provenance = Provenance("sensitivity", {"data": {str(arguments.calib): describe_data(arguments.calib)}})
    model = loading.load_model(arguments.model, loading.default_device())
    sizes = groups(model)
    if not sizes:
        raise UsageError(f"{arguments.model}: has no attention, DeltaNet or MLP groups")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    with provenance.phase("measure", f"{len(sizes)} groups in two formats"):
        found = measure(model, sequences, pad)
    chosen = propose(found, sizes, arguments.bits)
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["group", "weights", "kl_nvfp4", "kl_fp8", "proposed"])
    for name, kl in found.items():
        writer.writerow([name, sizes[name], f"{kl['nvfp4']:.6f}", f"{kl['fp8']:.6f}", chosen[name]])
    predicted = sum(found[name][fmt] for name, fmt in chosen.items())
    with atomic_directory(arguments.out) as partial:
        (partial / "sensitivity.csv").write_text(table.getvalue())
        (partial / f"sensitivity-{arguments.bits:g}.toml").write_text(
            recipe_text(chosen, arguments.bits, arguments.model, predicted)
        )
        _plot(found, partial / "sensitivity.png")
        provenance.write(partial)
    recipe.load(str(arguments.out / f"sensitivity-{arguments.bits:g}.toml"))
    for name, kl in sorted(found.items(), key=lambda item: -item[1]["nvfp4"])[:12]:
        print(f"{name:40}  NVFP4 {kl['nvfp4']:.5f}  FP8 {kl['fp8']:.5f}  -> {chosen[name]}")
    print(f"{arguments.out}: sensitivity.csv, sensitivity.png, sensitivity-{arguments.bits:g}.toml")
    return 0


def _plot(found: dict[str, dict[str, float]], path: Path) -> None:
    from quant.quantize.plots import pyplot

    drawer = pyplot()
    if drawer is None:
        return
    figure, axes = drawer.subplots(figsize=(8, max(2.5, 0.2 * len(found))))
    names = list(found)
    axes.barh(names, [found[name]["nvfp4"] for name in names], color="#b5483a", label="NVFP4")
    axes.barh(names, [found[name]["fp8"] for name in names], color="#3b6ea5", label="FP8")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("KL to BF16 with only this group quantised, nats/token")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    drawer.close(figure)

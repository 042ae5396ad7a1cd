"""`python -m quant diff`: a checkpoint against its reference: KL, top-1 agreement, and the error of each block."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from quant.checkpoint import loading
from quant.checkpoint.atomic import INCOMPLETE
from quant.quantize import calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m quant diff`."""
    parser.add_argument("reference", type=Path, metavar="REF", help="BF16 checkpoint")
    parser.add_argument("checkpoint", type=Path, metavar="DIR", help="the checkpoint made from it")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--samples", type=calibration.positive, default=32, help="samples compared (default: 32)")
    parser.add_argument("--max-length", type=calibration.positive, default=512, help="tokens a sample (default: 512)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def layer_outputs(model: Any, sequences: list[list[int]]) -> dict[str, Any]:
    """Output of every attention, DeltaNet and MLP block over the sequences, by module name, float32 on the CPU."""
    import torch

    found: dict[str, list[Any]] = {}
    hooks = []

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            found.setdefault(name, []).append(hidden.detach().float().cpu().flatten(0, -2))

        return hook

    for name, module in model.named_modules():
        if name.endswith((".self_attn", ".linear_attn", ".mlp")) and "visual" not in name:
            hooks.append(module.register_forward_hook(keep(name)))
    with torch.inference_mode():
        for sequence in sequences:
            model(input_ids=torch.tensor([sequence], device=model.device), use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def layer_errors(reference: dict[str, Any], candidate: dict[str, Any]) -> dict[str, float]:
    """Relative error ||candidate - reference|| / ||reference|| of each block's output."""
    return {
        name: float((candidate[name] - out).norm() / out.norm().clamp_min(1e-12)) for name, out in reference.items()
    }


def plot(errors: dict[str, float], path: Path, title: str) -> None:
    """Write the errors as a bar chart, one bar a block."""
    from quant.quantize.plots import pyplot

    drawer = pyplot()
    if drawer is None:
        return
    figure, axes = drawer.subplots(figsize=(8, max(2.5, 0.16 * len(errors))))
    names = list(errors)
    axes.barh(names, [errors[name] for name in names], color="#3b6ea5")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set_xlabel("relative error of the output")
    axes.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    drawer.close(figure)


def run(arguments: argparse.Namespace) -> int:
    """Compare; print the numbers, and write diff.json and diff.png beside the checkpoint."""
    loading.check_source(arguments.reference)
    loading.read_config(arguments.checkpoint)
    samples = calibration.read_samples(arguments.data, arguments.samples)
    tokenizer = loading.load_tokenizer(arguments.reference)
    sequences = calibration.tokenize(tokenizer, samples, arguments.data, arguments.max_length, arguments.samples)
    from quant.checkpoint import dequantize as dequantized
    from quant.quantize import quality

    device = loading.default_device()
    model = loading.load_model(arguments.reference, device)
    expected, outputs = quality.logits(model, sequences), layer_outputs(model, sequences[:4])
    del model
    model = dequantized.load(arguments.checkpoint, arguments.reference, device)
    found = quality.compare(expected, quality.logits(model, sequences))
    errors = layer_errors(outputs, layer_outputs(model, sequences[:4]))
    said = {"reference": str(arguments.reference), "data": str(arguments.data), **found.as_dict(), "layers": errors}
    if not (arguments.checkpoint / INCOMPLETE).exists():
        (arguments.checkpoint / "diff.png").unlink(missing_ok=True)
        plot(errors, arguments.checkpoint / "diff.png", f"{arguments.checkpoint.name} against its reference")
    if arguments.json:
        print(json.dumps(said, indent=1))
        return 0
    print(f"KL {found.kl:.4f} nats/token, top-1 agreement {found.top1:.1%}, {found.positions} tokens")
    width = max(map(len, errors))
    for name, error in sorted(errors.items(), key=lambda item: -item[1])[:12]:
        print(f"{name:{width}}  {error:.3f}")
    print(f"{arguments.checkpoint}/diff.png has every block")
    return 0

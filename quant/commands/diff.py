"""`python -m quant diff`: compares a checkpoint with its reference: KL, top-1 agreement, error per block."""

from __future__ import annotations

import argparse
import json

from quant.checkpoint import loading
from quant.checkpoint.atomic import INCOMPLETE
from quant.quantize import calibration


def run(arguments: argparse.Namespace) -> int:
    """Compare; print the numbers, and write diff.json and diff.png beside the checkpoint."""
    loading.check_source(arguments.reference)
    loading.read_config(arguments.checkpoint)
    samples = calibration.read_samples(arguments.data, arguments.samples, arguments.shape)
    tokenizer = loading.load_tokenizer(arguments.reference)
    sequences = calibration.tokenize(tokenizer, samples, arguments.data, arguments.max_length, arguments.samples)
    from quant.checkpoint import dequantize
    from quant.quantize import quality
    from quant.quantize.plots import plot

    device = loading.default_device()
    model = loading.load_model(arguments.reference, device)
    positions = arguments.positions
    expected, outputs = quality.logits(model, sequences, positions), quality.layer_outputs(model, sequences[:4])
    del model
    model = dequantize.load(arguments.checkpoint, arguments.reference, device)
    found = quality.agreement(expected, quality.logits(model, sequences, positions))
    errors = quality.layer_errors(outputs, quality.layer_outputs(model, sequences[:4]))
    result = {"reference": str(arguments.reference), "data": str(arguments.data), **found.as_dict(), "layers": errors}
    if not (arguments.checkpoint / INCOMPLETE).exists():
        (arguments.checkpoint / "diff.png").unlink(missing_ok=True)
        plot(errors, arguments.checkpoint / "diff.png", f"{arguments.checkpoint.name} against its reference")
    if arguments.json:
        print(json.dumps(result, indent=1))
        return 0
    print(f"KL {found.kl:.4f} nats/token, top-1 agreement {found.top1:.1%}, {found.positions} tokens")
    width = max(map(len, errors))
    for name, error in sorted(errors.items(), key=lambda item: -item[1])[:12]:
        print(f"{name:{width}}  {error:.3f}")
    print(f"{arguments.checkpoint}/diff.png has every block")
    return 0

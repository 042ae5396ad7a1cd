"""`python -m quant diff`: compares a checkpoint with its reference: KL, top-1 agreement, error per block."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from quant.checkpoint import loading
from quant.checkpoint.atomic import INCOMPLETE
from quant.quantize import calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m quant diff`."""
    parser.add_argument("reference", type=Path, metavar="REF", help="BF16 checkpoint")
    parser.add_argument("checkpoint", type=Path, metavar="DIR", help="the checkpoint made from it")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines with messages or text, or a .txt file")
    parser.add_argument("--samples", type=calibration.positive, default=32, help="samples compared (default: 32)")
    parser.add_argument("--positions", type=calibration.positive, default=512,
                        help="tokens compared, of all samples together (default: 512)")  # fmt: skip
    parser.add_argument("--max-length", type=calibration.positive, default=512, help="tokens a sample (default: 512)")
    calibration.add_format(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


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

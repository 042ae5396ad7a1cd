"""`python -m quant qat`: trains a model with quantised weights, exports it, and checks the exported weights.

A recipe whose loss is cross-entropy does quantisation-aware training; one with KL divergence from a BF16 teacher (the
model itself, unless `--teacher` names another) does quantisation-aware distillation. LoRA is applied before the
quantiser: the forward pass multiplies by Q(W + BA), which is exported.
"""

from __future__ import annotations

import argparse

from quant import images, recipe
from quant.errors import UsageError
from quant.quantize import calibration
from quant.quantize.quantize import check_image
from quant.training import run as training_run


def run(arguments: argparse.Namespace) -> int:
    """Train, export and check; returns 1 if the export differs from the trained weights or preflight refuses it."""

    chosen = recipe.load(arguments.recipe, arguments.settings)
    if not chosen.quantizes:
        raise UsageError(f"recipe {chosen.name}: quantises nothing; run it with `annie-quant sft`")
    if training_run.is_done(arguments):
        return 0
    image = images.find(arguments.image or chosen.image)
    check_image(chosen, image)
    path = arguments.calib or arguments.data
    samples = calibration.read_samples(path, chosen.calibration.samples, arguments.shape)
    job = training_run.prepare("qat", arguments, arguments.teacher)
    job.provenance.record |= {"image": image.name, "calibration": str(path)}
    limits = chosen.calibration
    sequences = calibration.tokenize(job.tokenizer, samples, path, limits.max_length, limits.samples)
    return training_run.execute(job, image, sequences, arguments.teacher)

"""`python -m quant sft`: fine-tunes in BF16, with the data format, loss and loop of `qat`, without quantising."""

from __future__ import annotations

import argparse

from quant import recipe
from quant.errors import UsageError
from quant.training import run as training_run


def run(arguments: argparse.Namespace) -> int:
    """Train and write a BF16 checkpoint."""
    chosen = recipe.load(arguments.recipe, arguments.settings)
    if chosen.quantizes:
        raise UsageError(f"recipe {chosen.name}: quantises; run it with `annie-quant qat`")
    if training_run.is_done(arguments):
        return 0
    return training_run.execute(training_run.prepare("sft", arguments), None, [], None)

"""When training has diverged: a loss that is no number, or one that rose tenfold and stays there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from quant.errors import NotServedAsMade

RISE = 10.0
"""How many times the lowest mean a mean of `WINDOW` losses may be, where it also exceeds the first."""
WINDOW = 3
"""Losses of a mean: batches differ, and one odd batch is no divergence."""


def check(step: int, losses: Sequence[float], norm: float) -> None:
    """Raise NotServedAsMade where training diverged at this step (from 1); `losses` are those of all steps so far.

    One odd batch is no divergence, so means of three steps are compared; and a loss that is still below where it began
    has not diverged, however low it was in between.
    """
    loss = losses[-1]
    if not math.isfinite(loss) or not math.isfinite(norm):
        raise Diverged(f"step {step}: loss {loss}, gradient norm {norm}: it diverged; lower training.learning_rate")
    if len(losses) <= WINDOW:
        return
    means = [sum(losses[at : at + WINDOW]) / WINDOW for at in range(len(losses) - WINDOW + 1)]
    lowest = min(means[:-1])
    if means[-1] > RISE * lowest and means[-1] > losses[0]:
        raise Diverged(
            f"step {step}: the loss is {means[-1]:.4g} in the mean of {WINDOW} steps, {means[-1] / lowest:.0f} times "
            f"what it was ({lowest:.4g}): it diverged; lower training.learning_rate"
        )


def check_end(parameters: Iterable[Any], logits: Sequence[Any]) -> None:
    """Raise NotServedAsMade where the last step left weights or answers that are no numbers; its loss cannot tell."""
    for tensor in (*parameters, *logits):
        if not bool(tensor.isfinite().all()):
            raise Diverged(
                "after the last step the weights or the loss are no numbers: it diverged; lower training.learning_rate"
            )


class Diverged(NotServedAsMade):
    """Training diverged: nothing is exported."""

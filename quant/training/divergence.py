"""Detects divergence of training: a loss that is not a number, or one that rose tenfold and stays high."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from quant.errors import NotServedAsMade

RISE = 10.0
"""Training diverged if a mean of `WINDOW` losses is this factor above the lowest mean, and above the first."""
WINDOW = 3
"""Number of losses per mean, because a single batch may have a high loss."""


def check(step: int, losses: Sequence[float], norm: float) -> None:
    """Raise Diverged if training diverged at this step (from 1); `losses` are those of all steps so far.

    Means of three steps are compared, because a single batch may have a high loss. A loss that is still below its
    first value has not diverged, however low it was in between.
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
    """Raise Diverged if weights or logits are not finite after the last step, whose loss was computed before it."""
    for tensor in (*parameters, *logits):
        if not bool(tensor.isfinite().all()):
            raise Diverged(
                "after the last step the weights or the loss are no numbers: it diverged; lower training.learning_rate"
            )


class Diverged(NotServedAsMade):
    """Training diverged: nothing is exported."""

"""Draws the plot of the training loss (`training.png`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def plot(history: Sequence[dict[str, float]], path: Path, title: str) -> None:
    """Plot the loss of every step."""
    from quant.quantize.plots import pyplot

    drawer = pyplot()
    if drawer is None:
        return
    figure, axes = drawer.subplots(figsize=(7, 3.5))
    steps = range(1, len(history) + 1)
    for key, colour in (("ce", "#c8502d"), ("kl", "#1b6ca8")):
        if any(row[key] for row in history):
            axes.plot(steps, [row[key] for row in history], color=colour, label=key, linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("nats a token")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    drawer.close(figure)

"""Draws plots with matplotlib. If matplotlib is not installed, checkpoints are written without plots."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def pyplot() -> Any | None:
    """`matplotlib.pyplot`, for drawing to files; None, with a line on standard error, if it is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed, so no plot was drawn", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot as found

    return found


def plot(errors: dict[str, float], path: Path, title: str) -> None:
    """Write the errors as a bar chart, one bar per block."""
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

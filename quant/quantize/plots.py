"""matplotlib, if it is there: a checkpoint must not be lost for want of a picture of it."""

from __future__ import annotations

import sys
from typing import Any


def pyplot() -> Any | None:
    """`matplotlib.pyplot`, drawing to files; None, and a line on standard error, where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed, so no plot was drawn", file=sys.stderr)
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot as found

    return found

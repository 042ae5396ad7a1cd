"""Where runs are kept, and how one is named."""

from __future__ import annotations

from pathlib import Path

from annie_eval.errors import UsageError

RUNS = Path("runs")


def run_dir(name: str) -> Path:
    """A run by its directory, or by its name in runs/. Raises UsageError if there is none."""
    path = Path(name).expanduser()
    if not path.exists() and (RUNS / name).is_dir():
        return RUNS / name
    if not path.is_dir():
        raise UsageError(f"{name}: no such run; name a directory, or one that annie-eval runs lists")
    return path

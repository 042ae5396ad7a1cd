"""Where runs are kept, and how one is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


_LOOKED_AT = 20  # runs, the newest first


def took(folder: Path, identity: Mapping[str, Any], *, but: Path) -> dict[str, float]:
    """Seconds of each stage of the newest finished run in a folder with this identity; {} where there is none.

    Args:
        but: a run to leave out.
    """
    from annie_eval.run.store import FILE, Store

    for path in sorted((path for path in folder.glob("*") if path.name != but.name), reverse=True)[:_LOOKED_AT]:
        if not (path / FILE).is_file():
            continue
        try:
            store = Store(path)
        except UsageError:
            continue
        try:
            facts = store.all_meta()
        except (sqlite3.Error, ValueError):
            continue
        finally:
            store.close()
        if facts.get("identity") == identity and facts.get("took"):
            return {str(stage): float(seconds) for stage, seconds in facts["took"].items()}
    return {}

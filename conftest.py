"""Excludes the gate's tests from `pytest .` and `pytest tests` if no target is given, because they need a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval_pytest import has_target

_GATES = [Path(__file__).parent / "tests" / name for name in ("behavior", "perf")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path in _GATES and not has_target(config) else None

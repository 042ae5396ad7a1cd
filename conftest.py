"""The gate's tests need a server: where no target is named, they are no part of `pytest .` or `pytest tests`."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval_pytest import has_target

_GATES = [Path(__file__).parent / "tests" / name for name in ("behavior", "perf")]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path in _GATES and not has_target(config) else None

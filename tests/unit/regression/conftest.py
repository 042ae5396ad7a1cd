"""Fixtures of the regression tests: finished runs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import finished_run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run("name", {"s-01": True})`: a finished run in a directory of its own."""

    def make(name: str, passed: dict[str, bool], **more: Any) -> Path:
        return finished_run.make_run(tmp_path, name, passed, **more)

    return make

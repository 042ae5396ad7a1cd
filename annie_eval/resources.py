"""Finds files outside the package's modules: the gate's tests, the documents, and the server's Python environment.

An installed wheel has the gate's tests as `annie_eval/gate_tests` and the documents as `annie_eval/docs`. A checkout
or an editable install uses them in place, in `tests/behavior`, `tests/perf` and `docs`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_PACKAGED: Final = _PACKAGE / "gate_tests"
INSTALLED: Final = _PACKAGED.is_dir()
"""Whether this is an installed wheel, not a checkout."""
GATE_TESTS: Final = _PACKAGED if INSTALLED else _PACKAGE.parent / "tests"
"""The directory that holds the gate's tests, in `perf` and `behavior`."""

DOCS: Final = _PACKAGE / "docs" if INSTALLED else _PACKAGE.parent / "docs"
"""The directory that holds the documents."""


def server_python() -> Path | None:
    """The interpreter of `.venv-vllm` in the current directory, else in the checkout; None if neither exists."""
    places = [Path.cwd()] if INSTALLED else [Path.cwd(), _PACKAGE.parent]
    return next((file for place in places if (file := place / ".venv-vllm" / "bin" / "python").is_file()), None)

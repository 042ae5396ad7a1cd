"""`annie-eval gate`: runs pytest with the gates and usual defaults. All options are those of pytest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_USAGE = """usage: annie-eval gate [MODEL_DIR | URL] [option of pytest ...]

Judge a checkpoint or a running server: runs pytest -q with the target and the options that you add.

  annie-eval gate ~/models/X-NVFP4              --model-dir ~/models/X-NVFP4
  annie-eval gate http://box:8000/v1            --base-url http://box:8000/v1
  annie-eval gate --base-url URL --profile mine/assistant.toml -k markdown

Exit status: pytest's. 0 only for PASS, 1 for any other verdict, 4 for wrong input.
pytest --help lists all options; those of annie-eval are in a separate group.
"""


def add_gate(parser: argparse.ArgumentParser) -> None:
    """Only for the list of commands: `main` passes the command line on unchanged."""


def run(arguments: Sequence[str]) -> int:
    """Replace this process by pytest; returns only if help was requested."""
    if {"-h", "--help"} & set(arguments):
        print(_USAGE, end="", flush=True)
        return 0
    return os.execv(sys.executable, [sys.executable, "-m", "pytest", *pytest_arguments(arguments)])


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments for pytest: a URL or directory in first place is the target."""
    given = list(arguments)
    if given and not given[0].startswith("-"):
        first = given.pop(0)
        if first.startswith(("http://", "https://")):
            given.insert(0, f"--base-url={first}")
        elif Path(first).expanduser().is_dir() and not first.endswith(".py"):
            given.insert(0, f"--model-dir={first}")
        else:
            given.insert(0, first)
    return ["-q", *given]

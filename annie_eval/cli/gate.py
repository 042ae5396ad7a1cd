"""`annie-eval gate`: runs pytest with the gates and usual defaults. All options are those of pytest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.profile import defaults
from annie_eval.text import printable

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
    """Replace this process by pytest; returns only for --help, or with status 4 for wrong input."""
    if {"-h", "--help"} & set(arguments):
        print(_USAGE, end="", flush=True)
        return 0
    try:
        command = pytest_arguments(arguments, configured="base-url" in defaults.find(Path.cwd()))
    except UsageError as error:
        print(f"annie-eval gate: {printable(str(error))}", file=sys.stderr, flush=True)
        return 4
    return os.execv(sys.executable, [sys.executable, "-m", "pytest", *command])


def pytest_arguments(arguments: Sequence[str], *, configured: bool = False) -> list[str]:
    """The arguments for pytest: a URL or directory in first place is the target.

    Args:
        configured: pyproject.toml names a server.

    Raises:
        UsageError: there is no target.
    """
    given = list(arguments)
    if given and not given[0].startswith("-"):
        first = given[0]
        if first.startswith(("http://", "https://")):
            given[0] = f"--base-url={first}"
        elif Path(first).expanduser().is_dir():
            given[0] = f"--model-dir={first}"
        elif not Path(first.partition("::")[0]).exists():
            raise UsageError(f"{first}: no such directory, and no URL; a URL begins with http:// or https://")
    named = {word.partition("=")[0].removeprefix("--").removeprefix("annie-") for word in given}
    if not configured and not named & {"model-dir", "base-url"}:
        raise UsageError("name what to judge: a checkpoint's directory or a server's URL, such as http://box:8000/v1")
    return ["-q", *given]

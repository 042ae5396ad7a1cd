"""No number in docs/statistics.md is typed by hand: every console block is run, and prints what stands there.

ANNIE_UPDATE_DOCS=1 writes what the commands print now into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"
BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def commands(block: str) -> list[str]:
    """The commands of a block, each with the lines that its quotes span."""
    found: list[str] = []
    lines = iter(block.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.count('"') % 2:
                command += "\n" + next(lines)
            found.append(command)
    return found


def printed(command: str) -> str:
    shim = 'python() { "$PYTHON" "$@"; }; annie-eval() { "$PYTHON" -m annie_eval.cli "$@"; }\n'
    done = subprocess.run(
        ["bash", "-c", shim + command],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_every_block_prints_what_stands_there() -> None:
    page = PAGE.read_text(encoding="utf-8")

    def again(block: re.Match[str]) -> str:
        session = "".join(f"$ {command}\n{printed(command)}" for command in commands(block[1]))
        return f"```console\n{session}```\n"

    fresh, count = BLOCK.subn(again, page)
    assert count >= 7
    if os.environ.get("ANNIE_UPDATE_DOCS"):
        PAGE.write_text(fresh, encoding="utf-8")
    elif fresh != page:
        pytest.fail("docs/statistics.md is out of date: run this test with ANNIE_UPDATE_DOCS=1\n" + fresh)

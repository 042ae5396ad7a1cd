"""A command whose extra is not installed names the extra in one line."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from quant.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[3]


def run(module: str, *arguments: str, without: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A command in a Python that cannot import some packages."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({list(without)!r})); "
    code = f"{hide}from {module} import main; import sys; sys.exit(main({list(arguments)!r}))"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("annie_data.cli", ["validate", "none.jsonl"], "annie-eval[data]"),
        (
            "quant.cli",
            ["ptq", "--model", "x", "--recipe", "nvfp4-default", "--calib", "z", "--out", "y"],
            "annie-eval[quant]",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(module: str, arguments: list[str], extra: str) -> None:
    done = run(module, *arguments, without=["numpy"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "needs numpy, which is not installed" in done.stderr
    assert extra in done.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_the_quantiser_needs_no_extra(command: str) -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["quant"]
    packages = {re.match("[a-z]+", name.removeprefix("nvidia-"))[0] for name in extra}  # type: ignore[index]
    assert {"torch", "modelopt", "numpy"} <= packages
    done = run("quant.cli", command, "--help", without=sorted(packages))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ")


def test_with_it_the_command_says_what_else_is_wrong() -> None:
    done = run("annie_data.cli", "validate", "none.jsonl")
    assert (done.returncode, "needs numpy" in done.stderr) == (2, False)
    assert "none.jsonl" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """As `annie-quant recipes | head -1`."""
    command = f"{sys.executable} -c 'from quant.cli import main; import sys; sys.exit(main([\"recipes\"]))' | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_messages_name_the_command_that_was_typed() -> None:
    code = "import sys; sys.argv[0] = '/env/bin/annie-quant'; from quant.cli import main; sys.exit(main(['nothing']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "annie-quant")
    typed = run("quant.cli", "nothing")
    assert typed.stderr.startswith("python -m quant: no command 'nothing'")


def test_help_and_messages_name_the_installed_command() -> None:
    """Docstrings may say `python -m quant`; only `_program` of the command line prints it, if it was typed."""
    told = set()
    for path in (ROOT / "quant").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr):
                continue
            texts = (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.Constant))
            if any("python -m quant" in str(text.value) for text in texts):
                told.add(path.name)
    assert told == {"cli.py"}

"""pyproject.toml declares what the packages import, and no committed file names a package registry."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "annie_eval": ("probe", "snapshot", "plot"),
    "annie_data": ("data",),
    "quant": ("quant",),
    "annie_eval_pytest.py": (),
}
# They are there where the code that imports them runs: triton comes with torch for GPUs, vLLM's plugin runs in vLLM.
ELSEWHERE = {"quant": {"triton", "vllm"}}
# Used without an import: as a plugin of pytest, and by transformers' reader of GGUF files.
WITHOUT_IMPORT = {"pytest-xdist", "gguf"}
# Installed under another name, in whatever environment this runs.
NAMES = {"modelopt": "nvidia-modelopt", "markdown_it": "markdown-it-py", "re2": "google-re2", "_pytest": "pytest"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    optional = PROJECT["optional-dependencies"]
    lines: Iterable[str] = [*PROJECT["dependencies"], *(line for extra in extras for line in optional[extra])]
    return {normal(re.split(r"[^\w.-]", line)[0]) for line in lines}


def imported(package: str) -> set[str]:
    """The distributions that a package's modules import, lazily or not; the standard library and our own left out."""
    path = ROOT / package
    found: set[str] = set()
    for file in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    known = packages_distributions()
    others = found - sys.stdlib_module_names - {*EXTRAS, "annie_eval_pytest"} - ELSEWHERE.get(package, set())
    return {normal(NAMES.get(name) or known.get(name, [name])[0]) for name in others}


@pytest.mark.parametrize("package", EXTRAS)
def test_what_is_imported_is_declared(package: str) -> None:
    assert imported(package) <= declared(*EXTRAS[package])


def test_what_is_declared_is_used() -> None:
    every = declared(*PROJECT["optional-dependencies"])
    assert every - set().union(*map(imported, EXTRAS)) == WITHOUT_IMPORT


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT


@pytest.mark.parametrize("file", ["project.txt", "server-cpu.txt", "model.txt"])
def test_requirements_are_pinned_with_hashes(file: str) -> None:
    lines = (ROOT / "requirements" / file).read_text().replace("\\\n", " ").splitlines()
    pins = [line for line in lines if line.strip() and not line.startswith("#")]
    assert pins
    assert not [line for line in pins if not re.match(r"[\w.-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+\s*$", line)]


def test_no_file_names_a_registry() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    host = re.compile(r"(?:--(?:extra-)?index-url|--find-links)[ =]\S+|\bindex\s*=\s*\S*://|/simple/", re.IGNORECASE)
    files = [path for name in tracked.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    texts = [path for path in files if path.suffix in (".toml", ".txt", ".yml", ".yaml", ".cfg", ".ini", "")]
    assert not [path for path in texts if host.search(path.read_text(errors="replace"))]

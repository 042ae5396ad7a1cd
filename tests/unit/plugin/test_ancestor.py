"""The gates are collected from a directory above the checkout, whatever the pytest configuration there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
IGNORES = "collect_ignore_glob = ['**/checkout/*', 'checkout/*']\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a copy of the checkout in it, below a directory that pytest passes over."""
    folder = tmp_path_factory.mktemp("project")
    checkout = folder / "build" / "checkout"
    for name in ("annie_eval", "tests/behavior", "tests/perf"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "annie_eval_pytest.py", checkout / "annie_eval_pytest.py")
    return folder


@pytest.fixture
def url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def collected(folder: Path, url: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--base-url", url, "--profile", "annie-smol", "--run-dir", str(folder / "run")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "build" / "checkout")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    shutil.rmtree(folder / "run", ignore_errors=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("files", [{}, {"conftest.py": IGNORES}, {"pytest.ini": "[pytest]\n"}], ids=str)
def test_all_gates_are_collected_from_a_directory_around_them(files: dict[str, str], project: Path, url: str) -> None:
    for name, text in files.items():
        (project / name).write_text(text)
    status, said = collected(project, url)
    for name in files:
        (project / name).unlink()
    assert status == 0, said
    assert said.count("build/checkout/tests/behavior/") > 300


def test_testpaths_around_the_gates_are_refused(project: Path, url: str) -> None:
    (project / "pytest.ini").write_text("[pytest]\ntestpaths = .\n")
    status, said = collected(project, url)
    (project / "pytest.ini").unlink()
    assert status == 4, said
    assert "pytest.ini: testpaths names ., which contains annie-eval itself" in said

"""The pytest entry point works with other plugins, reads pyproject.toml, and does not affect other suites."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annie_eval_pytest import join_values

NOWHERE = "http://127.0.0.1:9/v1"
OTHER = """
def pytest_addoption(parser):
    parser.addoption("--base-url", dest="base_url", help="as pytest-base-url has it")
    parser.addoption("--profile", action="store_true", help="as pytest-profiling has it")
"""
USES_IT = """
def test_the_options_are_the_other_plugin_s(request):
    assert request.config.getoption("base_url") == "http://site"
    assert request.config.getoption("profile") is True
"""

# An environment without syrupy.
WITHOUT_SYRUPY = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == "syrupy" else find(name, *rest))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest, started in a directory whose modules can be imported."""
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_usage(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 4, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert [word for word in words if word not in lines[0]] == []


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        (["--model-dir", "DIR", "-q"], ["--model-dir=DIR", "-q"]),
        (["--model-dir=DIR", "tests"], ["--model-dir=DIR", "tests"]),
        (["--resume", "tests"], ["--resume", "tests"]),
        (["--annie-profile", "x.toml"], ["--annie-profile=x.toml"]),
        (["-k", "a", "--", "--profile", "x"], ["-k", "a", "--", "--profile", "x"]),
        (["--port"], ["--port"]),
    ],
)
def test_values_are_joined_to_our_options(given: list[str], joined: list[str]) -> None:
    assert join_values(given) == joined


@pytest.mark.parametrize("place", ["other.py", "conftest.py"])
def test_a_name_that_is_taken_stays_its_owners(place: str, tmp_path: Path) -> None:
    (tmp_path / place).write_text(OTHER)
    (tmp_path / "test_site.py").write_text(USES_IT)
    plugin = ["-p", "other"] if place == "other.py" else []
    left = run(tmp_path, *plugin, "--base-url", "http://site", "--profile", "test_site.py")
    assert left.returncode == 0, left.stdout + left.stderr
    assert "another plugin of this environment has that option; the gate's is --annie-base-url" in left.stdout
    ours = run(tmp_path, *plugin, "--annie-base-url", NOWHERE)
    assert_usage(ours, NOWHERE, "no server reachable")
    both = run(tmp_path, *plugin, "--annie-base-url", NOWHERE, "--profile")
    assert_usage(both, "--profile", "--annie-profile", "-p no:NAME")


def test_where_no_name_is_taken_the_options_have_theirs(tmp_path: Path) -> None:
    assert_usage(run(tmp_path, "--base-url", NOWHERE), NOWHERE, "no server reachable")
    assert "unrecognized arguments: --annie-base-url" in run(tmp_path, f"--annie-base-url={NOWHERE}").stderr


def test_the_session_is_rooted_where_it_is_started_not_in_the_model(tmp_path: Path) -> None:
    """Guards what the entry point does with private parts of pytest."""
    project, model = tmp_path / "project", tmp_path / "model"
    (project / "src").mkdir(parents=True)
    model.mkdir()
    (model / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option-at-all\n")
    (project / "pytest.ini").write_text("[pytest]\npythonpath = src\n")
    (project / "src" / "on_the_path.py").write_text("")
    (project / "conftest.py").write_text("import on_the_path, pathlib\npathlib.Path('loaded').touch()\n")
    assert_usage(run(project, "--model-dir", str(model), "--profile", "annie"), str(model))
    assert (project / "loaded").exists()


def test_the_model_directory_adds_nothing_to_the_path(tmp_path: Path) -> None:
    """pytest takes the value of an option that it does not know yet for a test path, and reads its configuration."""
    project, model = tmp_path / "project", tmp_path / "model"
    project.mkdir()
    model.mkdir()
    (model / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    (project / "conftest.py").write_text("import pathlib, sys\npathlib.Path('path').write_text(repr(sys.path))\n")
    assert_usage(run(project, "--model-dir", str(model), "--profile", "annie"), str(model))
    assert str(model) not in (project / "path").read_text()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('profil = "annie"', ["pyproject.toml", "profil", "profile, base-url"]),
        ("concurrency = true", ["pyproject.toml", "concurrency is True", "a whole number above 0"]),
        ("base-url = []", ["pyproject.toml", "base-url is []", "a URL or a list of URLs"]),
        ('run-dir = ""', ["pyproject.toml", "run-dir", "a directory"]),
    ],
)
def test_a_wrong_default_is_refused_in_one_line(table: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.annie-eval]\n{table}\n")
    assert_usage(run(tmp_path), *words)


@pytest.mark.parametrize("way", ["conftest.py", "-p"])
def test_a_plugin_that_is_loaded_already_gets_the_default_target(way: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.annie-eval]\nbase-url = "{NOWHERE}"\n')
    (tmp_path / "test_ours.py").write_text("def test_ours(ask):\n    pass\n")
    if way == "conftest.py":
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["annie_eval.plugin"]\n')
    assert_usage(run(tmp_path, *(["-p", "annie_eval.plugin"] if way == "-p" else [])), "no server reachable")


def test_gates_without_a_target_are_refused(tmp_path: Path) -> None:
    from annie_eval.resources import GATE_TESTS

    assert_usage(run(tmp_path, str(GATE_TESTS / "behavior")), "need a target", "--base-url")


def test_snapshots_without_syrupy_say_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_SYRUPY)
    done = run(tmp_path, "-p", "no:syrupy", "-m", "snapshot", "--base-url", NOWHERE)
    assert_usage(done, "-m snapshot: needs syrupy, which is not installed; pip install syrupy")

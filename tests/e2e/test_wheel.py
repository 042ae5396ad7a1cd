"""End to end: the installed wheel outside of the checkout, in a directory with only a team's files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = [
    {
        "id": f"hello-{i:02}",
        "category": "hello",
        "prompt": f"Hello, this is caller {i}, how are you?",
        "stream": i % 2 == 0,
        "example": {"role": "assistant", "content": "Hello there, I am glad you asked."},
    }
    for i in range(6)
]
PROFILE = """
name = "hello"
system_prompt = "You are a voice assistant."
scenarios = "hello.jsonl"
[sampling]
max_tokens = 64
[gates.no_markdown]
detectors = ["markdown"]
categories = ["hello"]
required = 5
[gates.wire_integrity]
detectors = ["wire"]
categories = ["*"]
"""
# What a team's own suite may ask of pytest; none of it is the gate's business.
PYPROJECT = """
[project]
name = "team"
version = "1"
[tool.pytest.ini_options]
testpaths = ["tests"]
addopts = "--strict-markers --strict-config --doctest-modules --import-mode=prepend"
python_files = ["check_*.py", "test_*.py"]
python_functions = ["check_*", "test_own_*"]
xfail_strict = true
filterwarnings = ["error"]
"""
OWN = """
def test_own_question_is_answered(ask, endpoint):
    answer = ask("May I smoke in the lobby?", tools=[])
    assert not answer.findings
    assert endpoint.served_model in answer.sample.exchanges[-1].request["model"]
"""
UNIT = """
import a_library_that_the_gate_s_environment_does_not_have
def test_own_code():
    raise AssertionError
"""
# Of the same name as a file of the gate's.
SAME_NAME = """
def test_own_endpoint_class():
    raise AssertionError("runs without a target alone")
"""


@dataclass(frozen=True)
class Team:
    """A team's directory, and the environment in which the wheel is installed."""

    python: Path
    folder: Path

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command of that environment, started in the team's directory: `pytest` or `annie-eval`."""
        command, *rest = map(str, arguments)
        start = [self.python, "-m", "pytest"] if command == "pytest" else [self.python.parent / command]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        clean.pop("PYTHONPATH", None)
        return subprocess.run(
            [*start, *rest],
            cwd=self.folder,
            env=clean | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def verdict(self) -> dict[str, object]:
        """verdict.json of the newest run below the team's directory."""
        newest = max(self.folder.glob("runs/*/verdict.json"), key=lambda path: path.stat().st_mtime_ns)
        read: dict[str, object] = json.loads(newest.read_text())
        return read


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist, as a CI job of the repository builds them."""
    folder = tmp_path_factory.mktemp("dist")
    job = {**os.environ, "GITHUB_SERVER_URL": "https://code.example", "GITHUB_REPOSITORY": "team/gate"}
    build = [sys.executable, "-m", "hatchling", "build", "-d", folder]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, env=job)
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, and what it depends on, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    for entry in Path(next(path for path in sys.path if path.endswith("site-packages"))).iterdir():
        if not re.search(r"annie|\.pth$|^__pycache__$|^__editable__", entry.name):
            (site / entry.name).symlink_to(entry)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, *built.glob("*.whl")], check=True)
    return folder / "bin" / "python"


@pytest.fixture
def team(python: Path, tmp_path: Path) -> Team:
    (tmp_path / "tests").mkdir()
    for name, text in (
        ("pyproject.toml", PYPROJECT),
        ("hello.toml", PROFILE),
        ("hello.jsonl", "".join(json.dumps(scenario) + "\n" for scenario in SCENARIOS)),
        ("tests/test_own.py", OWN),
        ("tests/test_unit.py", UNIT),
        ("tests/test_brevity.py", SAME_NAME),
    ):
        (tmp_path / name).write_text(text)
    return Team(python, tmp_path)


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str | None], str]]:
    """Starts a server that plays the team's profile with one fault, or none; returns its URL."""
    folder = tmp_path_factory.mktemp("profile")
    (folder / "hello.toml").write_text(PROFILE)
    (folder / "hello.jsonl").write_text("".join(json.dumps(scenario) + "\n" for scenario in SCENARIOS))
    profile, running = load(str(folder / "hello.toml")), {}

    def url(fault: str | None = None) -> str:
        if fault not in running:
            server = FaultServer(profile, fault)
            running[fault] = (server, server.__enter__())
        return running[fault][1]

    yield url
    for server, _ in running.values():
        server.__exit__(None, None, None)


WORKERS = pytest.mark.parametrize("workers", [["-p", "no:xdist", "-p", "no:cacheprovider"], ["-n", "2"]], ids=str)


def _gates(names: list[str]) -> set[str]:
    found = (re.search(r"(?:annie_eval/gate_tests|/tests)/((?:behavior|perf)/.*)", name) for name in names)
    return {match[1] for match in found if match}


def test_wheel_and_sdist_hold_the_gate_and_no_other_test(built: Path, tmp_path: Path) -> None:
    ours = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").glob("[bp]e*/test_*.py")}
    wheel = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = sdist.getnames()
        sdist.extractall(tmp_path, filter="data")
    assert _gates(wheel) == ours
    assert _gates(names) == ours
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} - {"log.md"}
    assert {name.rpartition("/")[2] for name in wheel if name.startswith("annie_eval/docs/")} == documents
    assert "annie_eval/py.typed" in wheel
    assert not [name for name in wheel if re.match(r"(tests|research|benchmarks|data|docs|models|runs)/", name)]
    source = next(tmp_path.iterdir())
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again"]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    again = next(tmp_path.glob("again/*.whl"))
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(wheel)
    assert _urls(again) == _urls(next(built.glob("*.whl")))
    assert "Issues, https://code.example/team/gate/issues" in _urls(again)


def _urls(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return re.findall(r"^Project-URL: (.*)$", archive.read(metadata).decode(), re.MULTILINE)


def test_the_documents_are_printed(team: Team) -> None:
    listed = team.run("annie-eval", "docs")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "troubleshooting       Troubleshooting" in listed.stdout.splitlines()
    done = team.run("annie-eval", "docs", "docs/troubleshooting.md")
    assert done.stdout == (ROOT / "docs" / "troubleshooting.md").read_text()
    path = Path(team.run("annie-eval", "docs", "troubleshooting", "--path").stdout.rstrip())
    assert path.is_file()
    assert not path.is_relative_to(ROOT)
    refused = team.run("annie-eval", "docs", "nobody")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@WORKERS
def test_a_good_server_passes_the_gates_and_the_teams_own_questions(
    workers: list[str], team: Team, serve: Callable[[str | None], str]
) -> None:
    done = team.run("pytest", "--base-url", serve(None), "--profile", "hello.toml", *workers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert team.verdict()["verdict"] == "PASS"
    assert "13 passed" in done.stdout  # six scenarios in two gates, and the team's question
    assert str(ROOT) not in done.stdout


@WORKERS
def test_a_faulty_server_fails(workers: list[str], team: Team, serve: Callable[[str | None], str]) -> None:
    done = team.run("pytest", "--base-url", serve("markdown-bold"), "--profile", "hello.toml", *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert team.verdict()["verdict"] == "FAIL"
    assert "Traceback" not in done.stdout + done.stderr
    assert "Error" not in done.stderr


def test_k_and_last_failed_select(team: Team, serve: Callable[[str | None], str]) -> None:
    options = ("--base-url", serve("markdown-bold"), "--profile", "hello.toml")
    first = team.run("pytest", *options, "-k", "wire_integrity or no_markdown")
    assert "6 failed" in first.stdout
    again = team.run("pytest", *options, "--lf", "--collect-only", "-q")
    assert again.stdout.count("test_no_markdown.py::") == 6
    assert "test_wire_integrity.py::" not in again.stdout


def test_defaults_come_from_pyproject_and_the_command_line_wins(
    team: Team, serve: Callable[[str | None], str]
) -> None:
    table = (
        f'[tool.annie-eval]\nprofile = "hello.toml"\nbase-url = "{serve(None)}"\nconcurrency = 2\nrun-dir = "runs/a"\n'
    )
    (team.folder / "pyproject.toml").write_text(PYPROJECT + table)
    assert team.run("pytest").returncode == 0
    assert team.verdict()["verdict"] == "PASS"
    assert (team.folder / "runs" / "a").is_dir()
    bad = team.run("pytest", "--base-url", serve("markdown-bold"), "--run-dir", "runs/b")
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert (team.folder / "runs" / "b").is_dir()


def test_nightly_runs_the_gate_wherever_it_is_started(team: Team, serve: Callable[[str | None], str]) -> None:
    (team.folder / "conftest.py").write_text("raise RuntimeError('the team is busy with its conftest.py')\n")
    gate = ("-c", os.devnull, "--rootdir", "/", "--noconftest", "-p", "no:cacheprovider")
    blessed = team.run(
        "pytest", "--base-url", serve(None), "--profile", "hello.toml", "--run-dir", "runs/first", *gate
    )
    assert blessed.returncode == 0, blessed.stdout + blessed.stderr
    assert team.run("annie-eval", "bless", "first", "--as", "deployed").returncode == 0
    night = team.run("annie-eval", "nightly", "--base-url", serve(None), "--baseline", "deployed")
    assert night.returncode == 0, night.stdout + night.stderr
    worse = team.run("annie-eval", "nightly", "--base-url", serve("markdown-bold"), "--baseline", "deployed")
    # The gate fails; that six prompts got worse by chance in one of ninety nights is not ruled out.
    assert worse.returncode == 3, worse.stdout + worse.stderr


def test_a_suite_without_a_target_is_left_alone(team: Team) -> None:
    (team.folder / "tests" / "test_unit.py").unlink()
    (team.folder / "tests" / "test_brevity.py").unlink()
    done = team.run("pytest", "-rs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no target: give --model-dir or --base-url" in done.stdout
    assert not (team.folder / "runs").exists()
    assert "--model-dir" in team.run("pytest", "--help").stdout
    off = team.run("pytest", "-p", "no:annie-eval", "--model-dir", "x")
    assert off.returncode == 4
    assert "unrecognized arguments: --model-dir" in off.stderr

"""End to end: with any way of calling pytest, a bad model never exits with 0, and a good one passes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
PROFILE = """
name = "ways"
system_prompt = "You are a voice assistant."
scenarios = "ways.jsonl"
[gates.thinking_leak]
detectors = ["thinking"]
[gates.restraint]
detectors = ["restraint"]
required = 1
[gates.every_answer]
detectors = ["thinking"]
categories = ["*"]
[gates.wire_integrity]
detectors = ["wire"]
categories = ["*"]
[gates.of_my_own]
detectors = ["thinking"]
categories = ["thinking_leak", "restraint"]
required = 3
[tools.set_timer]
description = "Start a timer."
"""
# pytest.ini keeps plugins out that a user's environment may have.
PLUGINS = ["-o", "addopts=--strict-markers -p no:anyio -p no:syrupy"]
# Tests of every kind of gate: one with a file of its own, one over every sample, one that a profile adds.
PART = {
    "named": "tests/behavior/test_thinking_leak.py::test_no_thinking_reaches_the_listener[leak-1.stream.off]",
    "every sample": "tests/behavior/test_every_answer.py::test_no_answer_leaks_or_breaks[quiet-1.stream.off]",
    "protocol": "tests/behavior/test_wire_integrity.py::test_the_stream_is_well_formed[quiet-1.stream.off]",
    "added": "tests/behavior/test_profile_gates.py::test_the_sample_passes_the_gate[of_my_own:quiet-1.stream.off]",
}


@dataclass(frozen=True)
class Way:
    """A way of calling pytest.

    Attributes:
        runs: the arguments of each run; they share one cache.
        part: a part of the samples is selected, so that a good model does not pass, either.
        env, cwd: of the process.
    """

    runs: tuple[tuple[str, ...], ...] = ((),)
    part: bool = False
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = ROOT


def once(*arguments: str, part: bool = False, cwd: Path = ROOT, **env: str) -> Way:
    return Way((arguments,), part, env, cwd)


WAYS: dict[str, Way] = {
    "plain": once(),
    "quiet": once("-q", "--tb=no"),
    "no xdist": once("-p", "no:xdist"),
    "-n 0": once("-n", "0"),
    **{f"-n 2 --dist {how}": once("-n", "2", "--dist", how) for how in ("load", "loadscope", "loadfile", "loadgroup")},
    "-n 2 --dist worksteal": once("-n", "2", "--dist", "worksteal"),
    "--dist each": once("--dist", "each", "--tx", "2*popen"),
    "-n 2 -x": once("-n", "2", "-x"),
    "-x": once("-x"),
    "--maxfail 2": once("--maxfail", "2"),
    "--lf": Way(((), ("--lf",), ("--lf",))),
    "--lf -n 2": Way((("-n", "2"), ("--lf", "-n", "2"))),
    "--ff": Way(((), ("--ff",))),
    "--ff -x": Way((("-x",), ("--ff", "-x"))),
    "--nf": once("--nf"),
    "--sw": Way((("--sw",), ("--sw",), ("--sw", "--sw-skip"))),
    "--runxfail": once("--runxfail"),
    "randomly": once(*PLUGINS, "-p", "randomly", "-p", "no:rerunfailures"),
    "randomly -n 2": once(*PLUGINS, "-n", "2", "-p", "randomly"),
    "rerunfailures": once(*PLUGINS, "--reruns", "2"),
    "rerunfailures -n 2": once(*PLUGINS, "--reruns", "2", "-n", "2"),
    "timeout": once(*PLUGINS, "--timeout", "60"),
    "cov": once(*PLUGINS, "--cov=tests/behavior", "--cov-report="),
    "repeat": once(*PLUGINS, "--count", "2"),
    "-W error": once("-W", "error"),
    "PYTHONOPTIMIZE": once(PYTHONOPTIMIZE="2"),
    "LC_ALL": once(LC_ALL="C"),
    **{f"--import-mode {mode}": once(f"--import-mode={mode}", "tests/behavior") for mode in ("prepend", "append")},
    "another directory": once(cwd=Path("/")),
    "-k": once("-k", "leak-1 or quiet-2", part=True),
    "--deselect": once("--deselect", PART["named"], part=True),
    **{f"one sample, {kind}": once(test, part=True) for kind, test in PART.items()},
    "--repeats": once("--repeats", "2"),
    "--until-decided": once("--until-decided", "--repeats", "3"),
}

# Ways that a good model is judged in as well.
GOOD = [
    *("plain", "no xdist", "-n 2 --dist loadscope", "--dist each", "randomly", "rerunfailures", "repeat", "-W error"),
    *("PYTHONOPTIMIZE", "another directory", "--repeats", "-k", "one sample, every sample"),
]


def scenarios(category: str, stem: str, count: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"{stem}-{i}",
            "category": category,
            "prompt": f"Question {i} of {stem}?",
            "expect": {"calls": []},
            "example": "That is a good question.",
        }
        for i in range(1, count + 1)
    ]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    lines = [*scenarios("thinking_leak", "leak", 4), *scenarios("restraint", "quiet", 4)]
    (folder / "ways.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "ways.toml").write_text(PROFILE)
    return folder / "ways.toml"


Done = tuple[subprocess.CompletedProcess[str], ...]


def called(runs: tuple[tuple[str, ...], ...], way: Way, url: str, profile: Path, folder: Path) -> Done:
    """Pytest, called in this way."""
    where = ["--rootdir", str(ROOT), "-c", str(ROOT / "pytest.ini")] if way.cwd != ROOT else []
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return tuple(
        subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-o", f"cache_dir={folder / 'cache'}", *where),
                *("--base-url", url, "--profile", str(profile), "--run-dir", str(folder / str(number)), *arguments),
            ],
            cwd=way.cwd,
            env={**os.environ, "PYTHONPATH": path, "COVERAGE_FILE": str(folder / "coverage"), **way.env},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        for number, arguments in enumerate(runs)
    )


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, profile: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, bool], Done]]:
    """What a way came to, on the good model or on the bad one; two are called at a time, ahead of their tests."""
    folder = tmp_path_factory.mktemp("runs")
    known = load(profile)
    items = [item for item in request.session.items if item.path == request.path and isinstance(item, pytest.Function)]
    wanted = [(str(item.callspec.params["name"]), item.originalname.startswith("test_a_good")) for item in items]
    with (
        FaultServer(known, "leak-lone-close") as bad,
        FaultServer(known) as good,
        ThreadPoolExecutor(2) as pool,
    ):

        def call(name: str, is_good: bool, place: Path) -> Done:
            way = WAYS[name]
            return called(way.runs[:1] if is_good else way.runs, way, good if is_good else bad, profile, place)

        running: dict[tuple[str, bool], Future[Done]] = {
            each: pool.submit(call, *each, folder / str(number)) for number, each in enumerate(wanted)
        }
        yield lambda name, is_good: running[name, is_good].result()


@pytest.mark.parametrize("name", list(WAYS))
def test_a_bad_model_never_leaves_with_status_0(name: str, outcomes: Callable[[str, bool], Done]) -> None:
    for done in outcomes(name, False):
        assert done.returncode in (1, 2), done.stdout + done.stderr  # 2: pytest stopped at the first failure
        assert "release gate" in done.stdout, "the gate ran, and said no"


@pytest.mark.parametrize("name", GOOD)
def test_a_good_model_passes_unless_a_part_was_selected(name: str, outcomes: Callable[[str, bool], Done]) -> None:
    (done,) = outcomes(name, True)
    assert done.returncode == (1 if WAYS[name].part else 0), done.stdout + done.stderr
    assert ("INCONCLUSIVE" in done.stdout) == WAYS[name].part

"""End to end: every planted fault fails exactly its gate, broken transport is an ERROR, a correct server passes.

Each test judges profile `annie` against a server that plays the profile's good examples with one fault
(tests/servers/faults). A run is made in this process; one fault of each gate is also judged by pytest as users run it.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import builtin_names, load
from annie_eval.profile.types import Profile
from annie_eval.run.directory import RunOptions
from annie_eval.run.lifecycle import Run
from annie_eval.serving import TargetSpec
from tests.servers import faults
from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS
from tests.support.profiles import text_of

ROOT = Path(__file__).resolve().parents[2]
CLEAN = "clean"
PATIENCE = 1.5  # seconds; the profile's own time limit would make the faults that stall slow to test


@dataclass(frozen=True)
class Outcome:
    """What one run of the gate came to."""

    verdict: dict[str, Any]
    received: int

    @property
    def red(self) -> set[str]:
        return {gate["name"] for gate in self.verdict["gates"] if gate["verdict"] == "FAIL"}

    def gate(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(gate for gate in self.verdict["gates"] if gate["name"] == name)
        return found


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load("annie")


@pytest.fixture(scope="module")
def impatient(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same profile with a short time limit for a request."""
    text = text_of(profile.name)
    text = re.sub(r"(?m)^request_timeout = .*\n", "", text)
    limit = f"[traffic]\nrequest_timeout = {PATIENCE}\n"
    text = text.replace("[traffic]\n", limit) if "[traffic]\n" in text else f"{text}\n{limit}"
    path = tmp_path_factory.mktemp("impatient") / "annie.toml"
    path.write_text(text)
    return path


def judge(name: str, profile: Profile, impatient: Path, run_dir: Path) -> Outcome:
    """One run, in this process: what pytest does of it, without pytest."""
    fault = FAULTS.get(name)
    which = load(str(impatient)) if fault is not None and fault.patient else profile
    selected = {
        gate.name: [key for scenario in which.gate_scenarios(gate) for key in scenario.sample_keys()]
        for gate in which.gates.values()
    }
    server = FaultServer(profile, None if fault is None else name)
    with server as url, contextlib.closing(Run(which, TargetSpec(base_url=url), options(run_dir))) as run:
        run.open(lambda line: None)
        run.store.select(selected, [], list(dict.fromkeys(key for keys in selected.values() for key in keys)))
        run.start()
        end = time.monotonic() + 120
        while any(run.store.open_judgements(gate) for gate in selected) and time.monotonic() < end:
            time.sleep(0.02)
        run.finish()
    return Outcome(json.loads((run_dir / "verdict.json").read_text()), server.received)


def options(run_dir: Path) -> RunOptions:
    return RunOptions(runs_root=run_dir.parent, run_dir=run_dir)


def judge_by_pytest(name: str, profile: Profile, run_dir: Path) -> tuple[int, dict[str, Any], str]:
    """The gate as its users run it. Returns the exit status, the verdict and what was printed."""
    with FaultServer(profile, None if name == CLEAN else name) as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/behavior"),
                *("--base-url", url, "--profile", profile.name, "--run-dir", str(run_dir)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    return done.returncode, json.loads((run_dir / "verdict.json").read_text()), done.stdout + done.stderr


@pytest.fixture(scope="module")
def judged(profile: Profile, impatient: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """The outcome of a run under a fault."""
    folder = tmp_path_factory.mktemp("runs")
    return cache(lambda name: judge(name, profile, impatient, folder / name))


def named(expected: Callable[[frozenset[str] | str], bool]) -> list[str]:
    return [fault.name for fault in FAULTS.values() if expected(fault.expect)]


@pytest.mark.parametrize("name", [CLEAN])
def test_clean_server_passes_every_gate(name: str, judged: Callable[[str], Outcome], profile: Profile) -> None:
    result = judged(name)
    assert result.verdict["verdict"] == "PASS"
    assert {gate["name"]: gate["verdict"] for gate in result.verdict["gates"]} == dict.fromkeys(profile.gates, "PASS")
    assert result.verdict["errors"] == []
    # Not one sample needed its gate's tolerance.
    assert all(gate["passed"] == gate["n"] for gate in result.verdict["gates"])


def first_of_each() -> list[str]:
    """A fault of each gate, one that is an ERROR and one that passes."""
    found: dict[str, str] = {}
    for name, fault in FAULTS.items():
        if not fault.patient:
            found.setdefault(fault.expect if isinstance(fault.expect, str) else " ".join(sorted(fault.expect)), name)
    return list(found.values())


@pytest.mark.parametrize("name", [CLEAN, *first_of_each()])
def test_pytest_comes_to_the_same_verdict(
    name: str, profile: Profile, judged: Callable[[str], Outcome], tmp_path: Path
) -> None:
    status, verdict, output = judge_by_pytest(name, profile, tmp_path / "run")
    here = judged(name)
    assert (verdict["verdict"], status) == (here.verdict["verdict"], 0 if here.verdict["verdict"] == "PASS" else 1)
    counts = [{gate["name"]: (gate["passed"], gate["n"]) for gate in one["gates"]} for one in (verdict, here.verdict)]
    assert counts[0] == counts[1], output
    assert "Traceback" not in output


@pytest.mark.parametrize("shipped", [name for name in builtin_names() if name != "annie"])
def test_every_shipped_profile_is_passed_by_its_own_examples(shipped: str, tmp_path: Path) -> None:
    result = judge(CLEAN, load(shipped), Path(), tmp_path / "run")
    assert result.verdict["verdict"] == "PASS"
    assert all(gate["passed"] == gate["n"] for gate in result.verdict["gates"])


@pytest.mark.parametrize("name", named(lambda expect: not isinstance(expect, str)))
def test_fault_turns_exactly_its_gate_red(name: str, judged: Callable[[str], Outcome]) -> None:
    result = judged(name)
    assert sorted(result.red) == sorted(FAULTS[name].expect)
    assert result.verdict["verdict"] == "FAIL"
    assert result.verdict["errors"] == []
    for gate in result.red:
        findings = result.gate(gate)["findings"]
        assert findings
        assert all(finding["reason"] and finding["sample"] and finding["detector"] for finding in findings)


@pytest.mark.parametrize("name", named(lambda expect: expect == "ERROR"))
def test_broken_transport_is_an_error_and_nobodys_miss(name: str, judged: Callable[[str], Outcome]) -> None:
    result = judged(name)
    assert result.verdict["verdict"] == "ERROR"
    assert result.red == set()
    assert result.verdict["errors"]
    assert all(error["cause"] and "\n" not in error["cause"] for error in result.verdict["errors"])
    assert not any("Traceback" in error["cause"] for error in result.verdict["errors"])


@pytest.mark.parametrize("name", named(lambda expect: expect == "PASS"))
def test_trouble_that_passes_is_survived_and_counted(name: str, judged: Callable[[str], Outcome]) -> None:
    result = judged(name)
    assert result.verdict["verdict"] == "PASS"
    if FAULTS[name].first:
        assert result.verdict["transport"]["resent"] > 0


def test_faults_cover_every_gate_and_have_names_of_their_own(profile: Profile) -> None:
    modules = (faults.leaks, faults.calls, faults.speech, faults.protocol, faults.transport)
    assert sum(len(module.FAULTS) for module in modules) == len(FAULTS)
    planted = {gate for fault in FAULTS.values() if not isinstance(fault.expect, str) for gate in fault.expect}
    assert planted == set(profile.gates)

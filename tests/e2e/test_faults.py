"""Every planted fault turns exactly its gate red, broken transport is an ERROR, and a clean server passes.

Each test runs the gate as its users do, as a pytest process of its own with profile `annie`, against a server that
plays the profile's good examples with one fault (tests/servers/faults).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import builtin_names, load
from annie_eval.profile.types import Profile
from tests.servers import faults
from tests.servers.fault_server import FaultServer
from tests.servers.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]
CLEAN = "clean"
PATIENCE = 1.5  # seconds; the profile's own time limit would make the faults that stall slow to test


@dataclass(frozen=True)
class Outcome:
    """What one run of the gate came to."""

    status: int
    verdict: dict[str, Any]
    output: str
    received: int

    @property
    def red(self) -> set[str]:
        """The gates on answers. That the server is to blame as well is in tests/e2e/test_server_state.py."""
        return {
            gate["name"]
            for gate in self.verdict["gates"]
            if gate["verdict"] == "FAIL" and gate["name"] != "server_state"
        }

    def gate(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(gate for gate in self.verdict["gates"] if gate["name"] == name)
        return found


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load("annie")


@pytest.fixture(scope="module")
def impatient(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same profile with a short time limit for a request."""
    text = profile.path.read_text()
    for file in re.findall(r'"([^"]+\.(?:jsonl|json))"', text):
        text = text.replace(f'"{file}"', json.dumps(str((profile.path.parent / file).resolve())))
    text = re.sub(r"(?m)^request_timeout = .*\n", "", text)
    limit = f"[traffic]\nrequest_timeout = {PATIENCE}\n"
    text = text.replace("[traffic]\n", limit) if "[traffic]\n" in text else f"{text}\n{limit}"
    path = tmp_path_factory.mktemp("impatient") / "annie.toml"
    path.write_text(text)
    return path


def judge(name: str, profile: Profile, impatient: Path, run_dir: Path) -> Outcome:
    fault = FAULTS.get(name)
    which = impatient if fault is not None and fault.patient else profile.name
    server = FaultServer(profile, None if fault is None else name)
    with server as url:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/behavior"),
                *("--base-url", url, "--profile", str(which), "--run-dir", str(run_dir)),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    written = run_dir / "verdict.json"
    assert written.exists(), done.stdout + done.stderr
    return Outcome(done.returncode, json.loads(written.read_text()), done.stdout + done.stderr, server.received)


@pytest.fixture(scope="module")
def outcome(
    request: pytest.FixtureRequest, profile: Profile, impatient: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Outcome]]:
    """The outcome of the gate under a fault. The next fault's gate is already running while one is looked at."""
    folder = tmp_path_factory.mktemp("runs")
    here = [item for item in request.session.items if item.path == request.path]
    queue = [str(item.callspec.params["name"]) for item in here if isinstance(item, pytest.Function) and _named(item)]
    running: dict[str, Future[Outcome]] = {}
    ahead = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2
    with ThreadPoolExecutor(ahead) as pool:

        def get(name: str) -> Outcome:
            at = queue.index(name)
            for each in queue[at : at + ahead]:
                if each not in running:
                    running[each] = pool.submit(judge, each, profile, impatient, folder / each)
            return running[name].result()

        yield get


def _named(item: pytest.Function) -> bool:
    return hasattr(item, "callspec") and "name" in item.callspec.params


def named(expected: Callable[[frozenset[str] | str], bool]) -> list[str]:
    return [fault.name for fault in FAULTS.values() if expected(fault.expect)]


@pytest.mark.parametrize("name", [CLEAN])
def test_clean_server_passes_every_gate(name: str, outcome: Callable[[str], Outcome], profile: Profile) -> None:
    result = outcome(name)
    assert (result.verdict["verdict"], result.status) == ("PASS", 0), result.output
    assert {gate["name"]: gate["verdict"] for gate in result.verdict["gates"]} == dict.fromkeys(profile.gates, "PASS")
    assert result.verdict["errors"] == []
    # Not one sample needed its gate's tolerance.
    assert all(gate["passed"] == gate["n"] for gate in result.verdict["gates"]), result.output


@pytest.mark.parametrize("shipped", [name for name in builtin_names() if name != "annie"])
def test_every_shipped_profile_is_passed_by_its_own_examples(shipped: str, tmp_path: Path) -> None:
    result = judge(CLEAN, load(shipped), Path(), tmp_path / "run")
    assert (result.verdict["verdict"], result.status) == ("PASS", 0), result.output
    assert all(gate["passed"] == gate["n"] for gate in result.verdict["gates"]), result.output


@pytest.mark.parametrize("name", named(lambda expect: not isinstance(expect, str)))
def test_fault_turns_exactly_its_gate_red(name: str, outcome: Callable[[str], Outcome]) -> None:
    result = outcome(name)
    assert sorted(result.red) == sorted(FAULTS[name].expect), result.output
    assert (result.verdict["verdict"], result.status) == ("FAIL", 1), result.output
    assert result.verdict["errors"] == []
    for gate in result.red:
        findings = result.gate(gate)["findings"]
        assert findings
        assert all(finding["reason"] and finding["sample"] and finding["detector"] for finding in findings)


@pytest.mark.parametrize("name", named(lambda expect: expect == "ERROR"))
def test_broken_transport_is_an_error_and_nobodys_miss(name: str, outcome: Callable[[str], Outcome]) -> None:
    result = outcome(name)
    assert (result.verdict["verdict"], result.status) == ("ERROR", 1), result.output
    assert result.red == set()
    assert result.verdict["errors"]
    assert all(error["cause"] and "\n" not in error["cause"] for error in result.verdict["errors"])
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", named(lambda expect: expect == "PASS"))
def test_trouble_that_passes_is_survived_and_counted(name: str, outcome: Callable[[str], Outcome]) -> None:
    result = outcome(name)
    assert (result.verdict["verdict"], result.status) == ("PASS", 0), result.output
    if FAULTS[name].first:
        assert result.verdict["transport"]["resent"] > 0


def test_faults_cover_every_gate_and_have_names_of_their_own(profile: Profile) -> None:
    modules = (faults.leaks, faults.calls, faults.speech, faults.protocol, faults.transport)
    assert sum(len(module.FAULTS) for module in modules) == len(FAULTS)
    planted = {gate for fault in FAULTS.values() if not isinstance(fault.expect, str) for gate in fault.expect}
    assert planted == set(profile.gates)

"""End to end: `pytest -m probe` against a server with a fault that no scenario triggers."""

from __future__ import annotations

import difflib
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from tests.servers.fault_server import FaultServer, Script
from tests.servers.faults.fault import Fault
from tests.servers.faults.reply import Ask, Call, Reply

ROOT = Path(__file__).resolve().parents[2]
MOST = 25  # characters of a prompt that is short
IMPORTED = """
import sys, pytest
status = pytest.main(sys.argv[1:])
print(int(status), [name for name in ("hypothesis.strategies", "syrupy", "annie_eval.probes") if name in sys.modules])
"""


def probe(url: str, folder: Path, run: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--base-url", url),
            *("--run-dir", str(folder / run), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def sent(run_dir: Path) -> list[str]:
    """Every prompt of a run, in the order in which it was answered."""
    with sqlite3.connect(f"file:{run_dir / 'run.sqlite'}?mode=ro", uri=True) as store:
        requests = store.execute("SELECT request FROM exchange ORDER BY rowid").fetchall()
    return [json.loads(request)["messages"][-1]["content"] for (request,) in requests]


def prompt_of(output: str) -> str:
    shown = re.search(r"^prompt \((\d+) characters\): ('.*'|\".*\")$", output, re.MULTILINE)
    assert shown, output
    return str(shown[2][1:-1])


@pytest.mark.parametrize("workers", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "xdist"])
def test_a_planted_weakness_is_found_shrunk_and_replayed_first(workers: list[str], tmp_path: Path) -> None:
    with FaultServer(load("annie"), "leak-two-questions") as url:
        done = probe(url, tmp_path, "first", "-m", "probe", "-k", "thinking or protocol", *workers)
        assert done.returncode == 1, done.stdout + done.stderr
        prompt = prompt_of(done.stdout)
        assert len(prompt) <= MOST
        assert prompt.count("?") == 2
        assert "thinking: fails 5 of 5 times" in done.stdout
        assert "<think>" in done.stdout  # the answer itself
        assert "wire: holds for 150 prompts" in done.stdout
        assert "the next run asks it first" in done.stdout

        again = probe(url, tmp_path, "second", "-m", "probe", "-k", "thinking", *workers)
        assert again.returncode == 1
        assert "replayed from an earlier run" in again.stdout
        assert sent(tmp_path / "second")[0] == prompt
        assert len(sent(tmp_path / "second")) < 15

    with FaultServer(load("annie")) as url:
        fixed = probe(url, tmp_path, "third", "-m", "probe", "-k", "thinking", *workers)
        assert fixed.returncode == 0, fixed.stdout + fixed.stderr
        assert sent(tmp_path / "third")[0] == prompt


def test_what_fails_at_times_is_named_flaky(tmp_path: Path) -> None:
    with FaultServer(load("annie"), "leak-sometimes") as url:
        done = probe(url, tmp_path, "run", "-m", "probe", "-k", "thinking")
    assert done.returncode == 1
    assert re.search(r"thinking: FLAKY, fails [1-4] of 5 times", done.stdout), done.stdout


def test_probes_are_off_unless_asked_for(tmp_path: Path) -> None:
    """Neither collected, nor sent, nor is hypothesis imported."""
    with FaultServer(load("annie"), "leak-two-questions") as url:
        for arguments in ([], ["-m", "not slow"], ["-m", "gate"], ["tests/behavior"]):
            done = probe(url, tmp_path, "none", "--collect-only", "-q", *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "probe" not in done.stdout
        for arguments in (["tests/behavior/test_probes.py"], ["tests/behavior/test_snapshots.py", "-m", "probe"]):
            done = probe(url, tmp_path, f"named-{len(arguments)}", *arguments)
            assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
            assert "error" not in done.stdout
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED, "--collect-only", "-q", "--base-url", url],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[-1] == "0 []", done.stdout + done.stderr


def test_a_budget_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    done = probe("http://127.0.0.1:9/v1", tmp_path, "run", "-m", "probe", "--probe-budget", "3")
    assert done.returncode == 4
    assert [line for line in done.stderr.splitlines() if line.strip()] == [
        "ERROR: --probe-budget 3: must be at least 20"
    ]


def test_a_server_that_breaks_is_an_error_and_no_weakness(tmp_path: Path) -> None:
    with FaultServer(load("annie")) as url:
        done = probe(
            url + "/nowhere", tmp_path, "run", "-m", "probe", "-k", "thinking", "--served-model", "annie-test"
        )
    assert done.returncode != 0
    assert "fails" not in done.stdout


class Listener(Script):
    """Understands what is meant: the scenario whose prompt is nearest to what was said."""

    def find(self, body: Mapping[str, Any]) -> Ask:
        found = super().find(body)
        texts = [str(m.get("content")) for m in body.get("messages") or [] if m.get("role") == "user"]
        if found.scenario is not None or not texts:
            return found
        prompts = {scenario.turns[0].user.casefold(): scenario for scenario in self._profile.scenarios}
        near = difflib.get_close_matches(texts[-1].casefold(), prompts, n=1, cutoff=0.3)
        after_tools = int(body["messages"][-1]["role"] == "tool")
        return Ask(body, prompts[near[0]], 0, after_tools) if near else found


def listening(fault: Fault | None) -> FaultServer:
    server = FaultServer(load("annie"))
    server.script, server.fault = Listener(load("annie")), fault
    return server


def _shouted(ask: Ask) -> bool:
    text = str(ask.body["messages"][-1].get("content"))
    return ask.body["messages"][-1]["role"] == "user" and text.isupper()


DEAF = Fault(
    "deaf-to-shouting",
    "no call where the prompt is in capitals",
    "PROBE",
    only=_shouted,
    reply=lambda reply, ask: replace(reply, calls=(), content="I cannot do that.", finish="stop"),
)


def test_noise_that_loses_a_call_is_found_with_the_edit_that_did_it(tmp_path: Path) -> None:
    with listening(None) as url:
        heard = probe(url, tmp_path, "clean", "-m", "probe", "-k", "noise")
    assert heard.returncode == 0, heard.stdout
    assert "same_call: holds for" in heard.stdout
    with listening(DEAF) as url:
        done = probe(url, tmp_path, "deaf", "-m", "probe", "-k", "noise")
        again = probe(url, tmp_path, "again", "-m", "probe", "-k", "noise")
    assert done.returncode == again.returncode == 1
    assert re.search(r"^scenario: \S+, changed by: upper case$", done.stdout, re.MULTILINE), done.stdout
    assert "no call of" in done.stdout
    assert "replayed from an earlier run" in again.stdout


def instance(schema: Mapping[str, Any]) -> Any:
    """A value that a generated schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: instance(inner) for name, inner in schema["properties"].items()}
        case "array":
            return [instance(schema["items"])]
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 1)
    return "2026-03-11T08:00" if "pattern" in schema else "something"


def _strings_for_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strings_for_lists(inner) for key, inner in value.items()}
    return json.dumps(value) if isinstance(value, list) else value


def caller(change: Callable[[Any], Any]) -> Fault:
    """Calls the tool that the prompt asks for, with what `change` makes of good arguments."""

    def reply(good: Reply, ask: Ask) -> Reply:
        name, schema = next(iter(ask.schemas.items()))
        call = Call("call-1", name, json.dumps(change(instance(schema))))
        return Reply(calls=(call,), finish="tool_calls")

    def asked(ask: Ask) -> bool:
        return str(ask.body["messages"][-1].get("content")).startswith("Please use ")

    return Fault("caller", "calls any tool", "PROBE", only=asked, reply=reply, strangers=True)


def test_a_call_that_breaks_a_generated_schema_is_found_and_shrunk_to_what_breaks_it(tmp_path: Path) -> None:
    with listening(caller(lambda arguments: arguments)) as url:
        good = probe(url, tmp_path, "good", "-m", "probe", "-k", "schema")
    assert good.returncode == 0, good.stdout
    assert "any_tool: holds for" in good.stdout
    with listening(caller(_strings_for_lists)) as url:
        bad = probe(url, tmp_path, "bad", "-m", "probe", "-k", "schema")
    assert bad.returncode == 1
    assert "break the schema" in bad.stdout
    offered = re.findall(r"^offered: (.*)$", bad.stdout, re.MULTILINE)
    assert len(offered) == 1, bad.stdout
    assert offered[0].count("'array'") == 1
    assert re.search(r"^prompt \(\d+ characters\): 'Please use \w+ with a \w+ of your choice.'$", bad.stdout, re.M)


MODEL = ROOT / "models" / "smollm2-135m-instruct-bf16"


@pytest.mark.slow
@pytest.mark.skipif(not MODEL.is_dir(), reason="the embedded model is not built: make model")
@pytest.mark.skipif(not (ROOT / ".venv-vllm").is_dir(), reason="the server's environment is not there: make server")
def test_probes_repeats_and_snapshots_on_a_real_server(tmp_path: Path) -> None:
    """One start of vLLM: the protocol holds for odd prompts, and a gate is asked until it is decided, and recorded."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--model-dir", str(MODEL)),
            *("--profile", "annie-smol", "-m", "probe or snapshot or gate", "-k", "restraint or protocol"),
            *("--until-decided", "--repeats", "3", "--probe-budget", "20", "--run-dir", str(tmp_path / "r")),
            *("--snapshot-dirname", str(tmp_path / "snapshots"), "--snapshot-update"),
        ],
        cwd=ROOT,
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "wire: holds for 10 prompts" in done.stdout, done.stdout
    verdict = json.loads((tmp_path / "r" / "verdict.json").read_text())
    assert verdict["errors"] == []
    restraint = next(gate for gate in verdict["gates"] if gate["name"] == "restraint")
    assert restraint["n"] == 10 * restraint["repeats"]["rounds"] > 10
    files = list((tmp_path / "snapshots").glob("annie-smol/smollm2-135m-instruct-bf16-*/*.json"))
    assert len(files) == 10

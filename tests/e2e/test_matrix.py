"""End to end: `annie-eval matrix` with a server whose behaviour depends on the system prompt."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval import serving
from annie_eval.cli import main
from annie_eval.profile.load import load
from annie_eval.serving import Target, TargetSpec
from tests.servers.fault_server import FaultServer
from tests.servers.faults.fault import Fault
from tests.servers.faults.reply import Ask, Reply

ROOT = Path(__file__).resolve().parents[2]
OWN_FAILS = "no_markdown"


def _shouts(reply: Reply, ask: Ask) -> Reply:
    return reply if reply.content is None or reply.calls else replace(reply, content=f"**{reply.content}**")


def _not_told(ask: Ask) -> bool:
    return "plain speech" not in ask.body["messages"][0]["content"]


BOLD_UNLESS_TOLD = Fault("bold", "bold unless told otherwise", "ERROR", where=OWN_FAILS, only=_not_told, reply=_shouts)


def matrix(url: str, prompts: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "annie_eval.cli", "matrix", "--base-url", url, "--system-prompts", str(prompts)]
    return subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def server(fault: Fault | None) -> FaultServer:
    made = FaultServer(load("annie"))
    if fault is not None:
        made.fault = fault
        made._prey = {scenario.id for scenario in load("annie").gate_scenarios(load("annie").gates[fault.where])}
    return made


def folder(path: Path, **prompts: str) -> Path:
    path.mkdir()
    for name, text in prompts.items():
        (path / f"{name}.txt").write_text(text)
    return path


def test_a_prompt_that_mends_a_fault_is_told_from_one_that_does_not(tmp_path: Path) -> None:
    prompts = folder(tmp_path / "p", firm="You are Annie. Use plain speech.", vague="You are Annie. Be nice.")
    out = tmp_path / "m"
    with (planted := server(BOLD_UNLESS_TOLD)) as url:
        done = matrix(url, prompts, "--run-dir", str(out))
        assert done.returncode == 0, done.stdout + done.stderr
        asked = planted.received
        again = matrix(url, prompts, "--run-dir", str(out), "--resume")
        assert again.returncode == 0, again.stdout + again.stderr
        assert planted.received == asked, "every answer is kept, and the process is known to be the same"
        assert again.stdout == done.stdout
    rows = {row["prompt"]: row for row in json.loads((out / "matrix.json").read_text())["rows"]}
    assert list(rows) == ["own", "firm", "vague"]
    assert rows["firm"]["verdict"] == "PASS"
    assert rows["own"]["verdict"] == rows["vague"]["verdict"] == "FAIL"
    assert rows["own"]["gates"][OWN_FAILS] == ["FAIL", 0, 15]
    assert rows["firm"]["gates"][OWN_FAILS] == ["PASS", 15, 15]
    assert (rows["firm"]["better"], rows["firm"]["worse"]) == (15, 0)
    assert rows["firm"]["p"] == pytest.approx(2 * 0.5**15)  # two prompts, by Holm
    assert (rows["vague"]["better"], rows["vague"]["worse"], rows["vague"]["p"]) == (0, 0, 1.0)
    assert "0/15 FAIL" in done.stdout
    shown = subprocess.run(
        [sys.executable, "-m", "annie_eval.cli", "show", str(out / "firm")], capture_output=True, text=True, check=True
    )
    assert "verdict: PASS" in shown.stdout


def test_no_prompt_that_passes_is_status_one(tmp_path: Path) -> None:
    with server(BOLD_UNLESS_TOLD) as url:
        done = matrix(url, folder(tmp_path / "p", vague="Be nice."), "--run-dir", str(tmp_path / "m"))
    assert done.returncode == 1, done.stdout + done.stderr


def test_a_server_that_breaks_is_an_error_and_no_reason_to_prefer_a_prompt(tmp_path: Path) -> None:
    with FaultServer(load("annie"), "http-500") as url:
        done = matrix(url, folder(tmp_path / "p", firm="plain speech"), "--run-dir", str(tmp_path / "m"), "--json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)["rows"]
    assert {row["verdict"] for row in rows} == {"ERROR"}
    assert rows[1]["p"] == 1.0


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        (None, [], "no such directory; name one that holds a .txt file"),
        ({}, [], "holds no .txt or .md file"),
        ({"a.txt": b" \n"}, [], "a.txt: empty"),
        ({"a.txt": b"\xff\xfe"}, [], "a.txt: byte 0 is not UTF-8"),
        ({"a.txt": b"x", "a.md": b"y"}, [], "a second prompt called a"),
        ({"own.txt": b"x"}, [], "the profile's own prompt goes by this name"),
        ({"matrix.json.txt": b"x"}, [], "the table of all prompts goes by this name"),
        ({"...txt": b"x"}, [], "holds no .txt or .md file"),
        ({"a.txt": b"x"}, ["--run-dir", str(Path(__file__) / "m")], "cannot be made (Not a directory)"),
        ({"a.txt": b"x" * 70000}, [], "70000 characters"),
        ({"a.txt": b"x"}, ["--resume"], "--resume needs --run-dir"),
        ({"a.txt": b"x"}, ["--concurrency", "0"], "--concurrency 0: must be at least 1"),
        ({"a.txt": b"x"}, ["--profile", "nobody"], "nobody"),
        ({"a.txt": b"x"}, ["--run-dir", str(ROOT)], "not empty; add --resume"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    files: dict[str, bytes] | None, arguments: list[str], message: str, tmp_path: Path
) -> None:
    if files is not None:
        (tmp_path / "p").mkdir()
        for name, content in files.items():
            (tmp_path / "p" / name).write_bytes(content)
    with server(None) as url:
        done = matrix(url, tmp_path / "p", *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr


def test_a_checkpoint_is_resumed_on_a_server_that_was_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has another port then, and the answers of the first one are kept."""
    prompts = folder(tmp_path / "p", firm="plain speech")
    connect = serving.open_target
    monkeypatch.setattr(serving, "check", lambda spec, profile: None)
    arguments = ["matrix", "--model-dir", str(tmp_path), "--system-prompts", str(prompts), "--run-dir"]
    for more in ([], ["--resume"]):
        with (planted := server(None)) as url:

            def start(spec: TargetSpec, *others: Any, there: str = url) -> Target:
                return connect(spec if spec.base_url else replace(spec, model_dir=None, base_url=there), *others)

            monkeypatch.setattr(serving, "open_target", start)
            assert main.main([*arguments, str(tmp_path / "m"), *more]) == 0, capsys.readouterr().err
    assert planted.received == 0

"""`annie-eval check` judges answers in a file exactly like the gates judge those of a server."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli import main

CALL = {"id": "c1", "type": "function", "function": {"name": "web_search", "arguments": '{"query": "weather Oslo"}'}}
WANTED = {"calls": [{"name": "web_search", "arguments": {"query": {"contains": "Oslo"}}}]}


def _asked(*replies: dict[str, Any], **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "How is it in Oslo?"}]
    return {"messages": messages + [{"role": "assistant", **reply} for reply in replies], **more}


def _check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *lines: Any, words: tuple[str, ...] = ()
) -> tuple[int, list[dict[str, Any]], str]:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    status = main.main(["check", "--profile", "annie-smol", *words])
    output = capsys.readouterr()
    return status, [json.loads(line) for line in output.out.splitlines()], output.err


CLEAN: dict[str, dict[str, Any]] = {
    "speech": _asked({"content": "It is cold in Oslo today."}),
    "the wanted call": _asked({"content": "", "tool_calls": [CALL]}, expect=WANTED),
    "a call, its result and the answer": {
        "messages": [
            {"role": "user", "content": "How is it in Oslo?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": "Cold."},
            {"role": "assistant", "content": "It is cold."},
        ],
        "expect": WANTED,
    },
    "a thought that was asked for": _asked({"content": "Hello.", "reasoning_content": "A greeting."}, thinking="on"),
    "talk about tags": _asked({"content": "A think tag marks a thought."}, expect={"topic": ["tags"]}),
    "cut on purpose": _asked({"content": "It is"}, expect={"truncated": True}, finish_reasons=["length"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_a_good_answer_has_no_finding(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, error = _check(monkeypatch, capsys, CLEAN[name] | {"id": name})
    assert (status, out, error) == (0, [{"id": name, "findings": []}], "")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "markdown": (_asked({"content": "It is **cold**."}), "markdown"),
    "a leak": (_asked({"content": "Hm.</think>It is cold."}), "thinking"),
    "a thought that was not asked for": (_asked({"content": "Hello.", "reasoning": "A greeting."}), "thinking"),
    "no call": (_asked({"content": "It is cold."}, expect=WANTED), "tool_calls"),
    "another query": (
        _asked({"tool_calls": [CALL]}, expect={"calls": [{"name": "web_search", "arguments": {"query": "Rome"}}]}),
        "tool_calls"),
    "a call where none is wanted": (_asked({"tool_calls": [CALL]}, expect={"calls": []}), "restraint"),
    "a second call": (
        {"messages": [*CLEAN["a call, its result and the answer"]["messages"][:3],
                      {"role": "assistant", "tool_calls": [CALL | {"id": "c2"}]}], "expect": WANTED},
        "restraint"),
    "four sentences": (_asked({"content": "It is cold. Very. Take a coat. Bye."}), "brevity"),
    "cut off": (_asked({"content": "It is cold."}, finish_reasons=["length"]), "brevity"),
    "silence": (_asked({"content": None}), "silence"),
    "a loop": (_asked({"content": "cold " * 60 + "."}), "degeneration"),
    "the wrong answer": (_asked({"content": "It is warm."}, expect={"answer": {"any_of": ["cold"]}}), "knowledge"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_by_its_detector(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line, detector = FAULTS[name]
    status, (clean, out), _ = _check(monkeypatch, capsys, CLEAN["speech"], line)
    assert status == 1
    assert clean["findings"] == []
    assert detector in {finding["detector"] for finding in out["findings"]}
    assert out["id"] == "2"
    assert all(line["messages"][finding["message"]]["role"] == "assistant" for finding in out["findings"])


def test_only_the_chosen_detectors_look(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    line = FAULTS["markdown"][0]
    assert _check(monkeypatch, capsys, line, words=("--detectors", "thinking, silence"))[0] == 0
    assert _check(monkeypatch, capsys, line, words=("--detectors", "markdown"))[0] == 1


MISTAKES: dict[str, tuple[tuple[Any, ...], tuple[str, ...], str]] = {
    "nothing": ((), (), "standard input: is empty"),
    "not JSON": (("{",), (), "standard input:1: not JSON"),
    "a list": (([],), (), "is a JSON list"),
    "no messages": (({"id": "x"},), (), "messages is no list"),
    "nothing to judge": (({"messages": [{"role": "user", "content": "Hi"}]},), (), "nothing to judge"),
    "an unknown key": ((CLEAN["speech"] | {"expected": {}},), (), "expected is an unknown key"),
    "an unknown expectation": ((CLEAN["speech"] | {"expect": {"call": []}},), (), "expect.call is an unknown key"),
    "an unknown tool": ((CLEAN["speech"] | {"expect": {"calls": [{"name": "seek"}]}},), (), "seek"),
    "another thinking": ((CLEAN["speech"] | {"thinking": "loud"},), (), "thinking is 'loud'"),
    "too many reasons": ((CLEAN["speech"] | {"finish_reasons": ["stop", "stop"]},), (), "finish_reasons"),
    "content of parts": ((_asked({"content": [1]}),), (), "must be text or null"),
    "wire": ((CLEAN["speech"],), ("--detectors", "wire"), "needs the bytes"),
    "no such detector": ((CLEAN["speech"],), ("--detectors", "spelling"), "spelling does not exist"),
    "no detector": ((CLEAN["speech"],), ("--detectors", ","), "names none"),
    "no such file": ((), ("nowhere.jsonl",), "No such file"),
    "no such profile": ((), ("--profile", "nobody"), "nobody"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_bad_input_is_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines, words, told = MISTAKES[name]
    monkeypatch.chdir(tmp_path)
    status, _, error = _check(monkeypatch, capsys, *lines, words=words)
    assert status == 2
    assert told in error
    assert error.count("\n") == 1


def test_help_says_what_a_line_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["check", "--help"])
    output = capsys.readouterr().out
    assert all(field in output for field in ("messages", "thinking", "expect", "then", "finish_reasons", "findings"))

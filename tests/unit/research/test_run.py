"""An interrupted study continues, and failed steps are tried again."""

from __future__ import annotations

import json
import signal
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from research.annie_smol.study import plan, run

ONE = plan.Candidate("one", "a candidate", start="")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> run.Study:
    monkeypatch.setattr(plan, "CANDIDATES", [ONE])
    numbers = {"gpus": 0, "servers": 1, "samples": 1, "seed": 1}
    return run.Study(
        Namespace(base=tmp_path, work=tmp_path / "work", results=tmp_path / "results", only=["*"], **numbers)
    )


def test_what_was_interrupted_is_no_result(study: run.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the commands, too, with what they have by then."""

    def half(one: plan.Candidate, place: int, result: dict[str, Any]) -> bool:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert study._stopped.wait(10)
        result["refused"] = "KeyboardInterrupt"
        return False

    monkeypatch.setattr(study, "_make", half)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
    try:
        assert study.run() == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(study.results.iterdir())
    with pytest.raises(RuntimeError, match="was not started"):
        study._run("next", ["true"], None)


def test_what_broke_is_tried_again_and_what_was_refused_is_not(
    study: run.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = study.results / "one.json"
    file.write_text(json.dumps({"name": "one", "about": "", "group": "", "broke": "RuntimeError: no GPU"}))
    made = []

    def refuse(one: plan.Candidate, place: int, result: dict[str, Any]) -> bool:
        made.append(one.name)
        result["refused"] = "no"
        return False

    monkeypatch.setattr(study, "_make", refuse)
    assert study.run() == study.run() == 0
    assert made == ["one"]
    assert "broke" not in json.loads(file.read_text())


def test_a_result_is_there_before_its_matrix_which_alone_is_done_again(
    study: run.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix takes as long as everything before it; a lost hour of it must not take the verdict along."""
    one = plan.Candidate("one", "a candidate", start="", matrix=True)
    monkeypatch.setattr(plan, "CANDIDATES", [one])
    file, judged = study.results / "one.json", []

    def judge(one: plan.Candidate, place: int) -> dict[str, Any]:
        judged.append(one.name)
        return {"gates": {}, "verdict": "PASS", "judging_seconds": 1.0}

    def cut_off(one: plan.Candidate, place: int) -> Any:
        study._stopped.set()
        raise RuntimeError("was not started")

    monkeypatch.setattr(study, "_make", lambda *_: True)
    monkeypatch.setattr(study, "_judge", judge)
    monkeypatch.setattr(study, "_matrix", cut_off)
    study.run()
    assert "matrix" not in json.loads(file.read_text())
    study._stopped.clear()
    monkeypatch.setattr(study, "_matrix", lambda *_: [{"prompt": "its own"}])
    assert study.run() == study.run() == 0
    found = json.loads(file.read_text())
    assert (found["verdict"], found["matrix"], judged) == ("PASS", [{"prompt": "its own"}], ["one"])

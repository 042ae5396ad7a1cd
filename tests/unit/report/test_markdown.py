"""The Markdown report has the content of the terminal report, and answers cannot inject links or HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annie_eval.cli.main import main
from annie_eval.gates.decide import RunVerdict
from annie_eval.report import markdown


def test_it_has_the_verdict_first_and_a_row_for_each_gate(failed: RunVerdict) -> None:
    text = markdown.page(failed)
    assert text.startswith("## FAIL \\(1 of 7 gates failed: no\\_markdown 7/15, needs 12\\)")
    for gate in failed.gates:
        name = gate.name.replace("_", "\\_")
        assert f"| {name} | {gate.verdict} | {gate.passed}/{gate.n} | " in text


def test_hostile_text_is_inert(failed: RunVerdict) -> None:
    text = markdown.page(failed)
    assert not re.search(r"(?<!\\)<", text)
    assert all(line.isprintable() for line in text.splitlines())


def test_the_command_prints_it(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(run_dir), "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("## FAIL")

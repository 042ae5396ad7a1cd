"""A run that an earlier version stored is listed, shown, reported, blessed and compared."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from annie_eval.cli.main import main

STORED = Path(__file__).with_name("stored")


@pytest.fixture(params=sorted(path.stem for path in STORED.glob("*.sql")))
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run in `runs/a` of the current directory."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "runs" / "a"
    directory.mkdir(parents=True)
    connection = sqlite3.connect(directory / "run.sqlite")
    connection.executescript((STORED / f"{request.param}.sql").read_text("utf-8"))
    connection.close()
    shutil.copy(STORED / f"{request.param}.verdict.json", directory / "verdict.json")
    return directory


def test_it_is_listed_and_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert "concierge" in listed
    assert "PASS" in listed
    assert main(["show", "a"]) == 0
    assert "verdict: PASS (all 3 gates hold)" in capsys.readouterr().out


def test_one_exchange_is_shown_whole(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = sqlite3.connect(run / "run.sqlite").execute("SELECT key FROM sample ORDER BY key").fetchone()[0]
    assert main(["show", "a", key]) == 0
    shown = capsys.readouterr().out
    assert "user" in shown


def test_it_is_reported(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a", "--html", "a.html", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "PASS"
    assert "<html" in Path("a.html").read_text("utf-8")


def test_it_is_blessed_and_compared(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bless", "a", "--as", "deployed"]) == 0
    shutil.copytree(run, run.with_name("b"))
    capsys.readouterr()
    assert main(["compare", "b", "deployed"]) == 0
    assert 'PASS against "deployed"' in capsys.readouterr().out

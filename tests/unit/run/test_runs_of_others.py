"""A run directory that somebody else wrote is read as data: what is odd in it is one short line, status 2."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from tests.support.finished_run import make_run

SAMPLE = "s-00.unstreamed.off"
DEEP = '{"a":' * 300 + "1" + "}" * 300
ROWS = (
    ("exchange", "request", "[1]"), ("exchange", "request", DEEP), ("exchange", "status", "x"),
    ("exchange", "headers", "7"), ("exchange", "reads", "[[1]]"), ("exchange", "body", 5), ("exchange", "turn", "x"),
    ("judgement", "findings", "[" * 5000), ("judgement", "findings", '[{"detector": 1}]'),
    ("judgement", "error", b"x"),
    ("judgement", "findings", "9" * 5000), ("sample", "finished", "x"), ("sample", "finished", 1e308),
    ("meta", "value", "{"), ("wanted", "ask", "x"), ("timing", "value", "[]"),
)  # fmt: skip
STRANGERS = (
    "DROP TABLE judgement",
    "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM meta; END",
    "DROP TABLE sample; CREATE VIEW sample AS WITH RECURSIVE r(key, error, finished) AS"
    " (SELECT 'a', NULL, 1.0 UNION ALL SELECT key, error, finished FROM r) SELECT * FROM r",
)


def sparse(path: Path) -> None:
    path.write_bytes(b'{"a": "')
    os.truncate(path, 3 << 30)


FILES: dict[str, Callable[[Path], Any]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "directory": Path.mkdir,
    "3 GB": sparse,
    "brackets": lambda path: path.write_bytes(b"[" * 200_000),
    "deep": lambda path: path.write_text(DEEP),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 40),
    "numbers": lambda path: path.write_text(
        '{"event": "measurement", "source": "short", "ttft_ms": 1e999, "rate": ' + "9" * 4000 + "}\n"
    ),
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [{"event": "measurement", "source": "short", "ttft_ms": 90.0 + i, "error": None} for i in range(15)]
    run = make_run(tmp_path, "odd", {"s-00": False, "s-01": True}, measurements=rows)
    make_run(tmp_path, "other", {"s-00": True, "s-01": True})
    return run


def every_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command that reads a run ends with a status of its own, and says at most one line of what is wrong."""
    other = run.parent / "other"
    for command in (
        ["show", run], ["show", run, SAMPLE], ["report", run, "--markdown"], ["report", run, "--json"],
        ["report", run, "--html", run.parent / "page.html"], ["compare", run, other], ["compare", other, run],
        ["bless", run, "--as", "odd", "--baselines", run.parent / "baselines"], ["runs", run.parent],
        ["history", run.parent, "--plot", run.parent / "history.svg"],
    ):  # fmt: skip
        status = main([str(word) for word in command])
        out, err = capsys.readouterr()
        assert status in (0, 1, 2, 4), command
        assert len(err.splitlines()) == (status == 2) or command[0] == "runs", err
        assert all(line.isprintable() and len(line) <= 2100 for line in err.splitlines())
        assert all(line.isprintable() for line in out.splitlines())


@pytest.mark.parametrize(("table", "column", "value"), ROWS)
def test_a_row_that_no_version_of_ours_wrote(
    table: str, column: str, value: Any, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(run / "run.sqlite") as base:
        base.execute("INSERT INTO timing (kind, value) VALUES ('row', '{}')")
        base.execute(f"UPDATE {table} SET {column} = ?", (value,))
    base.close()
    every_command(run, capsys)


@pytest.mark.parametrize("sql", STRANGERS)
def test_tables_that_are_none_of_a_run(sql: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = sqlite3.connect(run / "run.sqlite")
    base.executescript(sql)
    base.close()
    assert main(["show", str(run), SAMPLE]) == 2
    assert "not a run" in capsys.readouterr().err
    every_command(run, capsys)


@pytest.mark.parametrize("name", ["verdict.json", "run.sqlite", "timing.jsonl", "nightly.json", "failed"])
@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_anything(name: str, what: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / name).unlink(missing_ok=True)
    FILES[what](run / name)
    every_command(run, capsys)


@pytest.mark.parametrize("value", [DEEP, '{"format": 1}', "[]", json.dumps({"verdict": "\x1b]52;c;x\x07"})])
def test_a_verdict_that_says_anything(value: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "verdict.json").write_text(value)
    every_command(run, capsys)


@pytest.mark.parametrize("name", ["x" * 5000, "x/" * 3000, "\x1b]52;c;x\x07", "\udcff", "/dev/zero"])
def test_a_name_that_no_file_can_have_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["show", name], ["report", name, "--json"], ["runs", name], ["history", name], ["gates", name]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert len(err) <= 2100
        assert err.rstrip("\n").isprintable()

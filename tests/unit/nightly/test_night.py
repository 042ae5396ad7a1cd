"""A night before and after its gate: lock, disk space, names, and the paragraph. The gate itself is in tests/e2e."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.nightly import night
from annie_eval.nightly.paragraph import paragraph
from annie_eval.profile.diff import snapshot
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.regression import baseline as baselines
from annie_eval.run.store import Store
from tests.support import finished_run


def test_the_lock_is_held_by_one_and_says_by_whom(tmp_path: Path) -> None:
    with night._locked(tmp_path), pytest.raises(UsageError, match=rf"active \(pid {os.getpid()}, since "):
        night._locked(tmp_path).__enter__()
    with night._locked(tmp_path):
        pass  # given back


def test_the_lock_lives_on_in_a_gate_whose_night_was_killed(tmp_path: Path) -> None:
    with night._locked(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])
    try:
        with (tmp_path / ".lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.communicate(b"\n", timeout=30)
    with night._locked(tmp_path):
        pass


def test_the_timing_of_a_night_says_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    said: list[str] = []
    monkeypatch.setattr(night.time, "monotonic", lambda: clock[0])
    tell = night._timing_lines(said.append)
    for second in range(0, 50, 5):
        clock[0] = float(second)
        tell({"event": "measurement"})
        tell({"event": "progress", "pending": ["ttft_short", "decode"], "requests": second})
    tell({"event": "row", "name": "ttft_short", "n": 9})
    tell({"event": "progress", "pending": [], "requests": 50})
    assert said == [
        "timing: ttft_short, decode: 0 measurements so far",
        "timing: ttft_short, decode: 20 measurements so far",
        "timing: ttft_short, decode: 40 measurements so far",
        "timing: ttft_short measured, n 9",
    ]


def test_a_night_that_would_not_fit_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"x" * 1000)
    blessed: Any = SimpleNamespace(run_data=SimpleNamespace(dir=tmp_path))
    night._check_room(tmp_path, blessed)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2_000_000))
    with pytest.raises(OSError, match=r"the disk is full: 2\.0 MB are free and a night may need 17 MB"):
        night._check_room(tmp_path, blessed)


def test_nights_that_never_ended_are_said_once(tmp_path: Path) -> None:
    """Switched off while it asked, and after its gate; what a finished night has said before is not said again."""
    whole = {"verdict": "PASS", "started": "2026-11-01T03:00:00+00:00", "gates": [], "timings": [], "errors": []}

    def made(name: str, *, verdict: bool, note: bool) -> None:
        (tmp_path / name).mkdir()
        if verdict:
            (tmp_path / name / "verdict.json").write_text(json.dumps({**whole, "fingerprint": {}}))
        if note:
            (tmp_path / name / "night.json").write_text(json.dumps({"verdict": "PASS", "timings": {}, "cause": ""}))

    made("000001-x", verdict=False, note=False)
    made("000002-x", verdict=True, note=True)
    made("000003-x", verdict=True, note=False)
    made("000004-x", verdict=False, note=False)
    made("copied-by-hand", verdict=True, note=False)
    assert night._cut_off(tmp_path) == [
        "000003-x was cut off after its gate, before the comparison: its counts are kept",
        "000004-x is left out: half-written: no verdict.json and no run.sqlite",
    ]
    made("000005-x", verdict=True, note=True)
    assert night._cut_off(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base-url", "http://127.0.0.1:1", "--baseline", "no-such"], "no such baseline"),
        (["--baseline", "x"], "--base-url"),
        (["--base-url", "http://127.0.0.1:1"], "--baseline"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_status_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(["nightly", *arguments, "--history", str(tmp_path / "h")])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "h").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"base_urls": ("notaurl",)}, "not a URL of a server"),
        ({"concurrency": 0}, "must be at least 1"),
        ({"api_key_env": "ANNIE_NO_SUCH_KEY"}, "unset or empty"),
        ({"hardware": "abacus"}, "--hardware abacus: unknown"),
    ],
)
def test_a_mistake_of_the_caller_is_no_night(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "base_urls": ("http://127.0.0.1:1",),
        "baseline": "d",
        "history": tmp_path,
        "runs": tmp_path,
    }
    with pytest.raises(UsageError, match=message):
        night._check(night.Options(**{**given, **more}), load("annie"))
    night._check(night.Options(**given), load("annie"))


@pytest.fixture
def blessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The baseline `d` with the profile annie, in a directory whose pyproject.toml names another profile."""
    monkeypatch.chdir(tmp_path)
    finished_run.make_run(tmp_path, "old", {"s-01": True}, snapshot=snapshot(load("annie")))
    baselines.bless(tmp_path / "old", "d", tmp_path / "runs" / baselines.DIR)
    (tmp_path / "pyproject.toml").write_text('[tool.annie-eval]\nprofile = "annie-smol"\n')


ASKED = ["nightly", "--base-url", "http://127.0.0.1:1", "--baseline", "d"]


@pytest.mark.usefixtures("blessed")
def test_the_baselines_profile_counts_not_that_of_pyproject(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Profile] = []

    def begun(options: object, blessed: object, profile: Profile, lock: object) -> night.Result:
        asked.append(profile)
        return result(verdict=RunVerdict("PASS"))

    monkeypatch.setattr(night, "_night", begun)
    assert main(ASKED) == 0
    assert [profile.name for profile in asked] == ["annie"]


@pytest.mark.usefixtures("blessed")
def test_a_profile_that_cannot_be_compared_is_no_night(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*ASKED, "--profile", "annie-smol"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "--baseline d: REFUSED, nothing to compare: profile annie is now annie-smol; " in printed.err
    assert "the system prompt changed" in printed.err
    assert not Path("runs/history").exists()


def result(**more: Any) -> night.Result:
    return night.Result("000007-x", Path("/h/000007-x"), **{"verdict": None, "alarms": (), **more})


def test_the_paragraph_is_one_line_and_begins_with_what_happened() -> None:
    gone = result(alarms=("down",), cause="no server reachable\nat all")
    assert paragraph(gone).startswith("nightly 000007-x ERROR: nothing was judged: no server reachable")
    assert "\n" not in paragraph(gone)
    broke = RunVerdict("ERROR", errors=({"sample": None, "cause": "the disk is full"},))
    assert paragraph(result(verdict=broke, alarms=("ERROR",))).startswith("nightly 000007-x ERROR: the disk is full")
    fine = RunVerdict("PASS", regression={"verdict": "PASS", "headline": 'PASS against "d": nothing changed'})
    assert paragraph(result(verdict=fine)).startswith('nightly 000007-x PASS: PASS against "d": nothing changed. ')


def test_a_timing_is_told_with_its_interval_and_says_if_it_was_not_compared() -> None:
    """The first three lines of a night on a machine that others used: 61 answers left a wide interval."""
    note = "timing not compared: the baseline has none; bless a night, or a run with --hardware"
    compared = {"verdict": "PASS", "headline": 'PASS against "d": nothing changed', "notes": ["other", note]}
    medians = {"ttft_short": 247.309444, "decode": 12.660479}
    told = result(
        verdict=RunVerdict("PASS", regression=compared), timings=medians, intervals={"ttft_short": (88.627, 4725.05)}
    )
    assert (
        f"timing: TTFT 247.3 ms (88.63 to 4725), decode 12.66 tok/s (interval not known). {note}. drift: none."
    ) in paragraph(told)
    judged = {"name": "decode", "median": 12.66, "interval": [1.1424, 44.9], "verdict": "INCONCLUSIVE", "limit": 8.0}
    limited = result(
        verdict=RunVerdict("PASS", timings=(judged,)), timings=medians, intervals={"decode": (30.0, 31.0)}
    )
    assert "decode 12.66 tok/s (1.142 to 44.9; INCONCLUSIVE, limit 8)" in paragraph(limited)


def test_the_last_word_of_a_gate_that_came_to_no_verdict() -> None:
    assert night._last_word("\nERROR: --base-url x: no server\n\n", 4) == "--base-url x: no server (exit status 4)"
    assert night._last_word("", 3) == "it printed nothing (exit status 3)"


def test_the_plain_gate_loads_nothing_of_this_at_start() -> None:
    code = (
        "import sys, annie_eval.plugin, annie_eval.run.lifecycle;"
        "print([m for m in sys.modules if m.startswith(('annie_eval.regression', 'annie_eval.nightly',"
        " 'annie_eval.serving.replicas'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# The run that a night keeps, on a disk that is full.


def test_a_full_disk_is_said_as_what_it_is_and_keeps_what_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.set_meta(kept="yes")
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(UsageError, match="the disk is full or fails"):
        store.set_meta(big="x" * 100_000)
    assert store.meta("kept") == "yes"
    assert store.meta("big") is None
    store.fail("the disk is full")
    assert store.state().startswith("failed: ")


def test_a_run_that_cannot_even_write_its_end_still_tells_those_who_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path, create=True)

    def full(**facts: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store, "set_meta", full)
    store.fail("no space left")
    assert Store(tmp_path).state() == "failed: no space left"
    monkeypatch.undo()
    store.reopen()  # --resume begins with a clean sheet
    assert store.state() == ""


def test_the_reserve_is_real_space_that_is_given_back(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.hold_reserve()
    file = tmp_path / "reserve"
    assert file.stat().st_blocks * 512 >= 256 * 1024
    store.free_reserve()
    store.free_reserve()
    assert not file.exists()

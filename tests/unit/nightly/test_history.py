"""The history of nights: order independent of the clock, damaged nights are skipped, slow drift is found."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.nightly import drift, night, plot, records, table
from annie_eval.nightly.records import Count, Night
from annie_eval.stats import binomial, trend

FINGERPRINT = {"server": "vllm", "server_version": "0.32.0", "weights": "aaaa"}


def verdict(counts: dict[str, tuple[int, int]], **more: Any) -> dict[str, Any]:
    """A verdict.json as far as a history reads it."""
    return {
        "verdict": "PASS",
        "started": "2026-11-01T03:00:00+00:00",
        "gates": [
            {"name": name, "passed": k, "n": n, "interval": binomial.clopper_pearson(k, n), "verdict": "PASS"}
            for name, (k, n) in counts.items()
        ],
        "timings": [],
        "errors": [],
        "fingerprint": FINGERPRINT,
        "regression": None,
        **more,
    }


def night_dir(root: Path, name: str, counts: dict[str, tuple[int, int]], **more: Any) -> Path:
    path = root / name
    path.mkdir(parents=True)
    (path / "verdict.json").write_text(json.dumps(verdict(counts, **more)))
    return path


def nights(series: dict[str, list[tuple[int, int]]], **more: Any) -> list[Night]:
    """Nights without files, from counts by gate."""
    length = len(next(iter(series.values())))
    return [
        Night(
            f"{i + 1:06d}-x",
            Path("x"),
            "2026-11-01T03:00:00",
            "PASS",
            {g: Count(k[i][0], k[i][1], None, "PASS") for g, k in series.items()},
            fingerprint=FINGERPRINT,
            **more,
        )
        for i in range(length)
    ]


def test_nights_are_ordered_by_number_though_the_clock_went_backwards(tmp_path: Path) -> None:
    night_dir(tmp_path, "000002-2020-01-01T03-00-00", {"g": (9, 10)}, started="2020-01-01T03:00:00+00:00")
    night_dir(tmp_path, "000001-2026-11-02T03-00-00", {"g": (10, 10)}, started="2026-11-02T03:00:00+00:00")
    night_dir(tmp_path, "000010-2026-11-01T03-00-00", {"g": (8, 10)})
    found = records.read(tmp_path)
    assert [night.gates["g"].passed for night in found.nights] == [10, 9, 8]
    assert records.next_name(tmp_path, "1970-01-01T00-00-00") == "000011-1970-01-01T00-00-00"


def test_a_number_is_not_used_again_though_its_night_was_cut_off(tmp_path: Path) -> None:
    (tmp_path / "000041-x").mkdir()
    (tmp_path / "999-not-ours").mkdir()
    assert records.next_name(tmp_path, "s") == "000042-s"


IMPOSSIBLE = json.dumps(verdict({"g": (5, 10)})).replace('"n": 10', '"n": 3')


def without(path: Path) -> Path:
    """The night's directory, without its verdict."""
    (path / "verdict.json").unlink()
    return path


def edited(**values: Any) -> Callable[[Path], object]:
    """A verdict whose values are of another kind than they should be."""
    return lambda path: (path / "verdict.json").write_text(json.dumps(verdict({"g": (9, 10)}, **values)))


def noted(**values: Any) -> Callable[[Path], object]:
    """A night without a verdict, whose note says why, but not when."""
    return lambda path: (without(path) / "night.json").write_text(json.dumps(values))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "half-written": lambda path: (path / "verdict.json").unlink(),
    "cut off": lambda path: (path / "verdict.json").write_text((path / "verdict.json").read_text()[:200]),
    "empty": lambda path: (path / "verdict.json").write_text(""),
    "bytes": lambda path: (path / "verdict.json").write_bytes(b"\xff\xfe\x00"),
    "a list": lambda path: (path / "verdict.json").write_text("[]"),
    "no gates": lambda path: (path / "verdict.json").write_text("{}"),
    "impossible count": lambda path: (path / "verdict.json").write_text(IMPOSSIBLE),
    "deep": lambda path: (path / "verdict.json").write_text("[" * 100_000),
    "a directory": lambda path: (without(path) / "verdict.json").mkdir(),
    "no database": lambda path: (without(path) / "run.sqlite").write_bytes(b"x" * 5000),
    "a huge median": edited(timings=[{"name": "decode", "median": 10**400}]),
    "no number": edited(timings=[{"name": "decode", "median": math.nan}]),
    "another baseline's kind": edited(regression={"verdict": {}, "baseline": {"id": []}}),
    "another verdict": edited(verdict="PA\x1b[31m\nSS"),
    "flags of another kind": edited(fingerprint={"arguments": 5}),
    "an impossible interval": edited(gates=[{"name": "g", "passed": 9, "n": 10, "interval": [2, 1], "verdict": ""}]),
    "true passed": edited(gates=[{"name": "g", "passed": True, "n": 10, "interval": None, "verdict": ""}]),
    "a note without a time": noted(cause="x"),
    "a note with another time": noted(cause="x", started="yesterday"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_night_is_said_and_skipped_and_hides_no_other(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(1, 4):
        night_dir(tmp_path, f"{i:06d}-n", {"g": (9, 10)})
    DAMAGE[damage](tmp_path / "000002-n")
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["history", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("9/10") == 2
    assert "skipped: 000002-n: " in out
    assert "Traceback" not in out


def test_a_night_that_may_not_be_looked_at_is_said_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's directory is; root, who may run this test, could look at that."""
    for i in range(1, 4):
        night_dir(tmp_path, f"{i:06d}-n", {"g": (9, 10)})
    is_file = Path.is_file

    def forbidden(path: Path) -> bool:
        if path.parent.name == "000002-n":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", forbidden)
    found = records.read(tmp_path)
    assert [night.name for night in found.nights] == ["000001-n", "000003-n"]
    assert found.skipped == (("000002-n", "cannot be read (Permission denied)"),)


def test_an_empty_directory_and_none_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("no nights\n")
    assert main(["history", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def drawn(draw: random.Random, n: int, rates: list[float]) -> list[tuple[int, int]]:
    return [(sum(draw.random() < rate for _ in range(n)), n) for rate in rates]


GATES = {"leak": (25, 0.99), "tools": (10, 0.9), "markdown": (15, 0.93), "factual": (5, 0.98), "reasoning": (5, 0.95),
         "brevity": (15, 0.95), "restraint": (10, 0.9), "wire": (85, 0.999)}  # fmt: skip


def test_ninety_nights_with_a_slow_drift_are_seen_and_no_single_night_fails() -> None:
    draw = random.Random(1)
    seen = 0
    for _ in range(20):
        series = {gate: drawn(draw, n, [rate] * 90) for gate, (n, rate) in GATES.items()}
        series["markdown"] = drawn(draw, 15, [0.97 - 0.15 * i / 89 for i in range(90)])
        found = drift.drifts(nights(series))
        seen += any(each.series == "markdown" and not each.over for each in found)
    assert seen >= 17  # docs/statistics.md: about nine in ten


def test_ninety_nights_without_drift_raise_no_more_alarms_than_stated() -> None:
    draw = random.Random(2)
    runs = 150
    alarms = 0
    for _ in range(runs):
        series = {gate: drawn(draw, n, [rate] * 90) for gate, (n, rate) in GATES.items()}
        alarms += bool(drift.drifts(nights(series)))
    assert alarms / runs <= trend.FALSE_ALARM + 3 * math.sqrt(trend.FALSE_ALARM * 0.95 / runs)


def falling(n: int = 40) -> list[tuple[int, int]]:
    return [(30 - i // 2, 30) for i in range(n)]


CHANGES: list[dict[str, Any]] = [{"fingerprint": {**FINGERPRINT, "weights": "bbbb"}}, {"baseline": "b-2"}]


@pytest.mark.parametrize("change", CHANGES, ids=["weights", "blessing"])
def test_drift_begins_anew_with_another_server_and_another_blessing(change: dict[str, Any]) -> None:
    whole = nights({"g": falling()}, baseline="b-1")
    assert [each.over for each in drift.drifts(whole)] == [False]
    changed = [*whole[:4], *(dataclasses.replace(night, **change) for night in whole[4:10])]
    assert [reset.at for reset in drift.resets(changed)] == [4]
    assert drift.drifts(changed) == []


def test_a_change_is_named() -> None:
    first, second = nights({"g": falling(2)})
    other = dataclasses.replace(second, fingerprint={**FINGERPRINT, "weights": "bbbb"})
    assert drift.resets([first, other])[0].reason == "the weights changed (aaaa -> bbbb)"


def test_a_night_on_which_nothing_was_judged_is_no_change() -> None:
    whole = nights({"g": falling(6)})
    dark = Night("000003-dark", Path("x"), "2026-11-01T03:00:00", "ERROR", cause="no server reachable")
    assert drift.resets([*whole[:3], dark, *whole[3:]]) == []


def test_timings_drift_too() -> None:
    whole = [
        Night(f"{i:06d}-x", Path("x"), "2026-11-01T03:00:00", "PASS", timings={"ttft_short": 90.0 + i, "decode": 33.0},
              fingerprint=FINGERPRINT)
        for i in range(30)
    ]  # fmt: skip
    assert [each.series for each in drift.drifts(whole)] == ["ttft_short"]


def test_the_table_has_intervals_changes_and_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, count in enumerate(falling(20)):
        night_dir(tmp_path, f"{i + 1:06d}-n", {"g": count})
    night_dir(tmp_path, "000021-n", {"g": (30, 30)}, fingerprint={**FINGERPRINT, "server_version": "0.33.0"})
    assert main(["history", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "30/30 88-100%" in out
    assert "-- changed: the server's version changed (0.32.0 -> 0.33.0)" in out
    assert "drift: g got worse, before the last change, since 000001-n: 146/150 -> 109/150" in out
    assert f"plot: {tmp_path / 'history.svg'}" in out


GATE_NAMES = [f"gate_number_{n:02}" for n in range(12)]


def test_the_table_fits_the_terminal_and_says_what_it_leaves_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night with another profile by mistake, then two with twelve gates, of which one missed."""
    night_dir(tmp_path, "000001-2026-11-01T03-00-00", {"of_another_profile": (5, 5)})
    for n in (2, 3):
        counts = {name: (9 if name == GATE_NAMES[7] else 10, 10) for name in GATE_NAMES}
        path = night_dir(tmp_path, f"00000{n}-2026-11-01T03-00-00", counts)
        note = {"verdict": "PASS", "timings": {"decode": 39.0136}, "intervals": {"decode": (36.74, 40.157)}}
        (path / "night.json").write_text(json.dumps({**note, "cause": ""}))

    def shown(columns: int) -> tuple[list[str], str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        assert main(["history", str(tmp_path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        left_out = [line for line in lines if line.startswith("not in this table: ")]
        return lines[: lines.index("")], left_out[0] if left_out else ""

    for columns in (60, 80, 100):
        rows, left_out = shown(columns)
        assert max(map(len, rows)) <= columns
        assert f"{GATE_NAMES[0]}, " in left_out
        assert "of_another_profile; --plot FILE.html" in left_out
        for name in GATE_NAMES:
            assert (name in " ".join(rows[:3])) != (name in left_out)
    rows, left_out = shown(80)
    assert GATE_NAMES[7] in rows[0], "the one that missed"
    assert "9/10 55-100%" in rows[-1]
    assert "decode tok/s" in left_out
    rows, left_out = shown(1000)
    assert "39.01 36.7-40.2" in rows[-1]
    assert "2026-11-01 03:00" in rows[-1]
    assert left_out.startswith("not in this table: of_another_profile;")


def test_gates_that_judge_answers_stay_and_timings_and_gates_that_passed_whole_go_first(tmp_path: Path) -> None:
    names = ("wire_integrity", "server_state", "speakable", "tool_calling", "thinking_leak")
    counts = dict.fromkeys(names, (10, 10))
    note = {"verdict": "PASS", "timings": {"decode": 39.0}, "intervals": {}, "cause": ""}
    for n, missed in ((1, {}), (2, {"server_state": (9, 10)}), (3, {})):
        (night_dir(tmp_path, f"00000{n}-n", counts | missed) / "night.json").write_text(json.dumps(note))
    found = records.read(tmp_path)

    def heads(width: int) -> list[str]:
        lines = table.lines(found, [], [], width)
        return " ".join(lines[: next(i for i, line in enumerate(lines) if "000001-n" in line)]).split()[2:]

    assert {"tok/s", "wire_integrity", "started"} <= set(heads(200))
    assert "tok/s" not in heads(100)
    assert heads(80) == ["regression", "tool_calling", "thinking_leak", "server_state"]
    assert heads(36) == ["server_state"], "the one that missed"


def test_a_night_that_still_runs_has_no_verdict_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its gate has ended and its timing goes on; one that was cut off earlier is listed as before."""
    for n in (1, 2):
        night_dir(tmp_path, f"00000{n}-n", {"g": (9, 10)})
    with night._locked(tmp_path):
        assert main(["history", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert "skipped: 000002-n: still running" in out
        assert (out.count("9/10"), out.count("PASS")) == (1, 1)
    assert main(["history", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("PASS") == 2


def test_a_mistaken_night_that_is_moved_away_no_longer_starts_the_series_again(tmp_path: Path) -> None:
    """What docs/nightly.md advises."""
    history = tmp_path / "h"
    for n, fingerprint in enumerate((FINGERPRINT, {**FINGERPRINT, "profile_digest": "another"}, FINGERPRINT)):
        night_dir(history, f"00000{n}-n", {"g": (9, 10)}, fingerprint=fingerprint)
    assert [reset.at for reset in drift.resets(records.read(history).nights)] == [1, 2]
    (history / "000001-n").rename(tmp_path / "taken-out")
    assert drift.resets(records.read(history).nights) == []


@pytest.mark.parametrize("kind", ["svg", "html", "png"])
def test_the_plot_is_a_file_of_its_kind(kind: str, tmp_path: Path) -> None:
    for i, count in enumerate(falling(12)):
        night_dir(tmp_path / "h", f"{i + 1:06d}-n", {"g": count})
    picture = tmp_path / f"out.{kind}"
    assert main(["history", str(tmp_path / "h"), "--plot", str(picture)]) == 0
    raw = picture.read_bytes()
    assert raw.startswith({"svg": b"<svg", "html": b"<!doctype html>", "png": b"\x89PNG"}[kind])
    if kind != "png":
        assert raw.count(b"<circle") == 12
        assert b'class="d"' in raw


def test_text_from_a_run_cannot_break_out_of_table_or_plot(tmp_path: Path) -> None:
    hostile = '</svg><script>alert(1)</script>\x1b[2J"'
    night_dir(tmp_path, "000001-n", {hostile: (1, 2)})
    night_dir(tmp_path, "000002-n", {hostile: (1, 2)}, fingerprint={"weights": hostile})
    found = records.read(tmp_path)
    resets, drifts = drift.resets(found.nights), drift.drifts(found.nights)
    assert "<script>" not in plot.svg(found.nights, resets, drifts)
    assert not any("\x1b" in line for line in table.lines(found, resets, drifts))


def test_a_plot_of_an_unknown_kind_or_place_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", str(tmp_path), "--plot", "out.gif"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err.count("\n")) == ("", 1)  # before anything else
    assert main(["history", str(tmp_path), "--plot", str(tmp_path / "no" / "out.svg")]) == 2
    assert capsys.readouterr().err.count("\n") == 1

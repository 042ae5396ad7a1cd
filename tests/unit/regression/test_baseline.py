"""Blessing a baseline: name, copy, atomic replacement, and one line for every error."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from annie_eval.cli.main import main
from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.regression.baseline import bless, load, names
from annie_eval.regression.compare_runs import against
from annie_eval.report import compared_html, markdown, regression
from annie_eval.run import verdict_json
from annie_eval.run.store import Store
from annie_eval.timing.machine import Gpu, Reading
from tests.support.finished_run import SNAPSHOT

ALL = {f"s-{i:02}": True for i in range(30)}
TIMINGS = [
    {"event": "measurement", "source": "short", "error": None, "ttft_ms": 90 + i % 5, "rate": 30} for i in range(21)
]


def test_a_blessed_run_stays_when_the_run_is_gone(make_run: Any, tmp_path: Path) -> None:
    run, now = make_run("a", ALL, measurements=TIMINGS), make_run("b", ALL)
    root = tmp_path / "baselines"
    bless(run, "deployed", root)
    shutil.rmtree(run)
    found = load("deployed", root, tmp_path)
    assert found.info["name"] == "deployed"
    assert len(found.run_data.heard) == 30
    assert len(found.run_data.timings["ttft_short"]) == 21
    assert main(["compare", str(now), str(root / "deployed")]) == 0


@pytest.mark.parametrize("aa", [False, True], ids=["alone", "with an A/A run"])
def test_every_field_of_a_pointer_and_of_what_a_report_shows_of_it(make_run: Any, tmp_path: Path, aa: bool) -> None:
    run, root = make_run("a", {**ALL, "s-00": False}, measurements=TIMINGS), tmp_path / "bl"
    second = make_run("aa", ALL) if aa else None
    told = bless(run, "deployed", root, second)
    assert (root / "deployed.json").read_text() == json.dumps(told, indent=2) + "\n"
    made, blessed = told.pop("id"), told.pop("blessed")
    assert re.fullmatch(r"deployed-\d{8}T\d{6}-[0-9a-f]{6}", made)
    assert datetime.fromisoformat(blessed).tzinfo is not None
    assert told == {
        "format": 1,
        "name": "deployed",
        "run": str(run),
        "aa": str(second) if aa else None,
        "verdict": "PASS",
        "profile": "annie",
        "timed": True,
        "flips": {"g": [0, 1, 30]} if aa else None,
        "served_model": None,
    }
    shown = {name: told[name] for name in ("name", "run", "aa", "verdict", "flips")}
    assert load("deployed", root, tmp_path).info == {**shown, "id": made, "blessed": blessed}


def test_a_pointer_says_whether_there_are_timings_and_the_served_model(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", ALL)
    store = Store(run)
    store.set_meta(target={"base_url": "http://x/v1", "served_model": "annie-7"})
    store.close()
    told = bless(run, "deployed", tmp_path / "bl")
    assert (told["timed"], told["served_model"]) == (False, "annie-7")


def test_a_copy_has_the_files_of_the_run_and_the_timings_of_the_aa_run(make_run: Any, tmp_path: Path) -> None:
    timed, bare, root = make_run("timed", ALL, measurements=TIMINGS), make_run("bare", ALL), tmp_path / "bl"
    files = {}
    for name, run, aa in (("one", timed, None), ("two", timed, bare), ("three", bare, timed)):
        copy = root / "copies" / bless(run, name, root, aa)["id"]
        files[name] = sorted(path.name for path in copy.iterdir())
        assert (copy / "verdict.json").read_bytes() == (run / "verdict.json").read_bytes()
    both = ["run.sqlite", "verdict.json"]
    assert files == {
        "one": [both[0], "timing.jsonl", both[1]],
        "two": [both[0], "timing.jsonl", both[1]],
        "three": ["aa.jsonl", *both],
    }
    assert sorted(path.name for path in root.iterdir()) == ["copies", "one.json", "three.json", "two.json"]


def test_without_timings_of_the_aa_run_the_noise_is_that_of_the_halves(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", ALL, measurements=TIMINGS)
    bless(run, "alone", tmp_path / "bl")
    bless(run, "deployed", tmp_path / "bl", make_run("aa", ALL))
    alone, deployed = (load(name, tmp_path / "bl", tmp_path).noise for name in ("alone", "deployed"))
    assert alone == deployed
    assert (set(alone.floors), alone.aa) == ({"ttft_short", "decode"}, False)


def test_a_pointer_of_the_first_format_is_read_and_the_next_is_not(make_run: Any, tmp_path: Path) -> None:
    """Baselines stay for months: those of format 1 must be read."""
    made = bless(make_run("a", ALL), "deployed", tmp_path / "bl")["id"]
    pointer = tmp_path / "bl" / "deployed.json"
    pointer.write_text(json.dumps({"format": 1, "name": "deployed", "id": made}))
    absent = dict.fromkeys(("run", "aa", "blessed", "verdict", "flips"))
    assert load("deployed", tmp_path / "bl", tmp_path).info == {"name": "deployed", "id": made, **absent}
    pointer.write_text(json.dumps({"format": 2, "name": "deployed", "id": made}))
    with pytest.raises(UsageError, match="format 2, but this version reads 1"):
        load("deployed", tmp_path / "bl", tmp_path)


@pytest.mark.parametrize(
    "fields",
    [{"name": "a/b"}, {"name": ""}, {"id": "x/y"}, {"id": ".hidden"}, {"name": None}, {"id": None}],
    ids=str,
)
def test_a_pointer_out_of_its_directory_is_not_followed(fields: dict[str, Any], make_run: Any, tmp_path: Path) -> None:
    bless(make_run("a", ALL), "deployed", tmp_path / "bl")
    pointer = tmp_path / "bl" / "deployed.json"
    told = {key: value for key, value in {**json.loads(pointer.read_text()), **fields}.items() if value is not None}
    pointer.write_text(json.dumps(told))
    with pytest.raises(UsageError, match="not a baseline"):
        load("deployed", tmp_path / "bl", tmp_path)


def test_only_a_pointer_or_a_run_is_a_baseline(make_run: Any, tmp_path: Path) -> None:
    run, root = make_run("a", ALL), tmp_path / "bl"
    bless(run, "deployed", root)
    shutil.copy(root / "deployed.json", root / ".hidden.json")
    for wanted in (".hidden", str(run / "run.sqlite"), str(tmp_path)):
        with pytest.raises(UsageError, match=r"no such baseline in .* and no such run"):
            load(wanted, root, tmp_path)
    for wanted in ("deployed", str(root / "deployed"), str(root / "deployed.json")):  # a name, or the path of one
        assert load(wanted, root, tmp_path).info["name"] == "deployed"


def test_what_is_said_of_a_run_that_was_never_blessed(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", ALL, measurements=TIMINGS)
    found = load("a", tmp_path / "bl", tmp_path)
    expected = {"name": "a", "id": "a", "run": str(run), "aa": None, "blessed": None, "verdict": "PASS"}
    assert (found.info, found.noise.aa) == (expected, False)
    assert set(found.noise.floors) == {"ttft_short", "decode"}


def test_without_timing_in_a_run_it_is_said_when_it_is_blessed_and_when_it_is_compared(
    make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timed, bare = make_run("timed", ALL, measurements=TIMINGS), make_run("bare", ALL)
    said = {}
    for run in (timed, bare):
        assert main(["bless", str(run), "--as", run.name, "--baselines", str(tmp_path / "bl")]) == 0
        said[run.name] = capsys.readouterr().out
    assert "bless a night, or a run with --hardware" in said["bare"]
    assert "no timing" not in said["timed"]
    notes = {
        (then.name, now.name): " ".join(against(load(then.name, tmp_path / "bl", tmp_path), now).notes)
        for then in (timed, bare)
        for now in (timed, bare)
    }
    assert "not compared" not in notes["timed", "timed"]
    assert "timing not compared: this run has none; run it with --hardware" in notes["timed", "bare"]
    assert "timing not compared: the baseline has none; bless a night" in notes["bare", "timed"]
    assert "timing not compared: the baseline has none; bless a night" in notes["bare", "bare"]


def test_blessing_again_replaces_the_name_and_keeps_the_copy_before(make_run: Any, tmp_path: Path) -> None:
    root = tmp_path / "baselines"
    first = bless(make_run("a", ALL), "deployed", root)
    second = bless(make_run("b", ALL), "deployed", root)
    assert load("deployed", root, tmp_path).info["id"] == second["id"] != first["id"]
    assert (root / "copies" / first["id"]).is_dir()
    assert names(root) == ["deployed"]


def test_an_aa_run_is_the_noise_floor(make_run: Any, tmp_path: Path) -> None:
    slower = [{**one, "ttft_ms": one["ttft_ms"] * 1.4} for one in TIMINGS]  # type: ignore[operator]
    run, aa = make_run("a", ALL, measurements=TIMINGS), make_run("aa", ALL, measurements=slower)
    bless(run, "plain", tmp_path / "bl")
    bless(run, "with-aa", tmp_path / "bl", aa)
    plain, with_aa = (load(name, tmp_path / "bl", tmp_path).noise for name in ("plain", "with-aa"))
    assert (plain.aa, with_aa.aa) == (False, True)
    assert with_aa.floors["ttft_short"] > 1.35 > plain.floors["ttft_short"]


@pytest.mark.parametrize("driver", ["570.1", "580.2"])
def test_a_comparison_of_timings_says_that_the_machine_changed(make_run: Any, tmp_path: Path, driver: str) -> None:
    def on(driver: str) -> list[dict[str, Any]]:
        reading = asdict(Reading("before", (Gpu("GPU-1", "NVIDIA H200", driver),), 8, "performance", 0.1))
        return [*TIMINGS, {"event": "machine", "readings": [reading], "doubts": []}]

    run = make_run("a", ALL, measurements=on("570.1"))
    bless(run, "deployed", tmp_path / "bl")
    now = make_run("b", ALL, measurements=on(driver))
    notes = against(load("deployed", tmp_path / "bl", tmp_path), now).notes
    said = "timing: the machine is another than it was: the GPU's driver was 570.1 and is 580.2"
    assert (said in notes) == (driver != "570.1")


def test_a_run_is_a_baseline_without_being_blessed(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", ALL)
    assert load(str(run), tmp_path / "bl", tmp_path).info["run"] == str(run.resolve())
    assert load("a", tmp_path / "bl", tmp_path).info["name"] == "a"


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "näme", "a b", "x" * 65, "a.json"])
def test_a_name_that_cannot_be_one_is_refused(name: str, make_run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--as"):
        bless(make_run("a", ALL), name, tmp_path / "bl")
    assert not (tmp_path / "bl").exists()


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"finished": False}, "not finished .*annie-eval gate .*--resume"),
        ({"errors": {"s-03": "HTTP 500"}}, "1 sample broke, such as s-03.unstreamed.off"),
    ],
)
def test_half_a_run_is_not_blessed(made: dict[str, Any], message: str, make_run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        bless(make_run("a", ALL, **made), "deployed", tmp_path / "bl")
    assert not (tmp_path / "bl").exists()


def test_a_run_whose_verdict_is_gone_is_said_to_lack_it(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a", ALL)
    (run / "verdict.json").unlink()
    with pytest.raises(UsageError, match=r"not finished \(it has no verdict\.json\)"):
        bless(run, "deployed", tmp_path / "bl")


def test_the_flips_of_an_aa_run_stand_beside_the_comparison(make_run: Any, tmp_path: Path) -> None:
    names = list(ALL)
    run, aa = make_run("a", {**ALL, names[0]: False}), make_run("aa", {**ALL, names[1]: False, names[2]: False})
    bless(run, "deployed", tmp_path / "bl", aa)
    bless(run, "alone", tmp_path / "bl")
    now = make_run("now", ALL)
    for name, said in (("deployed", f"2 worse, 1 better of {len(ALL)}"), ("alone", "")):
        found = against(load(name, tmp_path / "bl", tmp_path), now)
        assert found.floor("g") == said
        gates = verdict_json.load(now / verdict_json.FILE).gates
        verdict = RunVerdict("PASS", gates, regression=json.loads(json.dumps(found.as_dict())))
        assert f"| 0 | 1 |{f' {said} |' if said else ''}\n" in markdown.page(verdict)
        for told in (
            markdown.page(verdict),
            "\n".join(regression.lines(verdict, width=120)),
            compared_html.section(verdict),
        ):
            assert ("(A/A)" in told) == bool(said)  # a terminal breaks the heading
            assert said in told


def test_an_aa_run_of_another_server_is_refused(make_run: Any, tmp_path: Path) -> None:
    run, other = make_run("a", ALL), make_run("b", ALL, fingerprint={"server_version": "0.33.0"})
    with pytest.raises(UsageError, match="not a run of the same server"):
        bless(run, "deployed", tmp_path / "bl", other)
    with pytest.raises(UsageError, match="is the blessed run itself"):
        bless(run, "deployed", tmp_path / "bl", run)


@pytest.mark.parametrize("kept", [True, False], ids=["snapshots", "digests"])
def test_an_aa_run_of_another_profile_is_refused(kept: bool, make_run: Any, tmp_path: Path) -> None:
    """By what the profiles say, or by their digests where the runs are older than the snapshots of profiles."""
    changed = {**SNAPSHOT, "system_prompt": "You are somebody else.", "digest": "d2"}
    run, same, other = make_run("a", ALL), make_run("same", ALL), make_run("other", ALL, snapshot=changed)
    for path in () if kept else (run, same, other):
        store = Store(path)
        store.set_meta(profile_snapshot={})
        store.close()
    bless(run, "deployed", tmp_path / "bl", same)
    message = "the system prompt changed" if kept else r"the profile changed \(d1 -> d2\)"
    with pytest.raises(UsageError, match=f"not a run of the same server: {message}"):
        bless(run, "deployed", tmp_path / "bl", other)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("it is gone"), "it is gone"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
    ],
    ids=["errno", "no errno", "sqlite"],
)
@pytest.mark.parametrize("step", ["_copy_run", "_replace"])
def test_a_disk_that_does_not_take_it_leaves_the_baseline_before(
    step: str, error: Exception, cause: str, make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "bl"
    kept = bless(make_run("a", ALL), "deployed", root)

    def full(*args: object) -> None:
        raise error

    monkeypatch.setattr(f"annie_eval.regression.baseline.{step}", full)
    message = re.escape(f"the baseline cannot be written ({cause}); the earlier baseline is unchanged")
    with pytest.raises(UsageError, match=message):
        bless(make_run("b", ALL), "deployed", root)
    assert load("deployed", root, tmp_path).info["id"] == kept["id"]
    assert [path.name for path in (root / "copies").iterdir()] == [kept["id"]]


def test_a_directory_that_cannot_be_made_is_one_line(make_run: Any, tmp_path: Path) -> None:
    (tmp_path / "bl").write_text("a file")
    with pytest.raises(UsageError, match="cannot be written"):
        bless(make_run("a", ALL), "deployed", tmp_path / "bl")


def test_an_unknown_name_says_which_there_are(make_run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none is blessed yet"):
        load("deployed", tmp_path / "bl", tmp_path)
    bless(make_run("a", ALL), "deployed", tmp_path / "bl")
    with pytest.raises(UsageError, match=r'there are deployed; did you mean "deployed"\?'):
        load("deploid", tmp_path / "bl", tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "name": "d", "id": "../../etc"}'])
def test_a_damaged_pointer_is_one_line(text: str, make_run: Any, tmp_path: Path) -> None:
    bless(make_run("a", ALL), "deployed", tmp_path / "bl")
    (tmp_path / "bl" / "deployed.json").write_text(text)
    with pytest.raises(UsageError, match="not a baseline"):
        load("deployed", tmp_path / "bl", tmp_path)


def test_a_copy_that_is_gone_or_damaged_is_one_line(make_run: Any, tmp_path: Path) -> None:
    made = bless(make_run("a", ALL), "deployed", tmp_path / "bl")
    copy = tmp_path / "bl" / "copies" / made["id"] / "run.sqlite"
    copy.write_bytes(b"no database, but long enough to be taken for one by its size alone")
    with pytest.raises(UsageError, match="not a run"):
        load("deployed", tmp_path / "bl", tmp_path)
    copy.unlink()
    with pytest.raises(UsageError, match="is gone"):
        load("deployed", tmp_path / "bl", tmp_path)


def test_exit_statuses_of_the_commands(make_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("a", ALL)
    worse = make_run("b", dict.fromkeys(ALL, False))
    other = make_run("c", ALL, fingerprint={"sampling": {"temperature": 1.0}})
    assert main(["bless", str(run), "--as", "deployed", "--baselines", str(tmp_path / "bl")]) == 0
    assert "blessed" in capsys.readouterr().out
    baseline = str(tmp_path / "bl" / "deployed")
    assert main(["compare", str(worse), baseline]) == 1
    assert capsys.readouterr().out.startswith('FAIL against "deployed": ')
    assert main(["compare", str(other), baseline]) == 4
    assert capsys.readouterr().out.startswith('REFUSED cannot be compared with "deployed": the sampling changed')
    assert main(["compare", str(tmp_path / "none"), baseline]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_comparison_is_on_the_page_and_in_json(make_run: Any, tmp_path: Path) -> None:
    run, worse = make_run("a", ALL), make_run("b", dict.fromkeys(ALL, False))
    page = tmp_path / "out.html"
    assert main(["compare", str(worse), str(run), "--html", str(page)]) == 1
    text = page.read_text()
    body = text[text.index("<body>") :]
    assert body.index("FAIL against") < body.index('class="verdict"')
    assert "**Fine.**" in text
    assert json.loads((worse / "verdict.json").read_text())["regression"] is None  # a look changes nothing

"""A run of an earlier version can be listed, shown, reported, blessed and compared, and so can a baseline."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from annie_eval.cli.main import main
from annie_eval.profile.types import current_key
from annie_eval.run import verdict_json
from annie_eval.run.store import Store

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


def test_one_exchange_is_shown_in_full(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = sqlite3.connect(run / "run.sqlite").execute("SELECT key FROM sample ORDER BY key").fetchone()[0]
    assert main(["show", "a", key]) == 0
    shown = capsys.readouterr().out
    assert "user" in shown


@pytest.mark.parametrize("way", ["whole", "unstreamed"])
def test_an_unstreamed_sample_goes_by_its_old_and_its_new_name(
    way: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "run.sqlite").read_bytes()
    assert main(["show", "a", f"taxi-theatre.{way}.off"]) == 0
    shown = capsys.readouterr().out
    assert "sample taxi-theatre.unstreamed.off, answered" in shown
    assert ": pass" in shown
    assert ", unstreamed\n" in shown
    assert (run / "run.sqlite").read_bytes() == before


def test_a_resumed_run_keeps_the_answers_under_the_new_names(run: Path) -> None:
    for create in (True, False):
        store = Store(run, create=create)
        assert {"taxi-airport.stream.off", "taxi-theatre.unstreamed.off"} < set(store.finished())
        assert {judgement.sample for judgement in store.judgements()} == set(store.finished())
        assert all(store.exchanges(key) for key in store.finished())
        assert store.meta("detector_digest")
        store.close()
    row = sqlite3.connect(run / "run.sqlite").execute("SELECT value FROM meta WHERE key = 'format'")
    assert row.fetchone() == ("2",)


def test_its_verdict_names_samples_as_the_run_does(run: Path) -> None:
    path = run / "verdict.json"
    stored = json.loads(path.read_text("utf-8"))
    finding = {"sample": "taxi-theatre.whole.off", "detector": "wire", "reason": "x", "excerpt": ""}
    stored["gates"][0]["findings"] = [{**finding, "span": None, "channel": None, "exchange": 0}]
    path.write_text(json.dumps(stored), "utf-8")
    assert [miss.sample for miss in verdict_json.load(path).gates[0].misses] == ["taxi-theatre.unstreamed.off"]


@pytest.mark.parametrize("key", ["a.whole.b.stream.off", "the-whole.off", "a.whole", "whole.off.stream.unset.2"])
def test_an_id_that_says_whole_stays_as_it_is(key: str) -> None:
    assert current_key(key) == key


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


def test_a_baseline_of_an_earlier_version_is_compared_with(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (stored,) = STORED.glob("*.baseline.json")
    baselines = run.parent / "baselines"
    shutil.copytree(run, baselines / "copies" / json.loads(stored.read_text("utf-8"))["id"])
    shutil.copy(stored, baselines / "deployed.json")
    assert main(["compare", "a", "deployed"]) == 0
    assert 'PASS against "deployed"' in capsys.readouterr().out

"""A baseline that older detectors have judged is judged again from its stored bytes."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load as load_profile
from annie_eval.profile.types import Gate
from annie_eval.regression import rejudge
from annie_eval.regression.baseline import load
from annie_eval.regression.compare_runs import against
from annie_eval.regression.result import Regression
from annie_eval.regression.run_data import RunData
from annie_eval.run.detector_digest import digest

ROOT = Path(__file__).resolve().parents[3]
PROFILE = """
name = "hello"
system_prompt = "You are a voice assistant."
scenarios = "hello.jsonl"
[gates.no_markdown]
detectors = ["markdown", "silence"]
categories = ["hello"]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run of a small profile against a server that answers everything alike."""
    folder = tmp_path_factory.mktemp("hello")
    scenarios = [{"id": f"hello-{i:02}", "category": "hello", "prompt": f"Hello, caller {i}?"} for i in range(12)]
    (folder / "hello.jsonl").write_text("".join(json.dumps(each) + "\n" for each in scenarios))
    (folder / "hello.toml").write_text(PROFILE)
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/fixed_server.py"), "--latency", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += ["--base-url", url, "--profile", str(folder / "hello.toml"), "--run-dir", str(folder / "run")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout
        yield folder / "run"
    finally:
        server.kill()
        server.wait()


def older(run: Path, to: Path, sql: str) -> Path:
    """A copy of the run, as other detectors would have left it."""
    shutil.copytree(run, to)
    with contextlib.closing(sqlite3.connect(to / "run.sqlite")) as store:
        store.execute("UPDATE meta SET value = '\"older\"' WHERE key = 'detector_digest'")
        store.execute(sql)
        store.commit()
    return to


FINDING = json.dumps([{"detector": "markdown", "reason": "fixed since", "excerpt": "", "channel": None, "exchange": 0,
                       "span": None}])  # fmt: skip


def compared(baseline: Path, run: Path) -> Regression:
    return against(load(str(baseline), baseline.parent, baseline.parent), run)


def test_a_run_knows_who_judged_it(run: Path) -> None:
    assert load(str(run), run.parent, run.parent).run_data.facts["detector_digest"] == digest()


def test_mends_of_the_detectors_do_not_look_like_changes_of_the_model(run: Path, tmp_path: Path) -> None:
    before = older(run, tmp_path / "before", f"UPDATE judgement SET findings = '{FINDING}'")
    found = compared(before, run)
    assert found.changes == ()
    assert (found.gates[0].before, found.gates[0].now) == (12, 12)
    assert any("today's change 12 of its judgements" in note for note in found.notes)


def test_what_cannot_be_judged_again_says_so(run: Path, tmp_path: Path) -> None:
    before = older(run, tmp_path / "before", "UPDATE meta SET value = '\"/gone.toml\"' WHERE key = 'profile_path'")
    found = compared(before, run)
    assert any("cannot be judged again: its profile is not there any more" in note for note in found.notes)


class Samples:
    """A store and a catalogue of samples; `e` is of no profile, and `d`, unstreamed, broke."""

    KEYS = ("a.stream.off", "a.unstreamed.off", "b.stream.off", "b.unstreamed.off", "c.unstreamed.off",
            "d.stream.off", "d.unstreamed.off", "e.stream.off", "odd")  # fmt: skip

    def __init__(self, _: object) -> None:
        self.closed = False

    def samples(self) -> list[Any]:
        return [SimpleNamespace(key=key, error="HTTP 500" if key == "d.unstreamed.off" else None) for key in self.KEYS]

    def close(self) -> None:
        self.closed = True

    def __contains__(self, key: str) -> bool:
        return not key.startswith("e.")

    def load(self, stored: Any) -> Any:
        return SimpleNamespace(key=stored.key, variant=SimpleNamespace(stream=".stream." in stored.key))


def test_a_streamed_sample_is_judged_beside_its_unstreamed_twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the gate judged both. What cannot be read again keeps its judgement."""
    asked: list[tuple[str, str, str | None]] = []

    def judge(gate: Gate, sample: Any, unstreamed: Any) -> Judgement:
        asked.append((gate.name, sample.key, unstreamed and unstreamed.key))
        return Judgement(gate.name, sample.key)

    monkeypatch.setattr(rejudge, "Store", Samples)
    monkeypatch.setattr(rejudge, "Catalogue", Samples)
    monkeypatch.setattr(rejudge, "judge", judge)
    before = {key: Judgement("g", key, (), "before") for key in Samples.KEYS if key != "b.unstreamed.off"}
    profile = replace(load_profile("annie"), gates={"g": Gate("g", ("markdown",), ("x",))})
    run = RunData(tmp_path, "run", {}, {"of no profile": before, "g": before}, {})
    found = rejudge._again(run, profile)
    assert asked == [
        ("g", "a.stream.off", "a.unstreamed.off"),
        ("g", "a.unstreamed.off", None),
        ("g", "b.stream.off", None),
        ("g", "c.unstreamed.off", None),
        ("g", "d.stream.off", None),
        ("g", "odd", None),
    ]
    kept = ("d.unstreamed.off", "e.stream.off")
    assert found == {"g": {key: before[key] if key in kept else Judgement("g", key) for key in before}}

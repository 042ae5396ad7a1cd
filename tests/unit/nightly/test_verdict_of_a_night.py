"""The exit status of a night: a proven loss, a gate that does not pass without one, or success."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from annie_eval.gates.decide import RunVerdict
from annie_eval.nightly import drift, earlier, night, records
from annie_eval.nightly.paragraph import paragraph
from annie_eval.profile.load import load
from annie_eval.regression import baseline as baselines
from annie_eval.run import verdict_json
from annie_eval.run.store import Store
from tests.support import finished_run

NAMES = [f"s-{i:02}" for i in range(20)]


@pytest.fixture
def blessed(tmp_path: Path) -> baselines.Baseline:
    run = finished_run.make_run(tmp_path, "blessed", dict.fromkeys(NAMES, True))
    baselines.bless(run, "d", tmp_path / "bl")
    return baselines.load("d", tmp_path / "bl", tmp_path)


def a_night(
    blessed: baselines.Baseline,
    history: Path,
    monkeypatch: pytest.MonkeyPatch,
    missed: int,
    gate: str = "PASS",
    replicas: dict[str, Any] | None = None,
    **more: Any,
) -> night.Result:
    """A night whose gate missed the first samples of twenty, and what its gate said."""
    history.mkdir(exist_ok=True)

    def asked(options: Any, profile: Any, run_dir: Path, lock: Any) -> tuple[int, str]:
        finished_run.make_run(history, run_dir.name, {name: i >= missed for i, name in enumerate(NAMES)}, **more)
        verdict = verdict_json.load(run_dir / verdict_json.FILE)
        word: Any = gate
        judged = RunVerdict(word, verdict.gates, fingerprint=verdict.fingerprint, replicas=replicas or {})
        verdict_json.write(run_dir / verdict_json.FILE, judged)
        return 0, ""

    monkeypatch.setattr(night, "_gate", asked)
    monkeypatch.setattr(night, "_quiet", lambda *given: ({}, {}, []))
    options = night.Options(("http://x",), "d", history, history)
    with night._locked(history) as lock:
        return night._night(options, blessed, load("annie"), lock)


@pytest.mark.parametrize(
    ("missed", "gate", "status", "word"),
    [
        (0, "PASS", 0, "PASS"),
        (1, "PASS", 0, "PASS"),
        (1, "FAIL", night.GATE_ALONE, "FAIL"),
        (1, "INCONCLUSIVE", night.GATE_ALONE, "INCONCLUSIVE"),
        (20, "PASS", 1, "FAIL"),
        (20, "FAIL", 1, "FAIL"),
        (0, "ERROR", 1, "ERROR"),
    ],
)
def test_the_status_says_what_is_proven(
    missed: int,
    gate: str,
    status: int,
    word: str,
    blessed: baselines.Baseline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = a_night(blessed, tmp_path / "h", monkeypatch, missed, gate)
    assert (found.status, found.verdict_word) == (status, word)
    assert paragraph(found).startswith(f"nightly {found.name} {word}: ")
    assert ("only the gate says" in paragraph(found)) == (status == night.GATE_ALONE)


def test_five_lost_of_twenty_convince_once_and_not_as_one_night_of_ninety(
    blessed: baselines.Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = a_night(blessed, tmp_path / "h", monkeypatch, 5)
    assert found.verdict is not None
    assert found.verdict.regression["verdict"] == "INCONCLUSIVE"
    assert found.status == 0
    assert baselines_compare(blessed, found.run_dir) == "FAIL"


def baselines_compare(blessed: baselines.Baseline, run: Path) -> str:
    from annie_eval.regression.compare_runs import against

    return against(blessed, run).verdict


def test_what_is_lost_night_after_night_is_proven_in_the_end_and_what_is_kept_never(
    blessed: baselines.Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of twenty: (1 / (t + 1)) ** 4 below 0.05 / 4, on the second night of these."""
    history = tmp_path / "h"
    nights = [a_night(blessed, history, monkeypatch, 4) for _ in range(2)]
    assert [each.status for each in nights] == [0, 1]
    assert nights[1].verdict is not None
    gate = nights[1].verdict.regression["gates"][0]
    assert (gate["nights"], gate["nights_passed"], gate["nights_n"]) == (2, 32, 40)
    assert gate["p_nights"] == pytest.approx(3.0**-4)
    assert "g 20/20 -> 16/20 (32/40 in 2 nights)" in paragraph(nights[1])
    kept = [a_night(blessed, tmp_path / "clean", monkeypatch, 0) for _ in range(4)]
    assert {each.status for each in kept} == {0}


def test_a_model_that_was_swapped_behind_the_url_is_named_as_in_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline's run started its server; the nights ask one at a URL, which tells its path and its name."""
    local = {**finished_run.FINGERPRINT, "weights": "aaaa", "arguments": ["--enforce-eager"], "image": None}
    local.pop("served_model")
    run = finished_run.make_run(tmp_path, "blessed", dict.fromkeys(NAMES, True), fingerprint=local)
    store = Store(run)
    store.set_meta(identity={"profile": "annie", "digest": "d1", "target": "/models/bf16"})
    store.close()
    baselines.bless(run, "d", tmp_path / "bl")
    blessed = baselines.load("d", tmp_path / "bl", tmp_path)
    same = {**finished_run.FINGERPRINT, "served_model": "bf16", "root": "/models/bf16"}
    swapped = {**same, "served_model": "nvfp4", "root": "/models/nvfp4"}
    history = tmp_path / "h"
    first = a_night(blessed, history, monkeypatch, 0, fingerprint=same)
    second = a_night(blessed, history, monkeypatch, 1, fingerprint=swapped)
    third = a_night(blessed, history, monkeypatch, 1, fingerprint=swapped)
    path = "the served path changed (/models/bf16 -> /models/nvfp4)"
    since = f"changed since the night before: {path}; the served name changed (bf16 -> nvfp4)"
    against = 'against "d" no loss is proven, but not every loss is ruled out: '
    assert "nothing known of the server changed" in paragraph(first)
    assert paragraph(second).startswith(f"nightly {second.name} PASS: {against}{path}; open: ")
    assert since in paragraph(second)
    assert f"PASS: {against}{path}; open: " in paragraph(third)
    assert "since the night before" not in paragraph(first) + paragraph(third)
    nights = records.read(history).nights
    assert [f"changed since the night before: {reset.reason}" for reset in drift.resets(nights)] == [since]


def test_nights_of_another_baseline_server_or_judge_are_left_out(
    blessed: baselines.Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, mine = tmp_path / "h", str(blessed.info["id"])
    made = [a_night(blessed, history, monkeypatch, 0).run_dir for _ in range(5)]
    nights = records.read(history).nights
    assert len(earlier.judgements(nights, mine)) == 4
    assert earlier.judgements(nights, "another") == []
    assert earlier.judgements((), mine) == []
    store = Store(made[0])
    store.set_meta(detector_digest="another")
    store.close()
    shutil.rmtree(made[1])
    (made[2] / "run.sqlite").write_bytes(b"damaged")
    assert len(earlier.judgements(records.read(history).nights, mine)) == 1
    changed = {**finished_run.FINGERPRINT, "server_version": "0.33.0"}
    a_night(blessed, history, monkeypatch, 0, fingerprint=changed)
    assert earlier.judgements(records.read(history).nights, mine) == []


PAIR = {"name": "g", "server": "http://x", "verdict": "FAIL", "all": False, "detail": "x 3/20, the others 20/20"}


@pytest.mark.parametrize(
    ("found", "differ"),
    [
        ({"structure": ["http://x never calls a tool in 10 samples where the others do"], "gates": []}, True),
        ({"structure": [], "gates": [{**PAIR, "p": None, "adjusted": None}]}, False),
        ({"structure": [], "gates": [{**PAIR, "p": 0.0001, "adjusted": 0.005}]}, False),
        ({"structure": [], "gates": [{**PAIR, "p": 1e-6, "adjusted": 5e-5}]}, True),
    ],
)
def test_replicas_differ_by_proof_or_the_gate_stands_alone(
    found: dict[str, Any],
    differ: bool,
    blessed: baselines.Baseline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = {"verdict": "FAIL", "headline": "replicas differ: x", "servers": [], **found}
    tonight = a_night(blessed, tmp_path / "h", monkeypatch, 0, "FAIL", whole)
    assert tonight.status == (1 if differ else night.GATE_ALONE)

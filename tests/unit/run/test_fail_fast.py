"""`--fail-fast`: no more requests are sent after a gate has failed, and not before, seen by the server."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from annie_eval.errors import NotAsked
from annie_eval.gates.repeats import Repeats, keys_of_round
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.run.reader import Reader
from annie_eval.run.sampler import Endpoint, Sampler
from annie_eval.run.store import Store
from annie_eval.run.verdict import verdict_of
from tests.servers.fault_server import FaultServer

GATE = "no_markdown"
MODEL = "annie-test"


def one_gate(required: int | None, **changes: object) -> Profile:
    """The built-in profile with this gate alone, of fifteen samples."""
    profile = load("annie")
    return replace(profile, gates={GATE: replace(profile.gates[GATE], required=required, **changes)})  # type: ignore[arg-type]


def select(profile: Profile, run_dir: Path, repeats: Repeats) -> Store:
    store = Store(run_dir, create=True)
    store.set_meta(state="starting", repeats=asdict(repeats))
    keys = [key for scenario in profile.gate_scenarios(profile.gates[GATE]) for key in scenario.sample_keys()]
    asked = [key for turn in range(1, repeats.first + 1) for key in keys_of_round(profile, keys, turn)]
    store.select({GATE: asked}, [], asked)
    return store


def run(
    profile: Profile, run_dir: Path, fault: str | None, *, repeats: Repeats | None = None, fail_fast: bool = True
) -> tuple[Store, int]:
    """One request at a time until nothing more comes. Returns the store, and how many requests the server got."""
    repeats = repeats or Repeats()
    store = select(profile, run_dir, repeats)
    server = FaultServer(profile, fault)
    with server as url:
        sampler = Sampler(
            profile, run_dir, Endpoint(url, MODEL), concurrency=1, alive=lambda: None, fail_fast=fail_fast
        )
        sampler.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not _over(store, repeats):
            time.sleep(0.01)
        sampler.stop()
    return store, server.received


def _over(store: Store, repeats: Repeats) -> bool:
    if store.meta("ended") is not None:
        return True
    if repeats.adaptive:
        return bool((store.meta("rounds") or {}).get("over"))
    return not store.open_judgements(GATE)


def test_a_gate_that_can_no_longer_pass_ends_the_run_and_a_good_model_is_asked_everything(tmp_path: Path) -> None:
    profile = one_gate(12)
    for name in ("red", "clean", "patient"):
        (tmp_path / name).mkdir()
    store, red = run(profile, tmp_path / "red", "markdown-bold")
    result = verdict_of(profile, store, run_dir=tmp_path / "red").gates[0]
    assert (result.verdict, result.passed, result.n) == ("FAIL", 0, 4)  # three misses are allowed
    assert red == 4
    assert (len(store.finished()), len(store.wanted())) == (4, 15)
    assert store.state().startswith(f"ended: {GATE} can no longer pass: at best 11/15, needs 12")

    store, clean = run(profile, tmp_path / "clean", None)
    assert (clean, store.meta("ended")) == (15, None)
    store, patient = run(profile, tmp_path / "patient", "markdown-bold", fail_fast=False)
    assert (patient, store.meta("ended")) == (15, None)


def test_misses_that_a_gate_allows_do_not_end_the_run(tmp_path: Path) -> None:
    store, asked = run(one_gate(0), tmp_path, "markdown-bold")
    assert (asked, store.meta("ended")) == (15, None)


def test_over_fixed_repeats_the_misses_allowed_are_those_of_all_rounds(tmp_path: Path) -> None:
    """Of three times fifteen nine may miss; four in the first round decide nothing."""
    profile = one_gate(12)
    store, asked = run(profile, tmp_path, "markdown-bold", repeats=Repeats(3))
    result = verdict_of(profile, store, run_dir=tmp_path).gates[0]
    assert (result.verdict, result.required) == ("FAIL", 36)
    assert asked == 10


def test_until_decided_only_the_sequence_fails_a_gate_that_allows_misses(tmp_path: Path) -> None:
    """A round of misses is not yet evidence against 80 %: what ends the run is what would end the rounds."""
    for name in ("some", "none"):
        (tmp_path / name).mkdir()
    profile = one_gate(12)
    store, asked = run(profile, tmp_path / "some", "markdown-bold", repeats=Repeats(20, adaptive=True))
    result = verdict_of(profile, store, run_dir=tmp_path / "some").gates[0]
    assert (result.verdict, result.repeats["stopped"]) == ("FAIL", "decided")
    assert asked % 15 == 0
    assert asked >= 15
    strict = one_gate(None)
    store, asked = run(strict, tmp_path / "none", "markdown-bold", repeats=Repeats(20, adaptive=True))
    assert verdict_of(strict, store, run_dir=tmp_path / "none").gates[0].verdict == "FAIL"
    assert asked == 1


def test_a_timing_gate_that_was_not_measured_is_open_in_the_verdict_and_not_in_the_store(tmp_path: Path) -> None:
    profile = one_gate(12)
    store = Store(tmp_path, create=True)
    store.set_meta(state="starting")
    store.select({}, ["ttft_short", "decode"], [])
    slow = {"name": "ttft_short", "verdict": "FAIL", "median": 9.0, "limit": 1.0, "unit": "ms", "detail": ""}
    store.save_timing("row", [slow])
    assert len(verdict_of(profile, store, run_dir=tmp_path).timings) == 1
    store.end("ttft_short failed")
    found = verdict_of(profile, store, run_dir=tmp_path)
    assert [(row["name"], row["verdict"]) for row in found.timings] == [
        ("ttft_short", "FAIL"),
        ("decode", "INCONCLUSIVE"),
    ]
    assert found.verdict == "FAIL"
    assert len(store.timing("row")) == 1


def test_who_waits_for_what_is_not_asked_is_told(tmp_path: Path) -> None:
    profile = one_gate(12)
    store = select(profile, tmp_path, Repeats())
    store.end("no_markdown can no longer pass")
    reader = Reader(profile, tmp_path)
    with pytest.raises(NotAsked, match="no_markdown can no longer pass"):
        reader.judgement(GATE, store.selected(GATE)[0])
    assert reader.gate_result(GATE).verdict == "INCONCLUSIVE"

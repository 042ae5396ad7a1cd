"""The report of a run is the same whether its samples were packed while the run went on or at its end."""

from __future__ import annotations

import base64
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from annie_eval.gates.decide import scenario_of
from annie_eval.plugin import prepared_report
from annie_eval.plugin.prepared_report import PreparedReport
from annie_eval.report import page, samples
from annie_eval.report.samples import Gathered, Packer
from annie_eval.run import verdict_json
from annie_eval.run.store import Attempt, Store
from tests.support.finished_run import body, make_run

PASSED = {f"s-{n}": n % 3 != 0 for n in range(1, 8)}


def responses(gathered: Gathered) -> dict[str, list[Any]]:
    """(request, body, broken requests) of each sample, as the page's script reads them."""
    packs = [json.loads(zlib.decompress(base64.b64decode(pack))) for pack in gathered.packs]
    found = {}
    for key, (pack, at) in gathered.place.items():
        each = packs[pack]
        first, n = sum(each["counts"][:at]), each["counts"][at]
        found[key] = [each["request"][first : first + n], each["body"][first : first + n], each["broken"][at]]
    return found


def prepared(run: Path, monkeypatch: pytest.MonkeyPatch, wanted: int) -> Packer:
    """What the thread has packed as soon as it has seen `wanted` samples."""
    monkeypatch.setattr(prepared_report, "_PAUSE", 0.001)
    made: list[Packer] = []

    class Watched(Packer):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    monkeypatch.setattr(samples, "Packer", Watched)
    report = PreparedReport(run)
    report.start()
    until = time.monotonic() + 60
    while (not made or len(made[0].texts) < wanted) and time.monotonic() < until:
        time.sleep(0.001)
    packer = report.finish()
    assert packer is not None
    assert packer is made[0]
    return packer


@pytest.mark.parametrize("pack", [1, 2, 100])
def test_samples_packed_during_the_run_give_the_same_report(
    pack: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "_PACK", pack)
    run = make_run(tmp_path, "r", PASSED, bodies={key: body(f"Reply of {key}.") for key in PASSED})
    store = Store(run)
    repeated = "s-2.unstreamed.off"
    assert repeated in store.finished()
    store.save_attempt(repeated, 0, Attempt("reset", True, None, None))
    early = prepared(run, monkeypatch, len(PASSED) - 1)
    assert set(early.texts) == set(store.finished()) - {repeated}, "a request that broke is known at the end alone"

    verdict = verdict_json.load(run / "verdict.json")
    source = page.source_of(verdict, store)
    late, both = samples.gather(source, scenario_of), samples.gather(source, scenario_of, early)
    store.close()
    assert both.records == late.records
    assert [record.key for record in both.records] == sorted(both.place)
    assert responses(both) == responses(late)
    assert responses(both)[repeated][2], "its broken request is shown"


def test_a_thread_that_was_never_started_or_finds_no_run_prepares_nothing(tmp_path: Path) -> None:
    assert PreparedReport(tmp_path).finish() is None
    report = PreparedReport(tmp_path / "missing")
    report.start()
    assert report.finish() is None
    assert not (tmp_path / "missing").exists()


def test_the_room_of_the_page_is_filled_by_half_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path, "r", PASSED)
    monkeypatch.setattr(samples, "_PACK", 1)
    monkeypatch.setattr(samples, "MOST", 10)
    early = prepared(run, monkeypatch, 1)
    assert len(early.texts) == 1, "its pack is larger than that"
    store = Store(run)
    source = page.source_of(verdict_json.load(run / "verdict.json"), store)
    gathered = samples.gather(source, scenario_of, early)
    store.close()
    assert len(gathered.records) == len(PASSED)

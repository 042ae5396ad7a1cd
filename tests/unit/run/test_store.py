"""The store keeps answers through kills, resumes and several readers."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.run.store import Attempt, Store, StoredExchange

EXCHANGE = StoredExchange(0, 0, {"model": "m"}, 200, (("a", "b"),), b"\x00\xffbody", ((5, 3), (9, 4)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, create=True)


def test_exchange_comes_back_byte_for_byte(store: Store, tmp_path: Path) -> None:
    store.save_exchange("k", 0, EXCHANGE)
    store.save_sample("k", None)
    read = Store(tmp_path).sample("k")
    assert read is not None
    assert read.exchanges == (EXCHANGE,)


def test_judgement_comes_back_whole_even_with_lone_surrogates(store: Store) -> None:
    finding = Finding("markdown", "bold", "**a\ud800**", "content", 0, (1, 4))
    judgement = Judgement("g", "k", (finding,))
    store.select({"g": ["k"]}, [], ["k"])
    store.save_sample("k", None, [judgement])
    assert store.judgement("g", "k") == judgement
    assert store.judgements("g") == [judgement]
    assert store.open_judgements("g") == 0


def test_only_the_first_selection_counts(store: Store) -> None:
    store.select({"g": ["a", "b"]}, ["ttft"], ["a", "b"])
    store.select({"g": ["c"]}, [], ["c"])
    assert store.selected("g") == ["a", "b"]
    assert [key for _, key, _ in store.wanted()] == ["a", "b"]


def test_resume_keeps_what_was_measured_and_measures_again_what_broke_off(store: Store) -> None:
    kept = [{"name": "ttft_short", "verdict": "FAIL", "detail": "slow"}, {"name": "decode", "verdict": "PASS"}]
    store.save_timing("row", [kept[0], {"name": "itl", "verdict": "ERROR", "detail": "interrupted"}, kept[1]])
    store.save_timing("measurement", [{"kind": "short"}])
    store.reopen()
    assert store.timing("row") == kept
    assert store.timing("measurement") == [{"kind": "short"}]
    ((name, _, attempt),) = store.attempts()
    assert (name, attempt.cause) == ("timing itl", "before the run was resumed: interrupted")


@pytest.mark.parametrize(("proven", "kept"), [(True, ["held", "differs"]), (False, ["differs"])])
def test_resume_probes_the_state_again_of_another_process_or_where_it_broke(
    store: Store, proven: bool, kept: list[str]
) -> None:
    def row(probe: str, **values: object) -> dict[str, object]:
        return {"probe": probe, "differences": [], "error": "", **values}

    store.save_timing(
        "state", [row("held"), row("differs", differences=[{"size": 3.0}]), row("broke", error="HTTP 500")]
    )
    store.reopen(proven=proven)
    assert [one["probe"] for one in store.timing("state")] == kept


def test_resume_keeps_answers_and_asks_broken_samples_again(store: Store) -> None:
    store.select({"g": ["a", "b"]}, [], ["a", "b"])
    store.save_exchange("a", 0, EXCHANGE)
    store.save_sample("a", None, [Judgement("g", "a")])
    store.save_sample("b", "HTTP 500")
    store.reopen()
    assert store.finished() == {"a": None}
    assert store.meta("selection") is None
    assert store.judgement("g", "a") is None
    assert [(key, attempt.cause) for key, _, attempt in store.attempts()] == [
        ("b", "before the run was resumed: HTTP 500")
    ]


def test_same_exchange_cannot_be_saved_twice(store: Store) -> None:
    store.save_exchange("a", 0, EXCHANGE)
    with pytest.raises(Exception, match="UNIQUE"):
        store.save_exchange("a", 0, EXCHANGE)


def test_attempts_keep_what_had_come(store: Store) -> None:
    store.save_attempt("a", 1, Attempt("HTTP 500", True, 500, b"boom"))
    assert store.attempts("a") == [("a", 1, Attempt("HTTP 500", True, 500, b"boom"))]
    assert store.attempts("b") == []


def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run here"):
        Store(tmp_path)
    (tmp_path / "run.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 20)
    with pytest.raises(UsageError, match="not a run"):
        Store(tmp_path)

"""The search for failing prompts: replays first, stays within its budget, reports flaky ones, keeps the shortest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement
from annie_eval.probes import report
from annie_eval.probes.example import Example
from annie_eval.probes.noise import Edit
from annie_eval.probes.prober import Prober
from annie_eval.probes.search import CONFIRMED, Asker, Kept, Outcome, row
from annie_eval.profile.load import load
from annie_eval.run.reader import Judged, Reader, SampleBroken
from annie_eval.wire.sample import Sample

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"properties": {}, "required": []}}}
FOUND = Finding("thinking", "thinking tag '<think>'", "<think>Okay", "content")


class Server:
    """Stands in for a run: answers each ask at once. `fails` and `breaks` look at the prompt and its repeat."""

    def __init__(
        self, fails: Callable[[str, int], bool], breaks: Callable[[str], bool] = lambda prompt: False
    ) -> None:
        self.profile = load("annie")
        self.store = self
        self.fails, self.breaks = fails, breaks
        self.asks: dict[str, Mapping[str, Any]] = {}
        self.rows: list[Mapping[str, Any]] = []

    def ask(self, key: str, ask: Mapping[str, Any]) -> None:
        self.asks.setdefault(key, ask)

    def save_timing(self, kind: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows += rows

    def judged(self, gate: str, key: str) -> Judged:
        ask = self.asks[key]
        if self.breaks(ask["prompt"]):
            raise SampleBroken("HTTP 500")
        found = (FOUND,) if self.fails(ask["prompt"], ask["repeat"]) else ()
        return Judged(Judgement(gate, key, found), cast("Callable[[], Sample]", None))

    @property
    def prompts(self) -> list[str]:
        return [ask["prompt"] for ask in self.asks.values()]


def probe(server: Server, path: Path, budget: int = 300) -> Outcome:
    return Prober(cast("Reader", server), path, budget, 0).never("thinking")


def test_a_weakness_is_found_shrunk_and_kept(tmp_path: Path) -> None:
    outcome = probe(Server(lambda prompt, _: prompt.count("?") == 2), tmp_path)
    assert outcome.example == Example("??")
    assert outcome.again == (CONFIRMED, CONFIRMED)
    assert outcome.complete
    assert not outcome.replayed
    assert [example.prompt for example in Kept(tmp_path, "annie", "thinking").load()] == ["??"]


def test_the_next_run_asks_what_was_kept_before_anything_else(tmp_path: Path) -> None:
    probe(Server(lambda prompt, _: prompt.count("?") == 2), tmp_path)
    again = Server(lambda prompt, _: prompt.count("?") == 2)
    outcome = probe(again, tmp_path)
    assert again.prompts[0] == "??"
    assert outcome.replayed
    assert outcome.asked < 15  # it does not explore
    fixed = Server(lambda prompt, _: False)
    outcome = probe(fixed, tmp_path)
    assert fixed.prompts[0] == "??"
    assert outcome.example is None
    assert outcome.explored == 151
    assert Kept(tmp_path, "annie", "thinking").load()  # another model may fail for it tomorrow


def test_what_fails_only_sometimes_is_named_flaky(tmp_path: Path) -> None:
    outcome = probe(Server(lambda prompt, repeat: "?" in prompt and repeat in (1, 3)), tmp_path)
    assert outcome.again == (2, CONFIRMED)
    its = row(outcome, Kept(tmp_path, "annie", "thinking"))
    assert its["outcome"] == "flaky"
    assert "FLAKY, fails 2 of 5 times for '?'" in report.summary(its)


@pytest.mark.parametrize("budget", [20, 61, 300])
def test_no_more_is_asked_than_the_budget_allows(budget: int, tmp_path: Path) -> None:
    for fails in (lambda prompt, _: "?" in prompt, lambda prompt, _: len(prompt) > 90, lambda prompt, _: False):
        server = Server(fails)
        outcome = probe(server, tmp_path / f"{budget}", budget)
        assert len(server.asks) <= budget + len(Kept(tmp_path / f"{budget}", "annie", "thinking").load())
        assert outcome.asked <= budget


def test_a_server_that_always_fails_needs_one_character(tmp_path: Path) -> None:
    outcome = probe(Server(lambda prompt, _: True), tmp_path)
    assert outcome.example is not None
    assert len(outcome.example.prompt) == 1


def test_what_depends_on_the_way_of_sending_keeps_it(tmp_path: Path) -> None:
    class Whole(Server):
        def judged(self, gate: str, key: str) -> Judged:
            ask = self.asks[key]
            found = (FOUND,) if not ask["stream"] and ask["history"] and "!" in ask["prompt"] else ()
            return Judged(Judgement(gate, key, found), cast("Callable[[], Sample]", None))

    outcome = probe(Whole(lambda prompt, _: False), tmp_path)
    assert outcome.example is not None
    assert (outcome.example.prompt, outcome.example.stream, outcome.example.thinking) == ("!", False, "off")
    assert len(outcome.example.history) == 2


def test_a_server_that_breaks_is_no_weakness_and_no_success(tmp_path: Path) -> None:
    outcome = probe(Server(lambda prompt, _: False, breaks=lambda prompt: len(prompt) > 1000), tmp_path)
    its = row(outcome, Kept(tmp_path, "annie", "thinking"))
    assert its["outcome"] == "broken"
    assert "ERROR" in report.summary(its)
    assert "HTTP 500" in report.summary(its)
    assert Kept(tmp_path, "annie", "thinking").load() == []


def test_damage_in_the_database_is_removed_and_survived(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "annie", "thinking")
    kept.save(Example("hello"))
    file = next(path for path in tmp_path.rglob("*") if path.is_file() and b"hello" in path.read_bytes())
    file.write_bytes(b'{"format": 1, "prompt": 3')
    assert kept.load() == []
    assert Kept(tmp_path, "annie", "markdown").load() == []


GOOD = Example("a", ({"role": "user", "content": "b"},), edits=(Edit("lower case"),), tools=(TOOL,)).to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"null", b"\xff\x00", b'{"format": 2}', b'{"format": 1, "prompt": "a"}', b"[" * 100_000),
        GOOD.replace(b"lower case", b"no such edit"),
        GOOD.replace(b'"prompt": "a"', b'"prompt": ""'),
        GOOD.replace(b'"prompt": "a"', b'"prompt": 1'),
        GOOD.replace(b'"stream": true', b'"stream": "yes"'),
        GOOD.replace(b'"thinking": "off"', b'"thinking": "maybe"'),
        GOOD.replace(b'"parameters"', b'"parametres"'),
        GOOD.replace(b'"role"', b'"roll"'),
        GOOD.replace(b'"history"', b'"herstory"'),
    ],
)
def test_what_is_no_example_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no example"):
        Example.from_bytes(data)


def test_an_example_survives_the_database() -> None:
    for example in (
        Example("??\n\u202e\U0001f642"),
        Example("a", ({"role": "user", "content": "b"},), False, "unset", "x-1", (Edit("lower case", 3),), (TOOL,)),
    ):
        assert Example.from_bytes(example.to_bytes()) == example


def test_the_database_does_not_grow_without_end(tmp_path: Path) -> None:
    kept = Kept(tmp_path, "annie", "thinking")
    for length in range(1, 60):
        kept.save(Example("x" * length))
    assert Counter(len(example.prompt) for example in kept.load()) == Counter(range(1, 31))


def test_a_budget_is_shared_by_no_two_probes() -> None:
    server = Server(lambda prompt, _: False)
    asker = Asker(cast("Reader", server), 2)
    asker([Example("a"), Example("b"), Example("a")], ("thinking",))
    assert asker.asked == 2


def test_a_database_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept_in = tmp_path / "file" / "examples"
    outcome = Prober(cast("Reader", Server(lambda prompt, _: "?" in prompt)), kept_in, 300, 0)
    assert outcome.never("thinking").example == Example("?")
    row_ = cast("Server", outcome._reader).rows[-1]
    assert row_["not_kept"]
    assert "NOT kept in" in "\n".join(report.details(row_, "r", []))

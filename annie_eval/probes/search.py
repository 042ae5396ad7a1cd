"""Searches for a prompt that fails: earlier failures first, then drawn ones; a failure is shrunk and kept.

Everything is sent through the run's sampler, many at a time, and lies in the run's store afterwards. An example that
was asked once is not asked again in the same run, so that what shrinking sees is one function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis.database import DirectoryBasedExampleDatabase

from annie_eval.detectors.finding import Finding
from annie_eval.probes.example import Example
from annie_eval.probes.shrink import OutOfBudget, shrink
from annie_eval.run.reader import Reader, SampleBroken
from annie_eval.wire.sample import Sample

MOST_KEPT = 30  # examples in the database, for each probe
CONFIRMED = 5  # times that the shortest failing example is asked in all


@dataclass(frozen=True)
class ProbeReply:
    """What came of one example: what was found wrong with it, or why there is nothing to judge.

    `compares` is False where a relation has nothing to hold to: the scenario's own prompt fails already.
    """

    key: str
    findings: tuple[Finding, ...] = ()
    broken: str | None = None
    compares: bool = True
    load: Callable[[], Sample] | None = None

    @property
    def fails(self) -> bool:
        return self.broken is None and bool(self.findings)


# What is wrong with the replies to these examples, sent as their n-th repeat; broken ones are given back as they are.
Judge = Callable[[Sequence[Example], int], list[ProbeReply]]
# The ways to make an example smaller: its parts, the least number of them, and how to build it from fewer parts.
Reduction = tuple[Sequence[Any], int, Callable[[Sequence[Any]], Example]]
Reductions = Sequence[Callable[[Example], Reduction | None]]


@dataclass(frozen=True)
class Outcome:
    """How a search ended; a row of the report.

    Attributes:
        asked: examples that were asked and answered, those of shrinking and of confirming too.
        explored, failed: examples that were drawn or replayed and could be judged, and how many of them failed.
        example: the shortest one that failed; None where none did.
        reply: what came of it.
        again: how often it failed when it was asked `CONFIRMED` times.
        replayed: it came from the example database.
        shrunk_from: characters of the prompt, as it was found.
        broken: (prompt, cause) of examples that could not be judged.
        complete: shrinking ended because nothing more could go, not because the budget was spent.
    """

    probe: str
    asked: int
    explored: int
    failed: int = 0
    example: Example | None = None
    reply: ProbeReply | None = None
    again: tuple[int, int] = (0, 0)
    replayed: bool = False
    shrunk_from: int = 0
    broken: tuple[tuple[str, str], ...] = ()
    complete: bool = True


class Asker:
    """Sends examples through the run's sampler, at most `budget` of them, each once."""

    def __init__(self, reader: Reader, budget: int) -> None:
        self._reader = reader
        self.budget, self.asked = budget, 0
        self._known: set[str] = set()

    def __call__(self, examples: Sequence[Example], detectors: tuple[str, ...], repeat: int = 1) -> list[ProbeReply]:
        """The replies, in order. Raises OutOfBudget, before any is sent, if they would be too many."""
        keys = [example.key(detectors, repeat) for example in examples]
        new = dict.fromkeys(key for key in keys if key not in self._known)
        if self.asked + len(new) > self.budget:
            raise OutOfBudget
        self.asked += len(new)
        self._known.update(new)
        for key, example in zip(keys, examples, strict=True):
            self._reader.store.ask(key, example.ask(detectors, repeat))
        return [self._reply(key) for key in keys]

    def _reply(self, key: str) -> ProbeReply:
        try:
            judged = self._reader.judged(f"ask:{key}", key)
        except SampleBroken as error:
            return ProbeReply(key, broken=str(error))
        return ProbeReply(key, judged.findings, load=judged.load)


class Kept:
    """The examples of one probe that failed in earlier runs, shortest first, in hypothesis's example database."""

    def __init__(self, path: Path, profile: str, probe: str) -> None:
        self.path = path
        self.trouble: str | None = None
        self._database = DirectoryBasedExampleDatabase(path)
        self._key = f"annie-eval {profile} {probe}".encode()

    def load(self) -> list[Example]:
        """What is there and can be read; what cannot is removed."""
        found = []
        for data in self._database.fetch(self._key):
            try:
                found.append(Example.from_bytes(data))
            except ValueError:
                self._database.delete(self._key, data)
        return sorted(found, key=_size)

    def save(self, example: Example) -> None:
        """Keep this one too; beyond `MOST_KEPT` the longest go."""
        try:
            self._database.save(self._key, example.to_bytes())
        except OSError as error:
            self.trouble = str(error)
        if self.trouble is None and example not in self.load():
            self.trouble = "cannot be written"  # hypothesis keeps quiet about it
        for longest in self.load()[MOST_KEPT:]:
            self._database.delete(self._key, longest.to_bytes())

    def forget(self, example: Example) -> None:
        self._database.delete(self._key, example.to_bytes())


def _size(example: Example) -> tuple[int, int, int, int, str]:
    """Order of shortness: messages before it, edits and tools, characters, unusual ways of sending it."""
    ways = (not example.stream) + (example.thinking != "off")
    return len(example.history), len(example.edits) + len(example.tools), len(example.prompt), ways, example.prompt


def search(
    probe: str,
    asker: Asker,
    judge: Judge,
    reductions: Reductions,
    kept: Kept,
    draw: Callable[[int], Sequence[Example]],
) -> Outcome:
    """Replay, explore, shrink, confirm, keep.

    Half of the budget is for exploring (`draw` is asked for so many), what is left for the rest. Stored examples
    that pass now stay stored: they failed in another model, or on another day, and cost one request a night.
    """
    before = kept.load()
    replies = _ask_some(asker, judge, before)
    explored: list[tuple[Example, ProbeReply]] = list(zip(before, replies, strict=False))
    weak = [pair for pair in explored if pair[1].fails]
    replayed = bool(weak)
    if not weak:
        drawn = draw(asker.budget // 2)
        explored += zip(drawn, _ask_some(asker, judge, drawn), strict=False)
        weak = [pair for pair in explored if pair[1].fails]
    broken = tuple((example.prompt, reply.broken) for example, reply in explored if reply.broken is not None)
    judged = sum(reply.compares and reply.broken is None for _, reply in explored)
    outcome = Outcome(probe, asker.asked, judged, len(weak), broken=broken)
    if not weak:
        return outcome
    found, reply = min(weak, key=lambda pair: _size(pair[0]))
    example, reply, complete = _shortest(found, reply, asker, judge, reductions)
    kept.save(example)
    if replayed and found != example:
        kept.forget(found)
    again = _confirm(example, asker, judge)
    return replace(
        outcome,
        asked=asker.asked,
        example=example,
        reply=reply,
        again=again,
        replayed=replayed,
        shrunk_from=len(found.prompt),
        complete=complete,
    )


def _ask_some(asker: Asker, judge: Judge, examples: Sequence[Example]) -> list[ProbeReply]:
    """Replies to as many of the examples as half of the budget allows."""
    most = asker.budget // 2
    while examples:
        try:
            return judge(examples[:most], 1)
        except OutOfBudget:
            most //= 2
            if not most:
                break
    return []


def _shortest(
    found: Example, reply: ProbeReply, asker: Asker, judge: Judge, reductions: Reductions
) -> tuple[Example, ProbeReply, bool]:
    """The smallest example that shrinking reaches, its reply, and whether nothing more could be removed."""
    best = [(found, reply)]
    asker.budget -= CONFIRMED - 1

    def smaller(build: Callable[[Sequence[Any]], Example], parts: Iterable[Sequence[Any]]) -> list[bool]:
        candidates = [build(some) for some in parts]
        replies = judge(candidates, 1)
        for candidate, its in zip(candidates, replies, strict=True):
            if its.fails and _size(candidate) < _size(best[-1][0]):
                best.append((candidate, its))
        return [its.fails for its in replies]

    try:
        complete = False
        while not complete:
            before = best[-1][0]
            for reduction in reductions:
                if (ways := reduction(best[-1][0])) is not None:
                    items, least, build = ways
                    shrink(items, lambda parts, build=build: smaller(build, parts), least=least)  # type: ignore[misc]
            complete = best[-1][0] == before
    except OutOfBudget:
        complete = False
    finally:
        asker.budget += CONFIRMED - 1
    return *best[-1], complete


def _confirm(example: Example, asker: Asker, judge: Judge) -> tuple[int, int]:
    """(times it failed, times it was asked and could be judged), the first time included."""
    failed = asked = 1
    for repeat in range(2, CONFIRMED + 1):
        try:
            (reply,) = judge([example], repeat)
        except OutOfBudget:
            break
        asked += reply.broken is None
        failed += reply.fails
    return failed, asked


def row(outcome: Outcome, kept: Kept) -> Mapping[str, Any]:
    """The outcome as JSON, for the run's store and the report."""
    example, reply = outcome.example, outcome.reply
    plain: dict[str, Any] = {
        "name": outcome.probe,
        "asked": outcome.asked,
        "explored": outcome.explored,
        "failed": outcome.failed,
        "broken": [{"prompt": prompt, "cause": cause} for prompt, cause in outcome.broken],
    }
    if example is None or reply is None:
        how = "broken" if outcome.broken else "holds" if outcome.explored else "nothing"
        return plain | {"outcome": how}
    failed, asked = outcome.again
    finding = reply.findings[0]
    return plain | {
        "outcome": "fails" if failed == asked else "flaky",
        "prompt": example.prompt,
        "length": len(example.prompt),
        "stream": example.stream,
        "thinking": example.thinking,
        "history": list(example.history),
        "scenario": example.scenario,
        "edits": [edit.kind for edit in example.edits],
        "tools": list(example.tools),
        "detector": finding.detector,
        "reason": finding.reason,
        "excerpt": finding.excerpt,
        "again": [failed, asked],
        "replayed": outcome.replayed,
        "shrunk_from": outcome.shrunk_from,
        "complete": outcome.complete,
        "sample": reply.key,
        "database": str(kept.path),
        "not_kept": kept.trouble,
    }

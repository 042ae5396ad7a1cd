"""Searches for a failing prompt: stored failures first, then generated prompts; a failure is shrunk and stored.

All prompts are sent through the run's sampler, many at a time, and are stored in the run. Within a run an example is
sent only once, so that shrinking always sees the same result for it.
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
CONFIRMED = 5  # number of times that the shortest failing example is sent in all


@dataclass(frozen=True)
class ProbeReply:
    """The result of one example: its findings, or why it could not be judged.

    `compares` is False if there is nothing to compare with, because the scenario's own prompt fails.
    """

    key: str
    findings: tuple[Finding, ...] = ()
    broken: str | None = None
    compares: bool = True
    load: Callable[[], Sample] | None = None

    @property
    def fails(self) -> bool:
        return self.broken is None and bool(self.findings)


# (examples, n) -> their replies with findings, sent as n-th repeat; broken replies are returned unchanged.
Judge = Callable[[Sequence[Example], int], list[ProbeReply]]
# A way to make an example smaller: its parts, their minimum number, and how to build it from fewer parts.
Reduction = tuple[Sequence[Any], int, Callable[[Sequence[Any]], Example]]
Reductions = Sequence[Callable[[Example], Reduction | None]]


@dataclass(frozen=True)
class Outcome:
    """The result of a search, a row of the report.

    Attributes:
        asked: number of examples that were answered, including those of shrinking and confirming.
        explored, failed: number of generated or stored examples that could be judged, and how many of them failed.
        example: the shortest one that failed; None if none did.
        reply: its reply.
        again: how often it failed when it was sent `CONFIRMED` times.
        replayed: it came from the example database.
        shrunk_from: length of the prompt in characters before shrinking.
        broken: (prompt, cause) of examples that could not be judged.
        complete: shrinking ended because nothing more could be removed, not because the budget was spent.
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
    """Sends examples through the run's sampler, each once and at most `budget`."""

    def __init__(self, reader: Reader, budget: int) -> None:
        self._reader = reader
        self.budget, self.asked = budget, 0
        self._known: set[str] = set()

    def __call__(self, examples: Sequence[Example], detectors: tuple[str, ...], repeat: int = 1) -> list[ProbeReply]:
        """The replies, in order. Raises OutOfBudget before any is sent if the budget does not suffice."""
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
        """The stored examples; unreadable ones are removed."""
        found = []
        for data in self._database.fetch(self._key):
            try:
                found.append(Example.from_bytes(data))
            except ValueError:
                self._database.delete(self._key, data)
        return sorted(found, key=_size)

    def save(self, example: Example) -> None:
        """Store this example; beyond `MOST_KEPT` the longest are removed."""
        try:
            self._database.save(self._key, example.to_bytes())
        except OSError as error:
            self.trouble = str(error)
        if self.trouble is None and example not in self.load():
            self.trouble = "cannot be written"  # hypothesis does not report it
        for longest in self.load()[MOST_KEPT:]:
            self._database.delete(self._key, longest.to_bytes())

    def forget(self, example: Example) -> None:
        self._database.delete(self._key, example.to_bytes())


def _size(example: Example) -> tuple[int, int, int, int, str]:
    """Sort key for size: earlier messages, edits and tools, characters, unusual ways of sending it."""
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

    Half of the budget is for exploring (with `draw`), the remainder for the other steps. Stored examples that pass now
    stay stored: they failed for another model or at another time, and cost only one request per night.
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
    """The replies to as many examples as half of the budget allows."""
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
    """(times it failed, times it could be judged), including the first time."""
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

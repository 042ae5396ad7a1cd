"""Searches for the cause: changes one thing at a time, the most likely first, until the gate passes.

A `Bench` does the measurements: real servers (`blame.servers`), or a simulation (benchmarks/blame.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from annie_eval.blame.evidence import (
    ALPHA,
    FOR_SEVERAL,
    Comparison,
    Outcomes,
    compare,
    fewest,
    holds,
)
from annie_eval.blame.factors import Factor
from annie_eval.errors import TargetError, UsageError

NAMED, NOT_FOUND, NOT_MEASURED = 0, 1, 3
AGAIN = "again"
_OF_WEIGHTS = ("kernel", "kv_cache", "compilation", "speculation")
"""Topics whose faults may show only with this checkpoint's weights, so that the reference's weights hide them."""
_IN_COMMAND = ("server", "weights", "template")
Result = Literal["named", "helps", "no effect", "too few", "cleared", "not started", "not asked", "fails", "passes"]


@dataclass(frozen=True, slots=True)
class Question:
    """A failing gate.

    Attributes:
        share: the share of samples that it needs.
        prompts: the samples of each prompt.
        served: outcomes of the run in which it failed.
        factors: possible changes, the most likely first.
    """

    gate: str
    share: float
    prompts: Sequence[Sequence[str]]
    served: Outcomes
    factors: Sequence[Factor]

    @property
    def level(self) -> float:
        """The significance level of one change."""
        return (ALPHA - FOR_SEVERAL) / len(self.factors)

    def too_few(self) -> str:
        """Why no change could be named, however many misses it repairs; "" if one could."""
        missed, n = len(_missed(self.prompts, self.served)), len(self.prompts)
        least = fewest(n, self.level)
        if least is not None and missed >= least:
            return ""
        needs = f"needs at least {least} that miss" if least is not None else "needs a gate with more prompts"
        return f"{self.gate} misses {missed} of {n} prompts, and a search for the cause {needs}"


def _missed(prompts: Sequence[Sequence[str]], *runs: Outcomes) -> list[Sequence[str]]:
    """The prompts of which a sample missed in any of the runs."""
    return [keys for keys in prompts if any(run.get(key) is False for run in runs for key in keys)]


@dataclass(frozen=True, slots=True)
class Opinion:
    """The result of scoring the emitted tokens with transformers (the referee).

    Attributes:
        cleared: what is not the cause: `server` if the tokens are likely under the weights, `weights` if they are
            not; None if undecided.
        words: the result as a sentence without its full stop.
    """

    cleared: Literal["server", "weights"] | None
    words: str


class Bench(Protocol):
    """Measures a gate on a server with some changes."""

    def ask(
        self,
        name: str,
        factors: Sequence[Factor],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Outcomes], bool],
    ) -> Outcomes:
        """The outcomes of the samples, sent chunk by chunk until `enough`. Raises TargetError if no server starts."""
        ...

    def reparsed(self) -> Outcomes | str:
        """The outcomes of `AGAIN` if our own parsers read the same tokens; or the reason why they cannot."""
        ...

    def referee(self) -> Opinion | None:
        """The referee's opinion on `AGAIN`; None if there is no referee."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: one change that was tried.

    Attributes:
        how: the change in words.
        note: a remark below the table.
    """

    name: str
    how: str
    result: Result
    comparison: Comparison | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of the search.

    Attributes:
        status: the command's exit status.
        causes: names of the changes that make the gate pass, or `parser` or `server`; empty if no cause was found.
        sentence: the result in words.
    """

    status: int
    causes: tuple[str, ...]
    sentence: str
    rows: tuple[Row, ...]


def search(question: Question, bench: Bench, say: Callable[[str], None] = lambda line: None) -> Finding:
    """Search for the cause. `say` receives a line of progress before each step."""
    return _Search(question, bench, say).run()


@dataclass(slots=True)
class _Search:
    question: Question
    bench: Bench
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    again: Outcomes = field(default_factory=dict)
    prompt_of: Mapping[str, str] = field(default_factory=dict)
    missed: Sequence[Sequence[str]] = ()

    def run(self) -> Finding:
        question = self.question
        self.prompt_of = {key: keys[0] for keys in question.prompts for key in keys}
        if (ended := self._again()) is not None:
            return ended
        if (ended := self._parser()) is not None:
            return ended
        opinion = self.bench.referee()
        cleared = None if opinion is None else opinion.cleared
        if opinion is not None:
            self.rows.append(Row("referee", "transformers on the same tokens", "cleared" if cleared else "no effect",
                                 note=opinion.words))  # fmt: skip
        left = [factor for factor in question.factors if factor.kind != cleared]
        while left:
            factor = left.pop(0)
            row = self._try((factor,), question.level)
            if row.result == "named" and factor.kind == "weights" and cleared != "server":
                # A kernel that is wrong only for these weights looks the same. The other settings served the
                # reference well.
                left = [one for one in left if one.topic in _OF_WEIGHTS]
                continue
            if row.result == "named":
                return self._named((factor,), opinion)
        if weights := [f for f in question.factors if f.kind == "weights" and self._result(f.name) == "named"]:
            return self._named(tuple(weights), opinion)
        if cleared == "weights":
            assert opinion is not None
            sentence = f"The server did it, but none of the settings that were tried: {opinion.words}."
            return self._end(NAMED, ("server",), sentence)
        return self._together(cleared) or self._nothing(opinion)

    def _again(self) -> Finding | None:
        """Measure the restarted, unchanged server. Returns a result if there is nothing to search for."""
        question = self.question
        self.say("again: the unchanged server, restarted")
        try:
            self.again = self.bench.ask(AGAIN, (), [list(self.prompt_of)], lambda outcomes: False)
        except TargetError as error:
            return self._end(NOT_MEASURED, (), f"Nothing could be measured: {error}")
        self.missed = _missed(question.prompts, question.served, self.again)
        sound = [outcome for outcome in self.again.values() if outcome is not None]
        flips = sum(
            was is not None and now is not None and was != now
            for key, now in self.again.items()
            if (was := question.served.get(key)) is not None
        )
        note = f"{sum(sound)}/{len(sound)} passed; {flips} samples differ from the first run"
        if not sound:
            return self._end(NOT_MEASURED, (), f"Nothing could be measured: all {len(self.again)} samples broke.")
        failed = not holds(sum(sound), len(sound), question.share)
        self.rows.append(Row(AGAIN, "unchanged, restarted", "fails" if failed else "passes", note=note))
        if failed:
            return None
        return self._end(
            NOT_FOUND,
            (),
            f"{question.gate} failed, but passes on the same server after a restart: chance, or the server's state"
            " (annie-eval docs blame, server_state).",
        )

    def _parser(self) -> Finding | None:
        """Read the same tokens with our own parsers. This needs no server, and chance plays no part."""
        ours = self.bench.reparsed()
        how = "our parsers on the same tokens"
        if isinstance(ours, str):
            self.rows.append(Row("parser", how, "not asked", note=ours))
            return None
        sound = [outcome for outcome in ours.values() if outcome is not None]
        better = sum(now is True and self.again.get(key) is False for key, now in ours.items())
        passes = holds(sum(sound), len(sound), self.question.share)
        result: Result = "named" if passes else "helps" if better else "no effect"
        note = f"{sum(sound)}/{len(sound)} pass, {better} of them only with our parsers"
        self.rows.append(Row("parser", how, result, note=note))
        if not passes:
            return None
        return self._end(
            NAMED,
            ("parser",),
            f"The server's parsers did it: read by our parsers, the same tokens pass {self.question.gate} in"
            f" {sum(sound)} of {len(sound)} samples; {better} of them missed as the server read them. The weights are"
            " not the cause.",
        )

    def _try(self, factors: tuple[Factor, ...], level: float) -> Row:
        name = "+".join(factor.name for factor in factors)
        how = " and ".join(factor.how for factor in factors)
        self.say(f"{name}: {how}")
        first = [key for keys in self.missed for key in keys]
        rest = [key for key in self.prompt_of if key not in set(first)]

        def compared(outcomes: Outcomes) -> Comparison:
            return compare(self.again, outcomes, self.prompt_of, self.question.share, level)

        try:
            chunks = [chunk for chunk in (first, rest) if chunk]
            found = compared(self.bench.ask(name, factors, chunks, lambda seen: compared(seen).useless))
        except (TargetError, UsageError) as error:
            row = Row(name, how, "not started", note=str(error))
        else:
            result: Result = "no effect"
            if found.n == 0:
                result = "not started"
            elif found.named or found.helps:
                result = "named" if found.named else "helps"
            elif found.better > found.worse:
                result = "too few"
            note = "all samples broke" if found.n == 0 else ""
            if result == "too few":
                least = fewest(found.n, level)
                note = f"{least or 'more'} of {found.n} prompts would have to get better, and none worse"
            row = Row(name, how, result, found, note)
        self.rows.append(row)
        return row

    def _result(self, name: str) -> str | None:
        return next((row.result for row in self.rows if row.name == name), None)

    def _together(self, cleared: str | None) -> Finding | None:
        """Make one change of each topic at once. If the gate passes, leave out the changes that it does not need."""
        if any(row.comparison is not None and row.comparison.passes for row in self.rows):
            return None  # one change is enough but not significant; others would be named without reason
        startable = [f for f in self.question.factors if f.kind != cleared and self._result(f.name) != "not started"]
        likeliest = [f for n, f in enumerate(startable) if f.topic not in {one.topic for one in startable[:n]}]
        # The change of weights keeps the old template, so a change of template must come after it.
        left = sorted(likeliest, key=lambda one: _IN_COMMAND.index(one.kind))
        level = FOR_SEVERAL / (len(left) + 1)
        if len(left) < 2 or self._try(tuple(left), level).result != "named":
            return None
        for factor in tuple(left):
            fewer = tuple(one for one in left if one is not factor)
            if len(fewer) > 1 and self._try(fewer, level).result == "named":
                left.remove(factor)
        return self._named(tuple(left), None)

    def _named(self, factors: tuple[Factor, ...], opinion: Opinion | None) -> Finding:
        name = "+".join(factor.name for factor in factors)
        found = next(row.comparison for row in self.rows if row.name == name)
        assert found is not None
        what = " and ".join(factor.what for factor in factors) + (" together" if len(factors) > 1 else "")
        how = " and ".join(factor.how for factor in factors)
        sentence = (
            f"{what[0].upper()}{what[1:]} did it: with {how}, {found.passed} of {found.asked} samples pass"
            f" {self.question.gate}; {found.better} of {found.n} prompts are better and {found.worse} worse"
            f" (p = {found.p:.2g})."
        )
        if factors[0].kind == "weights":
            others = [row.name for row in self.rows if row.name not in (AGAIN, "parser", "referee", name)]
            sentence += f" {opinion.words}." if opinion is not None else ""
            sentence += f" No other change makes the gate pass: {', '.join(others)}." if others else ""
        elif self._result("weights") == "no effect":
            sentence += " The weights are not the cause: those of the reference miss, too."
        return self._end(NAMED, tuple(factor.name for factor in factors), sentence)

    def _nothing(self, opinion: Opinion | None) -> Finding:
        tried = [row for row in self.rows if row.name not in (AGAIN, "parser", "referee")]
        if tried and all(row.result == "not started" for row in tried):
            return self._end(NOT_MEASURED, (), "Nothing could be measured: no changed server started.")
        close = [row.name for row in tried if row.result in ("helps", "too few")]
        best = max((row.comparison.better for row in tried if row.comparison is not None), default=0)
        effect = f"made at most {best} better, and as many worse" if best else "made none better"
        asked = f"of the {len(self.missed)} prompts that missed, each change {effect}"
        if close:
            left = f"closest came {', '.join(close)}, but the evidence is too weak or the gate still fails"
        elif self._result("weights") in (None, "not started"):
            left = f"{asked}. The weights were not tried"
        else:
            left = f"{asked}, and so did the reference's weights. Look at the prompts, the profile and the base model"
        score = f" {opinion.words}." if opinion is not None else ""
        return self._end(NOT_FOUND, (), f"Nothing that was tried did it: {left}.{score}")

    def _end(self, status: int, causes: tuple[str, ...], sentence: str) -> Finding:
        return Finding(status, causes, sentence, tuple(self.rows))

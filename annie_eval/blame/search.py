"""The search: the gate fails again; then one change at a time, the most likely first, until one mends it.

What is measured, and how, is the business of a `Bench`: servers (`blame.servers`), or a simulation
(benchmarks/blame.py).
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
    chunks,
    compare,
    fewest,
    holds,
)
from annie_eval.blame.factors import Factor
from annie_eval.errors import TargetError, UsageError

NAMED, NOT_FOUND, NOT_MEASURED = 0, 1, 3
AGAIN = "again"
_OF_WEIGHTS = ("kernel", "kv_cache", "compilation", "speculation")
"""What computes with these weights alone, or by their scales, so that the reference's may hide its fault."""
_IN_COMMAND = ("server", "weights", "template")
Result = Literal["named", "helps", "no effect", "too few", "cleared", "not started", "not asked", "fails", "passes"]


@dataclass(frozen=True, slots=True)
class Question:
    """A gate that fails.

    Attributes:
        share: of its samples that it asks for.
        prompts: the samples of each of its prompts, in an order that does not depend on the answers.
        served: how the run that failed it went.
        factors: what can be changed, the most likely first.
    """

    gate: str
    share: float
    prompts: Sequence[Sequence[str]]
    served: Outcomes
    factors: Sequence[Factor]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the referee says of the tokens that were emitted.

    Attributes:
        cleared: `server` where they are what the weights say, `weights` where they are not; None where it is open.
        words: in a sentence.
    """

    cleared: Literal["server", "weights"] | None
    words: str


class Bench(Protocol):
    """Asks a server that is served with some changes."""

    def ask(
        self,
        name: str,
        factors: Sequence[Factor],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Outcomes], bool],
    ) -> Outcomes:
        """The outcomes of the samples, chunk by chunk, until it is enough. Raises TargetError: it does not start."""
        ...

    def reparsed(self) -> Outcomes | str:
        """The outcomes of `AGAIN` with parsers of our own, on the same tokens; or why that cannot be said."""
        ...

    def referee(self) -> Opinion | None:
        """An opinion on `AGAIN`; None where none is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """What was tried.

    Attributes:
        how: the change.
        note: what there is to say beside the numbers.
    """

    name: str
    how: str
    result: Result
    comparison: Comparison | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the search comes to.

    Attributes:
        status: the command's exit status.
        causes: names of the changes that mend the gate, `parser` or `server`; empty where none is named.
        sentence: that in words.
    """

    status: int
    causes: tuple[str, ...]
    sentence: str
    rows: tuple[Row, ...]


def search(question: Question, bench: Bench, say: Callable[[str], None] = lambda line: None) -> Finding:
    """Search for the cause.

    Args:
        say: takes a line before each step.
    """
    return _Search(question, bench, say).run()


@dataclass(slots=True)
class _Search:
    question: Question
    bench: Bench
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    again: Outcomes = field(default_factory=dict)
    prompt_of: Mapping[str, str] = field(default_factory=dict)
    chunks: list[list[str]] = field(default_factory=list)

    def run(self) -> Finding:
        question = self.question
        self.prompt_of = {key: keys[0] for keys in question.prompts for key in keys}
        self.chunks = chunks(question.prompts)
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
            row = self._try((factor,), (ALPHA - FOR_SEVERAL) / len(question.factors))
            if row.result == "named" and factor.kind == "weights" and cleared != "server":
                # A kernel that is wrong for these weights alone looks the same. The rest served the reference well.
                left = [one for one in left if one.topic in _OF_WEIGHTS]
                continue
            if row.result == "named":
                return self._named((factor,), opinion)
        if weights := [f for f in question.factors if f.kind == "weights" and self._result(f.name) == "named"]:
            return self._named(tuple(weights), opinion)
        if cleared == "weights":
            assert opinion is not None
            sentence = f"The server did it, but with none of the settings that were tried: {opinion.words}."
            return self._end(NAMED, ("server",), sentence)
        return self._together(cleared) or self._nothing(opinion)

    def _again(self) -> Finding | None:
        """Ask once more of the server as it is. Not None where nothing is left to search for."""
        question = self.question
        self.say("again: the server as it is, started anew")
        try:
            self.again = self.bench.ask(AGAIN, (), self.chunks, lambda outcomes: False)
        except TargetError as error:
            return self._end(NOT_MEASURED, (), f"Nothing could be measured: {error}")
        sound = [outcome for outcome in self.again.values() if outcome is not None]
        flips = sum(
            was is not None and now is not None and was != now
            for key, now in self.again.items()
            if (was := question.served.get(key)) is not None
        )
        note = f"{sum(sound)}/{len(sound)} passed; {flips} samples otherwise than the first time"
        if not sound:
            return self._end(NOT_MEASURED, (), f"Nothing could be measured: all {len(self.again)} samples broke.")
        failed = not holds(sum(sound), len(sound), question.share)
        self.rows.append(Row(AGAIN, "as served, started anew", "fails" if failed else "passes", note=note))
        if failed:
            return None
        return self._end(
            NOT_FOUND,
            (),
            f"{question.gate} failed, and holds when the same server is asked again: chance, or the server's state"
            " (docs/blame.md, server_state).",
        )

    def _parser(self) -> Finding | None:
        """The same tokens, read by our parsers: no chance is in this, and no server is started."""
        ours = self.bench.reparsed()
        how = "our parsers on the same tokens"
        if isinstance(ours, str):
            self.rows.append(Row("parser", how, "not asked", note=ours))
            return None
        sound = [outcome for outcome in ours.values() if outcome is not None]
        better = sum(now is True and self.again.get(key) is False for key, now in ours.items())
        mends = holds(sum(sound), len(sound), self.question.share)
        result: Result = "named" if mends else "helps" if better else "no effect"
        self.rows.append(Row("parser", how, result, note=f"{sum(sound)}/{len(sound)} pass, {better} of them only so"))
        if not mends:
            return None
        return self._end(
            NAMED,
            ("parser",),
            f"The server's parsers did it: read by ours, the same tokens pass {self.question.gate} in {sum(sound)} of"
            f" {len(sound)} samples; {better} of them missed as the server reads them. The weights have no part.",
        )

    def _try(self, factors: tuple[Factor, ...], level: float) -> Row:
        name = "+".join(factor.name for factor in factors)
        how = " and ".join(factor.how for factor in factors)
        self.say(f"{name}: {how}")
        level /= len(self.chunks)

        def compared(outcomes: Outcomes) -> Comparison:
            return compare(self.again, outcomes, self.prompt_of, self.question.share, level)

        try:
            found = compared(self.bench.ask(name, factors, self.chunks, lambda seen: compared(seen).decided))
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
                note = f"{least or 'more'} of {found.n} prompts would have to be better, and none worse"
            row = Row(name, how, result, found, note)
        self.rows.append(row)
        return row

    def _result(self, name: str) -> str | None:
        return next((row.result for row in self.rows if row.name == name), None)

    def _together(self, cleared: str | None) -> Finding | None:
        """All changes at once, one of each topic. If that mends the gate, those are left out that are not needed."""
        if any(row.comparison is not None and row.comparison.mends for row in self.rows):
            return None  # one alone mends it, and lacks evidence: others beside it would be named for nothing
        startable = [f for f in self.question.factors if f.kind != cleared and self._result(f.name) != "not started"]
        likeliest = [f for n, f in enumerate(startable) if f.topic not in {one.topic for one in startable[:n]}]
        # The weights keep the prompt as it was, and a template changes it.
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
            sentence += f" None of the others mends it: {', '.join(others)}." if others else ""
        elif self._result("weights") == "no effect":
            sentence += " The weights have no part: those of the reference miss as well."
        return self._end(NAMED, tuple(factor.name for factor in factors), sentence)

    def _nothing(self, opinion: Opinion | None) -> Finding:
        tried = [row for row in self.rows if row.name not in (AGAIN, "parser", "referee")]
        if tried and all(row.result == "not started" for row in tried):
            return self._end(NOT_MEASURED, (), "Nothing could be measured: no changed server started.")
        close = [row.name for row in tried if row.result in ("helps", "too few")]
        weights = self._result("weights")
        if close:
            left = (
                f"closest came {', '.join(close)}, which the evidence does not carry or which does not mend the gate"
            )
        elif weights in (None, "not started"):
            left = "weights are left"
        else:
            left = "the weights neither. Left is what all of these share: the prompts, the profile, the kind of model"
        said = f" {opinion.words}." if opinion is not None else ""
        return self._end(NOT_FOUND, (), f"Nothing that was tried did it; {left}.{said}")

    def _end(self, status: int, causes: tuple[str, ...], sentence: str) -> Finding:
        return Finding(status, causes, sentence, tuple(self.rows))

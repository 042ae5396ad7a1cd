"""What a comparison with a baseline says: frozen data, and its form in verdict.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from annie_eval.gates.verdicts import ComparisonVerdict

EXIT: Mapping[ComparisonVerdict, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 1, "ERROR": 1, "REFUSED": 4}


@dataclass(frozen=True, slots=True)
class GatePair:
    """One gate before and now, over the samples that both runs answered.

    Attributes:
        n: such samples, of `scenarios` scenarios.
        before, now: how many of them passed.
        worse, better: samples that passed before and miss now; and the other way.
        p: one-sided exact McNemar p-value, samples of one scenario kept together; of a night `nights.one_night`.
        adjusted: p after Holm's correction over all gates; of a night `nights.adjusted` for all nights and gates.
        margin: the loss in pass rate that need not be ruled out. One that the profile sets (`own_margin`) does not
            matter: a proven loss below it passes.
        p_margin: exact p-value against a loss of `margin` or more.
        broken: samples answered before that broke now.
        alone: samples that only one of the runs has.
        missing: samples of the baseline that this run lacks in every repeat.
        nights: that are taken together, tonight with them; 0 for a comparison that is made once. In them
            `nights_passed` of `nights_n` samples passed.
        p_nights: `paired.lowest` of them and the baseline.
    """

    name: str
    verdict: ComparisonVerdict
    n: int
    scenarios: int
    before: int
    now: int
    worse: tuple[str, ...]
    better: tuple[str, ...]
    p: float
    adjusted: float
    margin: float
    p_margin: float
    own_margin: bool = False
    detail: str = ""
    broken: tuple[str, ...] = ()
    alone: int = 0
    missing: int = 0
    nights: int = 0
    nights_passed: int = 0
    nights_n: int = 0
    p_nights: float = 1.0


@dataclass(frozen=True, slots=True)
class TimingPair:
    """One timing before and now.

    Attributes:
        before, now: medians of n_before and n_now measurements, in `unit`.
        ratio: how much slower it is now: 1.1 takes 1.1 times as long, or makes 1/1.1 as many tokens per second.
        interval: of the ratio.
        noise: the largest ratio that two runs of the same thing show by chance.
        judged: False where it is only shown.
    """

    name: str
    verdict: ComparisonVerdict
    unit: str
    before: float
    now: float
    n_before: int
    n_now: int
    ratio: float
    interval: tuple[float, float]
    noise: float
    judged: bool = True
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A sample that passes a gate in one of the runs alone, with both answers."""

    gate: str
    sample: str
    direction: Literal["worse", "better"]
    reason: str
    before: tuple[Mapping[str, Any], ...]
    now: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Regression:
    """A run against its baseline.

    Attributes:
        headline: the verdict and what changed, in one line.
        baseline: `name`, `run`, `id` (another for every blessing), `blessed`, and `flips` of its A/A run, if there
            is one: by gate [worse, better, of so many], the noise floor.
        changed: what is another than before: files, server, answers.
        refused: why nothing can be compared; () if it can.
        same_words: (samples answered with the very same words, samples answered in both).
    """

    verdict: ComparisonVerdict
    headline: str
    baseline: Mapping[str, Any]
    changed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    gates: tuple[GatePair, ...] = ()
    timings: tuple[TimingPair, ...] = ()
    changes: tuple[Change, ...] = ()
    same_words: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = field(default=())

    def floor(self, gate: str) -> str:
        """The flips of a gate between two runs of the blessed server: `1 worse, 0 better of 25`; "" if unknown."""
        found = (self.baseline.get("flips") or {}).get(gate)
        return f"{found[0]} worse, {found[1]} better of {found[2]}" if found else ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: Mapping[str, Any]) -> Regression:
    """Read back what `Regression.as_dict` has become in verdict.json."""

    def strings(found: Mapping[str, Any], *names: str) -> dict[str, tuple[str, ...]]:
        return {name: tuple(found[name]) for name in names}

    return Regression(
        verdict=values["verdict"],
        headline=values["headline"],
        baseline=values["baseline"],
        **strings(values, "changed", "refused", "notes"),
        gates=tuple(GatePair(**{**gate, **strings(gate, "worse", "better", "broken")}) for gate in values["gates"]),
        timings=tuple(
            TimingPair(**{**row, "interval": (row["interval"][0], row["interval"][1])}) for row in values["timings"]
        ),
        changes=tuple(
            Change(**{**each, "before": tuple(each["before"]), "now": tuple(each["now"])})
            for each in values["changes"]
        ),
        same_words=(values["same_words"][0], values["same_words"][1]),
    )

"""The result of a comparison with a baseline: frozen dataclasses, and their form in verdict.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from annie_eval.gates.verdicts import ComparisonVerdict

EXIT: Mapping[ComparisonVerdict, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 1, "ERROR": 1, "REFUSED": 4}


@dataclass(frozen=True, slots=True)
class GatePair:
    """One gate in both runs, over the samples that both answered.

    Attributes:
        n: number of these samples, of `scenarios` scenarios.
        before, now: how many of them passed.
        worse, better: samples that passed before and fail now, and the reverse.
        p: one-sided exact McNemar p-value, samples of one scenario kept together; for a night `nights.one_night`.
        adjusted: p after Holm's correction over all gates; for a night `nights.adjusted` for all nights and gates.
        margin: loss of pass rate that need not be ruled out. If the profile sets it (`own_margin`), it is acceptable:
            a proven loss below it passes.
        p_margin: exact p-value against a loss of `margin` or more.
        broken: samples that were answered before and broke now.
        alone: samples that only one of the runs has.
        missing: samples of the baseline of which this run has no repeat.
        nights: number of nights taken together, including tonight; 0 for a single comparison. In them
            `nights_passed` of `nights_n` samples passed.
        p_nights: `paired.lowest` for these nights and the baseline.
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
    """One timing in both runs.

    Attributes:
        before, now: medians of n_before and n_now measurements, in `unit`.
        ratio: how much slower it is now: 1.1 means 1.1 times as long, or 1/1.1 as many tokens per second.
        interval: confidence interval of the ratio.
        noise: the largest ratio that two runs of the same server show by chance.
        judged: False if it is only shown.
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
    """A sample that passes a gate in only one of the runs, with both answers."""

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
        baseline: `name`, `run`, `id` (unique for each blessing), `blessed`, and `flips` of its A/A run, if there is
            one: by gate [worse, better, n], the noise floor.
        changed: differences of files, server and answers.
        refused: why the runs are not comparable; () if they are.
        same_words: (samples with exactly the same words, samples answered in both runs).
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
    """Read a `Regression` from verdict.json."""

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

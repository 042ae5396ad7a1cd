"""Computes the verdicts of gates and of the run from judgements. Pure; see docs/statistics.md.

The rules are applied in this order: missing samples cannot turn a failure into a pass (FAIL first); broken samples are
no evidence (ERROR); samples that were not sent are no evidence either (INCONCLUSIVE); only then can a gate PASS.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import worst
from annie_eval.profile.types import Gate, Verdict
from annie_eval.stats import binomial, clusters


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate measured and what follows from it.

    Attributes:
        passed, n: samples that passed, of those that could be judged. Broken samples are in neither.
        errors: number of samples that could not be judged because the exchange or a detector broke.
        required: how many must pass, of `expected`.
        expected: number of samples of the gate in a complete run of the profile.
        lower_bound: the bound on the pass rate that the profile requires; None if it requires none.
        confidence: level of `interval` and `rules_out`.
        interval: two-sided exact interval of the pass rate; None if n is 0.
        rules_out: one-sided exact upper bound on the miss rate: higher rates are ruled out. None if n is 0.
        baseline: results measured elsewhere, by model.
        detail: why the verdict is not PASS, in a few words; "" for PASS.
        misses: judgements with findings, by sample.
        broken: judgements with an error, by sample.
        repeats: if samples were sent more than once, the result of `gates.repeats`: rounds, most, adaptive,
            stopped (why), threshold, scenarios, pass_hat_k (by k); {} otherwise.
        cause: `server` if the gate fails because of the server's state and not of the weights; "" if unknown.
        blame: in that case, the evidence in one or two sentences.
    """

    name: str
    verdict: Verdict
    passed: int
    n: int
    errors: int
    required: int
    expected: int
    lower_bound: float | None = None
    confidence: float = 0.95
    interval: tuple[float, float] | None = None
    rules_out: float | None = None
    baseline: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""
    misses: tuple[Judgement, ...] = ()
    broken: tuple[Judgement, ...] = ()
    repeats: Mapping[str, Any] = field(default_factory=dict)
    cause: str = ""
    blame: str = ""


@dataclass(frozen=True, slots=True)
class RunVerdict:
    """The verdict of a run, the content of all reports.

    Attributes:
        gates: in the profile's order.
        errors: what broke: `sample` (None for the run itself) and `cause`; more fields are kept.
        fingerprint: what must be equal for two runs to be comparable.
        timings: rows of the timing gates: name, verdict, median, interval, n, limit, unit, roofline, detail.
        transport: counts of requests with connection errors, and of those that were sent again (`resent`).
        selection: `gates` (samples selected, by gate) and `complete` (whether that is the complete profile).
        profile: `name` and `digest`.
        target: `base_url` and `served_model`.
        capabilities: what could not be checked on this server, each with the reason.
        regression: the comparison with a baseline, as `annie_eval.regression.result.Regression.as_dict`; {} without
            one.
        replicas: if several servers share the samples, as `annie_eval.regression.replicas.as_dict`; {} otherwise.
        started: seconds since the epoch.
        seconds: wall time of the run.
    """

    verdict: Verdict
    gates: tuple[GateResult, ...] = ()
    errors: tuple[Mapping[str, Any], ...] = ()
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    timings: tuple[Mapping[str, Any], ...] = ()
    transport: Mapping[str, int] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    regression: Mapping[str, Any] = field(default_factory=dict)
    replicas: Mapping[str, Any] = field(default_factory=dict)
    started: float = 0.0
    seconds: float = 0.0
    run_dir: str = ""
    version: str = ""


def scenario_of(key: str) -> str:
    """The scenario's id in a sample's key."""
    return key.partition(".")[0]


def decide(
    gate: Gate,
    judgements: Sequence[Judgement],
    expected: int,
    selected: int | None = None,
    prompts: Mapping[str, str] | None = None,
) -> GateResult:
    """The verdict of one gate.

    Args:
        gate: its rules. `required` None means all must pass, independent of `lower_bound`; 0 leaves the decision to
            `lower_bound`.
        judgements: one for each sample that was selected and judged, including broken ones.
        expected: number of samples of the gate in a complete run of the profile, independent of the selection.
        selected: number of selected samples; an interrupted run may have judged fewer. None: all are in `judgements`.
        prompts: scenarios with the same prompt, see `Profile.prompts`. Bounds count prompts: the samples of one prompt
            (streamed and unstreamed, repeats) are similar, and form one cluster.

    FAIL: more misses than allowed, or the upper bound below `lower_bound`, even if every sample that broke or was not
    sent would pass. ERROR: else, if any sample broke. INCONCLUSIVE: else, if samples are missing, or the lower
    confidence bound does not reach `lower_bound`. PASS: else.

    Raises:
        ValueError: judgements of another gate, a sample judged twice, more judgements than samples expected, or more
            required than expected.
    """
    if any(judgement.gate != gate.name for judgement in judgements):
        raise ValueError(f"gate {gate.name}: was given a judgement of another gate")
    if len({judgement.sample for judgement in judgements}) != len(judgements):
        raise ValueError(f"gate {gate.name}: a sample was judged twice")
    required = expected if gate.required is None else gate.required
    if len(judgements) > expected or not 0 <= required <= expected:
        raise ValueError(
            f"gate {gate.name}: {len(judgements)} judgements and {required} required, of {expected} expected"
        )
    # Sorted by name, not by arrival, so that equal runs have equal reports.
    judgements = sorted(judgements, key=lambda judgement: judgement.sample)
    broken = tuple(judgement for judgement in judgements if judgement.error is not None)
    misses = tuple(judgement for judgement in judgements if judgement.error is None and judgement.findings)
    n = len(judgements) - len(broken)
    passed = n - len(misses)
    judged = by_prompt((one for one in judgements if one.error is None), prompts)
    verdict: Verdict
    # The best case: all samples that broke or were not sent pass.
    failure = _failure(gate, required, _and_more(judged, expected - n))
    if failure:
        verdict, detail = "FAIL", failure if n == expected else f"at best {failure}"
    elif broken:
        verdict, detail = "ERROR", f"{len(broken)} of {len(judgements)} samples broke"
    elif n == 0:
        verdict, detail = "INCONCLUSIVE", "no sample judged" if selected else "no sample selected"
    elif selected is not None and n < selected:
        verdict, detail = "INCONCLUSIVE", f"{n} of {selected} selected samples judged"
    elif n < expected:
        verdict, detail = "INCONCLUSIVE", f"{n} of {expected} samples selected"
    elif doubt := _doubt(gate, judged):
        verdict, detail = "INCONCLUSIVE", doubt
    else:
        verdict, detail = "PASS", ""
    return GateResult(
        name=gate.name,
        verdict=verdict,
        passed=passed,
        n=n,
        errors=len(broken),
        required=required,
        expected=expected,
        lower_bound=gate.lower_bound,
        confidence=gate.confidence,
        interval=clusters.interval(*judged, gate.confidence) if n else None,
        rules_out=1.0 - clusters.lower_bound(*judged, gate.confidence) if n else None,
        baseline=gate.baseline,
        detail=detail,
        misses=misses,
        broken=broken,
    )


# Number of passed samples and of samples, by prompt.
Counts = tuple[list[int], list[int]]


def by_prompt(judgements: Iterable[Judgement], prompts: Mapping[str, str] | None = None) -> Counts:
    """For each prompt, the number of passed samples and of samples."""
    counts: dict[str, list[int]] = {}
    for one in judgements:
        scenario = scenario_of(one.sample)
        count = counts.setdefault((prompts or {}).get(scenario, scenario), [0, 0])
        count[0] += one.passed
        count[1] += 1
    return [passed for passed, _ in counts.values()], [n for _, n in counts.values()]


def _and_more(judged: Counts, more: int) -> Counts:
    """The same counts, with `more` further prompts that pass."""
    return [*judged[0], *[1] * more], [*judged[1], *[1] * more]


def _failure(gate: Gate, required: int, judged: Counts) -> str:
    """Why these counts fail the gate, "" if they do not."""
    passed, n = map(sum, judged)
    if passed < required:
        return f"{passed}/{n}, needs {required}"
    if gate.lower_bound is not None and n:
        upper = clusters.upper_bound(*judged, gate.confidence)
        if upper < gate.lower_bound:
            return f"{passed}/{n}, upper bound {100 * upper:.1f} % is below {100 * gate.lower_bound:g} %"
    return ""


def _doubt(gate: Gate, judged: Counts) -> str:
    """Why these counts do not prove the lower bound, "" if they do."""
    if gate.lower_bound is not None:
        lower = clusters.lower_bound(*judged, gate.confidence)
        if lower < gate.lower_bound:
            passed, n = map(sum, judged)
            of = "" if n == len(judged[1]) else f" of {len(judged[1])} prompts"
            return f"{passed}/{n}{of}, lower bound {100 * lower:.1f} % does not reach {100 * gate.lower_bound:g} %"
    return ""


def tolerates(result: GateResult) -> bool:
    """Whether a miss in this gate is reported as xfail: only if the gate passes in spite of it."""
    return result.verdict == "PASS"


def overall(results: Sequence[GateResult], timings: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """The run's verdict: the worst of its gates and timing rows. A run that judged nothing is an ERROR."""
    verdicts: list[Verdict] = [result.verdict for result in results]
    verdicts += [row["verdict"] for row in timings]
    return worst(verdicts) or "ERROR"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The probability of each verdict for a model with a given true pass rate, if all samples are answered."""

    rate: float
    passes: float
    inconclusive: float
    fails: float


def operating_curve(gate: Gate, expected: int, rates: Iterable[float]) -> list[OperatingPoint]:
    """The verdicts for models with these true pass rates, assuming independent samples.

    Raises:
        ValueError: a rate outside [0, 1], no samples, or more required than expected.
    """
    required = expected if gate.required is None else gate.required
    if expected < 1 or required > expected:
        raise ValueError(f"gate {gate.name}: {required} required of {expected} expected")
    counts = range(expected + 1)

    def prompts(passed: int) -> Counts:
        return [1] * passed + [0] * (expected - passed), [1] * expected

    open_from = bisect.bisect_left(counts, True, key=lambda k: not _failure(gate, required, prompts(k)))
    passes_from = bisect.bisect_left(
        counts,
        True,
        key=lambda k: not _failure(gate, required, prompts(k)) and not _doubt(gate, prompts(k)),
    )
    points = []
    for rate in rates:
        passes, open_ = (
            binomial.binomial_tail(passes_from, expected, rate),
            binomial.binomial_tail(open_from, expected, rate),
        )
        points.append(OperatingPoint(rate, passes, open_ - passes, 1.0 - open_))
    return points


def all_errors(verdict: RunVerdict) -> list[dict[str, Any]]:
    """All errors without duplicates: those of the run, then those that only a gate has."""
    errors = [dict(error) for error in verdict.errors]
    known = {(error.get("sample"), error.get("cause")) for error in errors}
    for result in verdict.gates:
        for judgement in result.broken:
            if (judgement.sample, judgement.error) not in known:
                known.add((judgement.sample, judgement.error))
                errors.append({"sample": judgement.sample, "gate": result.name, "cause": judgement.error})
    return errors

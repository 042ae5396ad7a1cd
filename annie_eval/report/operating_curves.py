"""Operating curves of a profile's gates: the chance that each passes a model, by the model's true pass rate."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from annie_eval.gates.decide import GateResult, operating_curve
from annie_eval.profile.types import Profile
from annie_eval.report.phrases import percent
from annie_eval.stats import binomial, clusters
from annie_eval.text import aligned, printable

RATES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)


def lines(profile: Profile, rates: Sequence[float] = RATES) -> list[str]:
    """The table, for a terminal. Gates without samples are left out."""
    rows = [["gate", "needs", *(f"{100 * rate:g}%" for rate in rates), "none missed rules out"]]
    passes: list[list[float]] = []
    for gate in profile.gates.values():
        sizes = [len(scenario.variants) for scenario in profile.gate_scenarios(gate)]
        n = sum(sizes)
        if n == 0:
            continue
        curve = operating_curve(gate, n, rates)
        needs = f"{n if gate.required is None else gate.required}/{n}"
        bound = "" if gate.lower_bound is None else f" >={percent(gate.lower_bound)}"
        ruled_out = f">{percent(1.0 - clusters.lower_bound(sizes, sizes, gate.confidence))}"
        rows.append([printable(gate.name), needs + bound, *(chance(point.passes) for point in curve), ruled_out])
        if gate.lower_bound is not None:
            rows.append(["  fails", "", *(chance(point.fails) for point in curve), ""])
        if not gate.every_sample:
            passes.append([point.passes for point in curve])
    if len(passes) > 1:
        together = [chance(prod(column)) for column in zip(*passes, strict=True)]
        rows.append([f"all {len(passes)} together", "", *together, ""])
    return [
        f"profile {printable(profile.name)}: the chance that a gate passes a model, by the model's true pass rate",
        "",
        *aligned(rows),
        "",
        "Samples are taken as independent. Between PASS and FAIL lies INCONCLUSIVE, if a lower bound is required.",
        "In the last column, as in the table of a run, a prompt that is sent streamed and unstreamed counts once.",
        "The last row is for a model with that rate in each gate; gates over every sample are left out of it.",
    ]


def of_result(result: GateResult) -> str:
    """Return how often a gate that needs k of n passes a model, by its true rate: `50% in 38%, 70% in 85% of runs`."""
    shares = [
        f"{percent(rate)} in {chance(binomial.binomial_tail(result.required, result.expected, rate))}"
        for rate in RATES[:4]
    ]
    return f"{', '.join(shares)} of runs"


def chance(probability: float) -> str:
    """Return whole percent, but never 0% or 100%, because no outcome is impossible or certain."""
    if probability < 0.01:
        return "<1%"
    return ">99%" if probability > 0.99 else f"{100 * probability:.0f}%"

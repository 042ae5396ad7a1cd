"""A table for `--until-decided`: how often each gate passes or fails by true pass rate, and after how many samples."""

from __future__ import annotations

from collections.abc import Sequence

from annie_eval.gates.repeats import threshold
from annie_eval.profile.types import Profile
from annie_eval.report.operating_curves import chance
from annie_eval.report.phrases import percent
from annie_eval.stats import sequential
from annie_eval.text import aligned, printable

RATES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def lines(profile: Profile, most: int, rates: Sequence[float] = RATES) -> list[str]:
    """The table, for a terminal. Gates that allow no miss and set no bound are only named: they need one round."""
    rows = [["gate", "a round", "", *(f"{100 * rate:g}%" for rate in rates)]]
    once = []
    for gate in profile.gates.values():
        scenarios = profile.gate_scenarios(gate)
        n = len({profile.prompts[scenario.id] for scenario in scenarios})
        limit = threshold(gate, sum(len(scenario.variants) for scenario in scenarios)) if n else None
        if limit is None or not 0.0 < limit < 1.0:
            once += [printable(gate.name)] if n else []
            continue
        found = sequential.table(limit, n, most, rates)
        rows += [
            [printable(gate.name), str(n), f"above {percent(limit)}", *(chance(one.above) for one, _ in found)],
            ["", "", "below", *(chance(one.below) for one, _ in found)],
            ["", "", "samples", *(f"{one.mean:.0f}" for one, _ in found)],
            ["", "", "fixed", *("-" if fixed is None else str(fixed) for _, fixed in found)],
        ]
    return [
        f"profile {printable(profile.name)}: --until-decided, at most {most} rounds, by the model's true pass rate",
        "",
        *(aligned(rows) if len(rows) > 1 else ["no gate has a required pass rate, so there is nothing to show"]),
        "",
        *([f"One round, because no miss is allowed and no rate is required: {', '.join(once)}."] if once else []),
        "above, below: how often the evidence says so, exactly; never, more than one time in twenty, the wrong one.",
        "samples: mean number, each prompt in one way. fixed: samples set beforehand that decide as surely; - where",
        "the rate is the threshold, or is hardly ever told from it.",
    ]

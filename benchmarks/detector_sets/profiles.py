"""How likely a shipped profile fails a model that is right on every scenario, by false alarms alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import decide
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Profile, Scenario, sample_key
from annie_eval.stats import binomial
from benchmarks.detector_sets.rows import Row

SHIPPED = ("annie", "annie-strict", "annie-smol")
PREFIX = "speech"
# Judged by the same rules as the detector that was measured.
_SAME = {"dropped_calls": "restraint"}


def table(rows: list[Row]) -> Iterator[str]:
    """Lines of a table: for each shipped profile the chance of no PASS, by the alarms in rows of speech.

    The estimate takes the rate of alarms as it was seen, less those that were read and deserved (read.toml); the upper
    bound takes the one-sided 95 % bound of each detector.
    Detectors that speech cannot measure (a call's arguments, facts, brevity, wire) count as never wrong. A line of
    speech stands for one answer; answers are taken as independent.
    """
    speech: dict[str, list[Row]] = {}
    for row in rows:
        # Symbols and abbreviations are there in other people's speech.
        if row.label.startswith(PREFIX) and not row.label.endswith(": speakable"):
            speech.setdefault(row.label.rpartition(": ")[2], []).append(row)
    alarms = {name: sum(row.wrong - row.right for row in some) for name, some in speech.items()}
    lines = {name: sum(row.n for row in some) for name, some in speech.items()}
    seen = {name: alarms[name] / lines[name] for name in speech}
    most = {name: binomial.upper_bound(alarms[name], lines[name]) for name in speech}
    yield "| profile | answers | estimate | upper bound | by gate |"
    yield "|---|---|---|---|---|"
    for name in SHIPPED:
        profile = load(name)
        parts = {gate.name: _fails(gate, profile, seen) for gate in profile.gates.values()}
        estimate, upper = _any(parts.values()), _any(_fails(gate, profile, most) for gate in profile.gates.values())
        answers = sum(_answers(scenario) * len(scenario.variants) for scenario in profile.scenarios)
        by_gate = ", ".join(f"{gate} {100 * chance:.2f} %" for gate, chance in parts.items() if chance >= 0.00005)
        yield f"| {name} | {answers} | {100 * estimate:.2f} % | {100 * upper:.2f} % | {by_gate} |"


def _any(chances: Iterable[float]) -> float:
    passed = 1.0
    for chance in chances:
        passed *= 1 - chance
    return 1 - passed


def _fails(gate: Gate, profile: Profile, rates: Mapping[str, float]) -> float:
    """The chance that a gate does not PASS, where each answer is alarmed at by the gate's detectors at these rates."""
    samples = [
        (sample_key(scenario.id, variant), scenario)
        for scenario in profile.scenarios
        if gate.every_sample or scenario.category in gate.categories
        for variant in scenario.variants
    ]
    allowed = _allowed(gate, profile, [key for key, _ in samples])
    chances = [1.0]  # of so many misses
    for _, scenario in samples:
        detectors = {_SAME.get(name, name) for name in gate.detectors_for(scenario.category)}
        rate = 1 - (1 - min(1.0, sum(rates.get(name, 0.0) for name in detectors))) ** _answers(scenario)
        missed = [0.0, *(chance * rate for chance in chances)]
        chances = [kept * (1 - rate) + lost for kept, lost in zip([*chances, 0.0], missed, strict=True)]
    return 1 - sum(chances[: allowed + 1])


def _allowed(gate: Gate, profile: Profile, keys: list[str]) -> int:
    """How many samples may miss before the gate does not pass."""
    for misses in range(len(keys) + 1):
        judged = [Judgement(gate.name, key, (Finding("", ""),) if i < misses else ()) for i, key in enumerate(keys)]
        if decide(gate, judged, len(keys), prompts=profile.prompts).verdict != "PASS":
            return misses - 1
    return len(keys)


def _answers(scenario: Scenario) -> int:
    """How many spoken answers one sample of a scenario has: one a turn, and one after the tool results of a turn."""
    return sum(1 + bool(turn.tool_results) for turn in scenario.turns)

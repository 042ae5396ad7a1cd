"""Report lines about repeats: how reliable each prompt is, and how the gate was decided. Does no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.gates.decide import GateResult
from annie_eval.report.phrases import percent
from annie_eval.text import printable


def lines(gates: Sequence[GateResult], sampling: Mapping[str, Any]) -> list[str]:
    """Return one line for each gate whose samples were asked more than once, and the meaning of its columns.

    Args:
        sampling: of the fingerprint. A line warns that repeats at temperature 0 show little.
    """
    asked = [gate for gate in gates if gate.repeats]
    if not asked:
        return []
    out = [
        f"repeats: {printable(gate.name)}: {gate.passed}/{gate.n}{_reliability(gate)}; {_how(gate)}" for gate in asked
    ]
    if any(gate.repeats["adaptive"] for gate in asked):
        out.append("Intervals are confidence sequences: they hold at every round at once.")
    else:
        out.append("Intervals take into account that repeats of a scenario resemble each other.")
    if sampling.get("temperature") == 0:
        out.append("At temperature 0 repeats differ only where the server's arithmetic does.")
    return out


def _reliability(gate: GateResult) -> str:
    """`, pass^3 61%`: the chance that this number of repeats of a prompt all pass."""
    chances = gate.repeats["pass_hat_k"]
    if not chances:
        return ""
    deepest = max(chances, key=int)
    return f" in {gate.repeats['scenarios']} scenarios, pass^{deepest} {percent(chances[deepest])}"


def _how(gate: GateResult) -> str:
    facts = gate.repeats
    rounds = f"{facts['rounds']} round" + ("s" if facts["rounds"] != 1 else "")
    limit = "" if facts["threshold"] is None else percent(facts["threshold"])
    low, high = gate.interval or (0.0, 1.0)
    sequence = f"{percent(low)} to {percent(high)}"
    match facts["stopped"]:
        case "fixed":
            return f"{facts['most']} repeats of each, as asked"
        case "rule":
            why = "a miss, and none is allowed" if gate.verdict == "FAIL" else "no miss, and no rate is required"
            return f"decided after {rounds}: {why}"
        case "decided":
            side = "above" if gate.verdict == "PASS" else "below"
            return f"decided after {rounds}: {sequence} lies {side} {limit}"
        case "hopeless":
            return f"given up after {rounds}: {sequence} holds {limit}, and {facts['most']} would hardly decide"
        case "prompts":
            return f"given up after {rounds}: {gate.detail}"
        case "cap" if gate.detail and gate.lower_bound is not None and "sequence" not in gate.detail:
            return f"not decided in {rounds}, the most allowed: {gate.detail}"
        case "cap" if gate.verdict == "FAIL":
            return f"not decided in {rounds}, the most allowed: {gate.detail}"
        case "cap":
            return f"not decided in {rounds}, the most allowed: {sequence} holds {limit}"
        case "broken":
            return f"stopped after {rounds}: samples broke"
        case "part":
            return f"not decided: {printable(gate.detail)}"
    return f"cut short in round {facts['rounds']}"

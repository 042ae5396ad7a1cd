"""A gate's result, from what the store holds: the one place where every reader of a run gets it."""

from __future__ import annotations

from annie_eval.gates import GateResult, decide
from annie_eval.profile import Profile
from annie_eval.repeats import Repeats, decide_repeated
from annie_eval.store import Store


def gate_result(profile: Profile, store: Store, name: str) -> GateResult:
    """A gate's result on what has been judged so far."""
    gate = profile.gates[name]
    expected = sum(len(scenario.variants) for scenario in profile.gate_scenarios(gate))
    judgements, selected = store.judgements(name), len(store.selected(name))
    repeats = Repeats.from_json(store.meta("repeats"))
    if not repeats.asked:
        return decide(gate, judgements, expected, selected=selected)
    rounds = (store.meta("rounds") or {}).get("gates", {}).get(name, repeats.first)
    return decide_repeated(profile, gate, judgements, expected, selected, repeats, rounds)

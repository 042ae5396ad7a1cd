"""Gate results and sample outcomes, from what the store holds: the one place where every reader of a run gets them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from annie_eval.gates.decide import GateResult, decide
from annie_eval.gates.repeats import Repeats, decide_repeated, own_repeats, round_of
from annie_eval.profile.types import Profile
from annie_eval.run.store import Store


def gate_result(profile: Profile, store: Store, name: str) -> GateResult:
    """A gate's result on what has been judged so far."""
    gate = profile.gates[name]
    expected = sum(len(scenario.variants) for scenario in profile.gate_scenarios(gate))
    judgements, selected = store.judgements(name), store.selected(name)
    repeats = Repeats.from_json(store.meta("repeats"))
    if not repeats.asked:
        return decide(gate, judgements, expected, selected=len(selected), prompts=profile.prompts)
    rounds = (store.meta("rounds") or {}).get("gates", {}).get(name, repeats.first)
    own = own_repeats(profile)
    asked = sum(round_of(own, key) <= rounds for key in selected)
    return decide_repeated(profile, gate, judgements, expected, len(selected), repeats, rounds, asked)


def outcomes(run_dir: Path) -> dict[str, dict[str, bool]]:
    """Whether each selected sample passed, by gate; broken samples, which are no outcome, are left out.

    Raises:
        UsageError: no run there.
    """
    store = Store(run_dir)
    try:
        found: dict[str, dict[str, bool]] = defaultdict(dict)
        for judgement in store.judgements():
            if judgement.error is None:
                found[judgement.gate][judgement.sample] = judgement.passed
        return dict(found)
    finally:
        store.close()

"""Computes gate results, sample outcomes and the verdict of a run from its store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annie_eval import __version__
from annie_eval.gates.decide import GateResult, RunVerdict, decide, overall
from annie_eval.gates.repeats import Repeats, decide_repeated, own_repeats, round_of
from annie_eval.gates.server_state import ProbeResult, summary
from annie_eval.gates.verdicts import worst
from annie_eval.profile.types import Profile
from annie_eval.run.replica_answers import compared
from annie_eval.run.store import Store


def gate_result(profile: Profile, store: Store, name: str) -> GateResult:
    """A gate's result on the samples judged so far."""
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
    """Whether each selected sample passed, by gate; broken samples are left out.

    Raises:
        UsageError: there is no run.
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


def unkept(verdict: RunVerdict, cause: str) -> RunVerdict:
    """The same verdict as an ERROR, because it could not be written."""
    broke = {"sample": None, "cause": f"the verdict could not be written:  {cause}"}
    return replace(verdict, verdict="ERROR", errors=(broke, *verdict.errors))


def verdict_of(profile: Profile, store: Store, *, run_dir: Path, note: str | None = None) -> RunVerdict:
    """The verdict from the store, also for an interrupted run."""
    selection: Mapping[str, Any] = store.meta("selection") or {"gates": {}, "perf": []}
    results = []
    for name in profile.gates:
        if name in selection["gates"]:
            results.append(gate_result(profile, store, name))
    probed = summary(map(ProbeResult.from_dict, store.timing("state")), selection.get("state", ()))
    if probed.result is not None:
        results.append(probed.result)
    errors: list[dict[str, Any]] = [
        {"sample": key, "cause": error} for key, error in store.finished().items() if error is not None
    ]
    if note is not None:
        errors.insert(0, {"sample": None, "cause": note})
    timings = store.timing("row")
    ended = store.meta("ended")
    if ended is not None:
        timings += _not_measured(selection["perf"], timings)
    verdict = overall(results, timings)
    if note is not None and verdict != "FAIL":
        verdict = "ERROR"
    facts = store.all_meta()
    shared = _replicas(profile, store, facts.get("target", {}), run_dir)
    if shared:
        verdict = worst([verdict, shared["verdict"]]) or verdict
    attempts = [attempt for _, _, attempt in store.attempts()]
    return RunVerdict(
        verdict=verdict,
        gates=tuple(results),
        errors=tuple(errors),
        fingerprint=facts.get("fingerprint", {}),
        capabilities={**facts.get("capabilities", {}), **probed.unchecked},
        timings=tuple(timings),
        transport={"resent": sum(a.resent for a in attempts), "broken": len(attempts)},
        selection={
            "gates": selection["gates"],
            "perf": selection["perf"],
            "complete": set(selection["gates"]) == set(profile.gates)
            and set(profile.state.probes if profile.state else ()) <= set(selection.get("state", ()))
            and all(len(store.selected(r.name)) >= r.expected for r in results if r.name in profile.gates),
            **({"ended": ended, "unanswered": _unanswered(store)} if ended is not None else {}),
        },
        profile={"name": profile.name, "digest": profile.digest},
        target=facts.get("target", {}),
        replicas=shared,
        started=facts.get("started", 0.0),
        seconds=facts.get("seconds", 0.0),
        run_dir=str(run_dir),
        version=__version__,
    )


def _unanswered(store: Store) -> int:
    """The number of selected samples without an answer."""
    finished = store.finished()
    return sum(key not in finished for _, key, _ in store.wanted())


def _not_measured(wanted: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each timing gate that an early end left out; it is not stored, so --resume measures it."""
    known = {row["name"] for row in rows}
    empty = {"median": None, "interval": None, "n": 0, "limit": None, "unit": "", "roofline": None}
    detail = "not measured: the run ended early"
    return [{"name": n, "verdict": "INCONCLUSIVE", **empty, "detail": detail} for n in wanted if n not in known]


def _replicas(profile: Profile, store: Store, target: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """The comparison of replicas; {} if there was only one server."""
    if not target.get("replicas"):
        return {}
    return compared(profile, store, run_dir, [target["base_url"], *target["replicas"]])

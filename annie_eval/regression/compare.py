"""Compares a run with a baseline: fingerprint, gates, and the samples whose outcome changed. Pure.

Samples are paired by name. A gate FAILs if it is significantly worse (exact McNemar test, Holm over all gates; for
nightly runs `stats.nights`), PASSes if a loss of its margin or more is ruled out, and is INCONCLUSIVE otherwise; see
docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import ComparisonVerdict, worst
from annie_eval.regression import determinism, diagnosis
from annie_eval.regression import timings as speed
from annie_eval.regression.result import Change, GatePair, Regression, TimingPair
from annie_eval.regression.run_data import RunData, first_of, scenario_of
from annie_eval.serving import fingerprint_diff
from annie_eval.stats import binomial, nights
from annie_eval.stats.paired import default_margin, lowest, noninferiority, pairs_to_decide, sign_flip
from annie_eval.timing import machine

ALPHA = 0.05
"""Probability of a wrong FAIL over all gates (and nights) together, and of a wrong PASS of one gate."""
Judgements = Mapping[str, Mapping[str, Judgement]]
"""Judgements of a run, by gate and sample."""
_MOST = 4  # maximum number of changes in the headline


def compare_run_data(
    before: RunData,
    now: RunData,
    *,
    baseline: Mapping[str, Any],
    noise: speed.Noise,
    earlier: Sequence[Judgements] | None = None,
) -> Regression:
    """Compare the run `now` with the baseline `before`.

    Args:
        baseline: facts about the baseline: `name`, `run`, `id`, `blessed`.
        noise: noise floor of the baseline's timings.
        earlier: as for `compare_gates`.
    """
    known = fingerprint_diff.between(before.fingerprint, now.fingerprint)
    profiles = fingerprint_diff.of_profiles(before.snapshot, now.snapshot, _digests(before, now))
    refused = [*profiles, *(reason for reason in known.refused if not _said_by(profiles, reason))]
    parsers = {name: _same(name, before, now) for name in ("tool_parser", "reasoning_parser")}
    traces = diagnosis.diagnose(before.heard, now.heard, **parsers)
    same_template = _same("chat_template", before, now) is not None
    seen = []
    for trace in traces:
        if trace.refuses and same_template:
            seen.append(trace.description.replace(diagnosis.PROMPTS, "the tokenizer changed"))
        elif not (refused and trace.refuses):
            (refused if trace.refuses else seen).append(trace.description)
    fails = any(trace.fails for trace in traces)
    if unsteady := determinism.trace(before.facts.get("steadiness"), now.facts.get("steadiness")):
        seen.insert(0, unsteady)
        fails = True
    changed = (*known.compared, *seen)
    same = diagnosis.alike(before.heard, now.heard)
    if refused:
        headline = _headline("REFUSED", baseline, "; ".join(_some(refused)), changed, "")
        return Regression("REFUSED", headline, baseline, changed, tuple(refused), same_words=same)
    selected: Mapping[str, Any] = (now.facts.get("selection") or {}).get("gates") or {}
    judged = {**{gate: {} for gate in selected}, **now.judgements}
    gates = compare_gates(before.judgements, judged, margins(now.snapshot), open_ended(now.snapshot), earlier)
    timings = speed.compare_timings(before.timings, now.timings, noise)
    verdict = overall(gates, timings)
    if fails and verdict != "FAIL":
        verdict = "FAIL"
        effect = f"no gate of {len(gates)} is worse beyond chance, but this is another server"
    else:
        effect = _effect(verdict, gates, timings)
    notes = _notes(before, now, timings, noise)
    if verdict == "INCONCLUSIVE" and earlier is None:
        notes = [*_would_decide(gates), *notes]
    if not changed:
        text, of = same
        answers = f", {of - text} of {of} answers in other words" if text < of else ""
        changed_said = f"nothing known of the server changed{answers}"
    else:
        changed_said = ""
    return Regression(
        verdict=verdict,
        headline=_headline(verdict, baseline, changed_said, changed, effect),
        baseline=baseline,
        changed=changed,
        gates=tuple(gates),
        timings=tuple(timings),
        changes=tuple(_changes(before, now, gates)),
        same_words=same,
        notes=tuple(notes),
    )


def _same(name: str, before: RunData, now: RunData) -> Any:
    """The field's value if it is the same in both fingerprints, otherwise None."""
    value = before.fingerprint.get(name)
    return value if value == now.fingerprint.get(name) else None


# Fields of the fingerprint that come from the profile -> the profile's field.
_OF_PROFILE = {
    "sampling.": "the sampling",
    "serving.tool_parser": "the tool parser",
    "serving.reasoning_parser": "the reasoning parser",
    "serving.chat_template_kwargs": "the template's switches",
}


def _said_by(profiles: Sequence[str], reason: str) -> bool:
    return any(
        what in reason and any(each.startswith(field) for each in profiles) for field, what in _OF_PROFILE.items()
    )


def margins(snapshot: Mapping[str, Any]) -> dict[str, float]:
    """The margins that the profile sets, by gate."""
    gates: Mapping[str, Mapping[str, Any]] = snapshot.get("gates") or {}
    return {name: gate["margin"] for name, gate in gates.items() if gate.get("margin") is not None}


def open_ended(snapshot: Mapping[str, Any]) -> frozenset[str]:
    """Gates over every sample, which have no samples of their own."""
    gates: Mapping[str, Mapping[str, Any]] = snapshot.get("gates") or {}
    return frozenset(name for name, gate in gates.items() if gate.get("categories") == ["*"])


def compare_gates(
    before: Judgements,
    now: Judgements,
    given: Mapping[str, float],
    open_ended: frozenset[str] = frozenset(),
    earlier: Sequence[Judgements] | None = None,
) -> list[GatePair]:
    """Every gate that both runs judged, in the order of `before`.

    Args:
        given: margins by gate; other gates have the default.
        open_ended: gates over every sample; all others PASS only if all samples of the baseline were answered.
        earlier: nights of this server since the baseline. Then the error rate of a FAIL holds for all nights together
            (`stats.nights`). None for a single comparison.
    """
    found = [
        _gate(name, before[name], now[name], given.get(name), whole=name not in open_ended)
        for name in before
        if name in now
    ]
    if earlier is None:
        adjusted = binomial.holm([gate.p for gate in found])
    else:
        runs = [before, *earlier, now]
        found = [_over_nights(gate, [run.get(gate.name, {}) for run in runs]) for gate in found]
        misses = [len(before[gate.name]) - sum(one.passed for one in before[gate.name].values()) for gate in found]
        adjusted = [
            nights.adjusted(gate.p, gate.p_nights, missed, len(found))
            for gate, missed in zip(found, misses, strict=True)
        ]
    return [_judged(replace(gate, adjusted=p)) for gate, p in zip(found, adjusted, strict=True)]


def _gate(
    name: str,
    before: Mapping[str, Judgement],
    now: Mapping[str, Judgement],
    margin: float | None,
    *,
    whole: bool,
) -> GatePair:
    both = [key for key in before if key in now and before[key].error is None]
    broken = tuple(key for key in both if now[key].error is not None)
    pairs = [key for key in both if now[key].error is None]
    worse = tuple(key for key in pairs if before[key].passed and not now[key].passed)
    better = tuple(key for key in pairs if now[key].passed and not before[key].passed)
    by_scenario: dict[str, list[str]] = {}
    for key in pairs:
        by_scenario.setdefault(scenario_of(key), []).append(key)
    change = {scenario: _net(keys, worse, better) for scenario, keys in by_scenario.items()}
    n = len(by_scenario)
    chosen = default_margin(n, ALPHA) if margin is None else margin
    # A scenario counts as worse if any of its samples got worse, as better only if all got better (conservative).
    lost = sum(1 for net in change.values() if net > 0)
    won = sum(1 for scenario, net in change.items() if -net == len(by_scenario[scenario]))
    return GatePair(
        name=name,
        verdict="INCONCLUSIVE",
        n=len(pairs),
        scenarios=n,
        before=sum(before[key].passed for key in pairs),
        now=sum(now[key].passed for key in pairs),
        worse=worse,
        better=better,
        p=sign_flip(list(change.values())),
        adjusted=1.0,
        margin=chosen,
        own_margin=margin is not None,
        p_margin=noninferiority(lost, won, n, chosen) if n and 0.0 < chosen < 1.0 else 1.0,
        broken=broken,
        alone=len(before.keys() ^ now.keys()),
        missing=len({first_of(key) for key in before} - {first_of(key) for key in now}) if whole else 0,
    )


def _over_nights(gate: GatePair, runs: Sequence[Mapping[str, Judgement]]) -> GatePair:
    """The p-values of a gate for one of many nights; `runs`: the baseline, then nights, oldest first.

    For each scenario only nights count that judged all its samples of the baseline.
    """
    by_scenario: dict[str, list[str]] = {}
    for key, judgement in runs[0].items():
        if judgement.error is None:
            by_scenario.setdefault(scenario_of(key), []).append(key)
    missed = []
    for keys in by_scenario.values():
        whole = [
            [run[key] for key in keys] for run in runs if all(key in run and run[key].error is None for key in keys)
        ]
        missed.append([sum(not each.passed for each in of) for of in whole])
    judged = sum(len(keys) * (len(counts) - 1) for keys, counts in zip(by_scenario.values(), missed, strict=True))
    tonight: dict[str, list[str]] = {}
    for key, judgement in runs[-1].items():
        if key in runs[0] and judgement.error is None:
            tonight.setdefault(scenario_of(key), []).append(key)
    nets = [_net(keys, gate.worse, gate.better) for keys in tonight.values()]
    return replace(
        gate,
        p=nights.one_night(sum(net > 0 for net in nets), sum(net < 0 for net in nets), [*map(len, tonight.values())]),
        p_nights=lowest(missed),
        nights=max((len(counts) - 1 for counts in missed), default=0),
        nights_n=judged,
        nights_passed=judged - sum(sum(counts[1:]) for counts in missed),
    )


def _net(keys: Sequence[str], worse: Sequence[str], better: Sequence[str]) -> int:
    return sum((key in worse) - (key in better) for key in keys)


def _judged(gate: GatePair) -> GatePair:
    significant, held = gate.adjusted <= ALPHA, gate.p_margin <= ALPHA
    lost = f"{gate.before}/{gate.n} -> {gate.now}/{gate.n}"
    if gate.nights > 1:
        lost += f" ({gate.nights_passed}/{gate.nights_n} in {gate.nights} nights)"
    verdict: ComparisonVerdict
    if gate.n == 0 and not gate.broken and not gate.missing:
        verdict, detail = "INCONCLUSIVE", "no sample was judged in both runs"
    elif significant and not (held and gate.own_margin):
        verdict, detail = "FAIL", f"{lost}, {len(gate.worse)} worse and {len(gate.better)} better"
    elif gate.broken:
        verdict, detail = "ERROR", f"{len(gate.broken)} of {gate.n + len(gate.broken)} samples broke"
    elif gate.missing:
        verdict, detail = "INCONCLUSIVE", f"{gate.missing} samples of the baseline were not asked or not answered"
    elif held:
        verdict, detail = "PASS", "worse, but by less than the margin" if significant else ""
    else:
        verdict, detail = "INCONCLUSIVE", f"{lost}, a loss of {100 * gate.margin:.3g} % is not ruled out"
    return replace(gate, verdict=verdict, detail=detail)


def overall(gates: Sequence[GatePair], timings: Sequence[TimingPair]) -> ComparisonVerdict:
    """The worst verdict of all; INCONCLUSIVE if nothing was compared."""
    verdicts = [gate.verdict for gate in gates] + [row.verdict for row in timings if row.judged]
    return (gates and worst(verdicts)) or "INCONCLUSIVE"


def _changes(before: RunData, now: RunData, gates: Sequence[GatePair]) -> list[Change]:
    found = []
    for gate in gates:
        for direction, keys, judged in (("worse", gate.worse, now), ("better", gate.better, before)):
            for key in keys:
                finding = judged.judgements[gate.name][key].findings[0]
                found.append(
                    Change(
                        gate=gate.name,
                        sample=key,
                        direction="worse" if direction == "worse" else "better",
                        reason=f"{finding.detector}: {finding.reason}",
                        before=_answers(before, key),
                        now=_answers(now, key),
                    )
                )
    return found


def _answers(run: RunData, key: str) -> tuple[Mapping[str, Any], ...]:
    heard = run.heard.get(key)
    return () if heard is None else tuple(reply.as_dict() for reply in heard.replies)


def _notes(before: RunData, now: RunData, timings: Sequence[TimingPair], noise: speed.Noise) -> list[str]:
    found = []
    only = [name for name in before.judgements if name not in now.judgements]
    if only:
        found.append(f"not compared: {', '.join(only)}: judged in the baseline alone")
    versions = before.facts.get("version"), now.facts.get("version")
    if versions[0] != versions[1]:
        found.append(f"judged by annie-eval {versions[0]} then and {versions[1]} now")
    if not any(row.judged for row in timings):
        if not speed.taken(before.timings):
            why = "the baseline has none; bless a night, or a run with --hardware"
        elif not speed.taken(now.timings):
            why = "this run has none; run it with --hardware"
        else:
            why = "the two runs measured different rows"
        found.append(f"timing not compared: {why}")
        return found
    if not noise.aa:
        found.append(
            "timing: the noise floor is that of the halves of one run; bless with --aa RUN for that between runs"
        )
    if other := machine.changes(before.machine, now.machine):
        found.append(f"timing: the machine is another than it was: {'; '.join(other)}")
    return found


def _would_decide(gates: Sequence[GatePair]) -> list[str]:
    """How many scenarios would decide the open gates, in one line; [] if no gate is open for want of scenarios."""
    told = []
    for gate in gates:
        if gate.verdict != "INCONCLUSIVE" or gate.missing or not gate.n:
            continue
        worse, better = ({scenario_of(key) for key in keys} for keys in (gate.worse, gate.better))
        found = pairs_to_decide(
            len(worse),
            len(better - worse),
            gate.scenarios,
            margin=gate.margin if gate.own_margin else None,
            tests=len(gates),
            alpha=ALPHA,
        )
        needed = f"about {found[0]:,} ({'PASS' if found[1] else 'FAIL'})" if found else "more than 1,000"
        told.append(f"{gate.name} {needed} instead of {gate.scenarios}")
    if not told:
        return []
    return [
        f"more scenarios would decide it; if they change as often as these: {', '.join(_some(told))}. --repeats helps"
        " little, because all repeats of a scenario count as one"
    ]


def _effect(verdict: ComparisonVerdict, gates: Sequence[GatePair], timings: Sequence[TimingPair]) -> str:
    rows = [(row.name, row.verdict, row.detail) for row in gates]
    rows += [(row.name, row.verdict, row.detail) for row in timings if row.judged]
    if verdict == "PASS":
        n = sum(len(gate.worse) for gate in gates)
        return f"no gate of {len(gates)} is worse" + (f" beyond its margin, {n} samples are" if n else "")
    if verdict == "INCONCLUSIVE" and not gates:
        return "no gate was judged in both runs"
    lines = [f"{name} {detail}" for name, its, detail in rows if its == verdict]
    lead = {"FAIL": "worse", "INCONCLUSIVE": "open", "ERROR": "broken"}[verdict]
    return f"{lead}: {'; '.join(_some(lines))}"


def _headline(
    verdict: ComparisonVerdict, baseline: Mapping[str, Any], lead: str, changed: Sequence[str], effect: str
) -> str:
    parts = [lead] if lead else []
    if changed:
        parts.append("; ".join(_some(changed)))
    if effect:
        parts.append(effect)
    start = "cannot be compared with" if verdict == "REFUSED" else "against"
    return f'{verdict} {start} "{baseline["name"]}": {"; ".join(parts)}'


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return [*lines[:_MOST], *more]


def _digests(before: RunData, now: RunData) -> tuple[Any, Any]:
    first, second = ((run.facts.get("identity") or {}).get("digest") for run in (before, now))
    return first, second

"""The verdict of a run as one self-contained HTML page: gates, timings, errors, misses, and every sample.

Verdict, gates, comparison and misses are plain HTML. The samples are data which a script shows; see `samples`.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from html import escape
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.gates.decide import GateResult, RunVerdict, all_errors, scenario_of
from annie_eval.report import expected, samples
from annie_eval.report.causes import cause_of
from annie_eval.report.markup import bar, document, marked, pairs, row, safe, section, shown, table
from annie_eval.report.phrases import (
    by_cause,
    headline,
    interval_of,
    needs_of,
    number,
    rules_out_of,
    with_unit,
)
from annie_eval.report.samples import Record, Source
from annie_eval.run.store import FILE, Attempt, Store
from annie_eval.timing.result import TimingResult

_MOST_MISSES = 300  # samples shown in full without the script; the others get one line each


def write(
    path: Path, verdict: RunVerdict, run_dir: Path, before: Path | None = None, packer: samples.Packer | None = None
) -> None:
    """Write the page of a run; its samples come from the run's store.

    Args:
        before: the directory of the baseline that the verdict compares with; None uses the recorded place, and shows
            what verdict.json has of it if it is no longer there.
        packer: samples of the run that were packed before.

    Raises:
        OSError: the file cannot be written.
        UsageError: there is no run in `run_dir`.
    """
    with ExitStack() as stack:
        store = Store(run_dir)
        stack.callback(store.close)
        old = None
        if verdict.regression and (found := before or _baseline_dir(verdict, run_dir)) is not None:
            with suppress(UsageError):  # damaged in the meantime: then only what verdict.json has of it is shown
                old = Store(found)
                stack.callback(old.close)
        text = page(verdict, source_of(verdict, store, old), packer)
    path.write_text(text, encoding="utf-8")


def source_of(verdict: RunVerdict, store: Store, old: Store | None = None) -> Source:
    """Return the source of samples: the run's store, and the baseline's store if given."""
    attempts: dict[str, list[tuple[int, Attempt]]] = {}
    for key, n, attempt in store.attempts():
        attempts.setdefault(key, []).append((n, attempt))
    snapshot, finished = store.meta("profile_snapshot") or {}, store.finished()
    return Source(
        keys=[key for _, key, _ in store.wanted() if key in finished],
        load=store.sample,
        judgements=store.judgements() or _judged(verdict),
        scenarios=snapshot.get("scenarios") or {},
        attempts=attempts,
        before=None if old is None else old.sample,
        **_flips(verdict),
    )


def _baseline_dir(verdict: RunVerdict, run_dir: Path) -> Path | None:
    """Return the directory of the baseline of a stored verdict: its copy beside the runs, or the run itself."""
    about = verdict.regression.get("baseline") or {}
    name = Path(str(about.get("id"))).name
    for found in (run_dir.resolve().parent / "baselines" / "copies" / name, Path(str(about.get("run")))):
        if (found / FILE).is_file():
            return found
    return None


def _judged(verdict: RunVerdict) -> list[Any]:
    return [each for gate in verdict.gates for each in (*gate.misses, *gate.broken)]


def _flips(verdict: RunVerdict) -> dict[str, frozenset[str]]:
    gates = verdict.regression.get("gates", ())
    return {side: frozenset(key for gate in gates for key in gate[side]) for side in ("worse", "better")}


def page(verdict: RunVerdict, source: Source, packer: samples.Packer | None = None) -> str:
    """Return the complete HTML document."""
    title = f"{verdict.verdict}: {verdict.target.get('served_model', 'model')} by {verdict.profile.get('name', '?')}"
    gathered = samples.gather(source, scenario_of, packer)
    first, compared = "", ""
    if verdict.regression or verdict.replicas:
        from annie_eval.report import compared_html

        first, compared = compared_html.first_line(verdict), compared_html.section(verdict)
    if cause := cause_of(verdict):
        first += f"<p>{safe(cause)}</p>\n"
    body = [
        _header(verdict, first),
        "<main>\n",
        _gates(verdict),
        _timings(verdict.timings),
        compared,
        _errors(verdict),
        _misses(gathered.records, source, verdict),
        _browser(verdict, gathered, source),
        _facts(verdict),
        "</main>\n",
    ]
    return document(title, "".join(body), script=True)


def _header(verdict: RunVerdict, first: str) -> str:
    target, profile = verdict.target, verdict.profile
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(verdict.started))
    because = headline(verdict).removeprefix(verdict.verdict).strip(" ()")
    facts = f"{started}, {verdict.seconds:.1f} s, profile {profile.get('name', '?')}, annie-eval {verdict.version}"
    part = "" if verdict.selection.get("complete", True) else "<p>Only a part of the profile was run.</p>\n"
    return f"""<header class="{verdict.verdict}">
{first}<h1><span class="verdict">{verdict.verdict}</span> {safe(str(target.get("served_model", "?")))}</h1>
<p>{safe(because)}</p>
{part}<p class="soft">{safe(str(target.get("base_url", "?")))}, {safe(facts)}</p>
</header>
"""


def _gates(verdict: RunVerdict) -> str:
    gates = verdict.gates
    if not gates:
        return ""
    models = list(dict.fromkeys(model for gate in gates for model in gate.baseline))
    heads = ["gate", "verdict", "passed", "needs", "pass rate", "interval", "rules out", *models]
    rows = []
    for gate in gates:
        broke = f", {gate.errors} broke" if gate.errors else ""
        why = f'<div class="soft why">{safe(gate.detail)}</div>' if gate.verdict not in ("PASS", "FAIL") else ""
        cells = [f'<span class="verdict">{gate.verdict}</span>', safe(f"{gate.passed}/{gate.n}{broke}")]
        cells += [safe(needs_of(gate)), _rate_bar(gate), safe(interval_of(gate)) + why, safe(rules_out_of(gate))]
        cells += [
            f'<span class="soft">{safe(was)}</span>' if (was := gate.baseline.get(model)) else "" for model in models
        ]
        rows.append(row(gate.verdict, heads, gate.name, cells))
    note = (
        '<p class="soft">The bar is the exact confidence interval of the pass rate, from 0 to 100%, the dot what was '
        "measured, the line what the gate needs. Rules out: the upper confidence limit of the miss rate."
        + (f" {safe(', '.join(models))}: measured by the study." if models else "")
        + "</p>\n"
    )
    return section("Gates", table("Gates", heads, rows, kind="gates") + note + _repeats(verdict), name="gates")


def _repeats(verdict: RunVerdict) -> str:
    """Return how each gate was decided whose samples were asked more than once."""
    if not any(gate.repeats for gate in verdict.gates):
        return ""
    from annie_eval.report import repeats

    lines = repeats.lines(verdict.gates, verdict.fingerprint.get("sampling") or {})
    return "".join(f'<p class="soft">{safe(line)}</p>\n' for line in lines)


def _rate_bar(gate: GateResult) -> str:
    if gate.interval is None:
        return ""
    need = gate.required / gate.expected if gate.expected else None
    if gate.lower_bound is not None:
        need = max(need or 0.0, gate.lower_bound)
    return bar(gate.interval, gate.passed / gate.n, need, 1.0, f"{gate.passed} of {gate.n}, {interval_of(gate)}")


def _timings(timings: Sequence[Mapping[str, Any]]) -> str:
    if not timings:
        return ""
    heads = ["timing", "verdict", "median", "limit", "of the limit", "interval", "n", "of roofline", "measured"]
    rows = []
    for each in timings:
        median, interval, limit, unit = (each.get(key) for key in ("median", "interval", "limit", "unit"))
        drawn = ""
        if median is not None and interval is not None and None not in interval:
            full = 1.15 * max(median, interval[1], limit or 0.0)
            if full > 0:
                drawn = bar(interval, median, limit, full, f"{number(median)}, limit {with_unit(limit, unit)}")
        spread = "" if interval is None else f"{number(interval[0])}-{number(interval[1])}"
        roofline = "" if each.get("roofline") is None else f"{100 * each['roofline']:.0f}%"
        cells = [f'<span class="verdict">{escape(str(each["verdict"]))}</span>', safe(with_unit(median, unit))]
        cells += [safe(with_unit(limit, unit)), drawn, safe(spread), safe(number(each.get("n"))), safe(roofline)]
        cells.append(
            f'<div class="soft why">{safe(detail)}</div>' if (detail := str(each.get("detail") or "")) else ""
        )
        rows.append(row(str(each["verdict"]), heads, str(each["name"]), cells))
    return section("Timing", table("Timing", heads, rows) + _charts(timings), name="timing")


def _charts(timings: Sequence[Mapping[str, Any]]) -> str:
    """Return charts of TTFT and decode rate against context, drawn from the stored points."""
    from annie_eval.report.charts import charts

    rows = [TimingResult.from_dict(each) for each in timings if each.get("points")]
    figures = "".join(f"\n<figure>{svg}</figure>" for svg in charts(rows).values())
    heads = ["timing", "prompt tokens", "median", "low", "high", "n"]
    values = [
        row(each.verdict, heads, each.name, [safe(f"{value:.6g}") for value in (*point, 0)[:5]])
        for each in rows
        for point in each.points
    ]
    told = f"<details><summary>the points as numbers</summary>{table('Points', heads, values)}</details>\n"
    return figures + told if values else figures


def _errors(verdict: RunVerdict) -> str:
    causes = by_cause(all_errors(verdict))
    if not causes:
        return ""
    heads = ["samples", "cause", "which"]
    rows = [
        row(
            "ERROR",
            heads,
            str(len(keys)) if keys else "run",
            [f'<div class="text">{safe(cause)}</div>', f'<div class="soft why">{safe(", ".join(keys))}</div>'],
        )
        for cause, keys in causes
    ]
    return section("What broke", table("What broke", heads, rows), name="broke")


def _misses(records: Sequence[Record], source: Source, verdict: RunVerdict) -> str:
    """Return each sample that missed or broke, by scenario: used if scripts are disabled, and for print."""
    bad = [record for record in records if record.outcome in ("miss", "broke")]
    if not bad:
        return ""
    holds = {gate.name for gate in verdict.gates if gate.verdict == "PASS"}
    whole, short = bad[:_MOST_MISSES], bad[_MOST_MISSES:]
    out: list[str] = []
    scenario = None
    for record in whole:
        if record.scenario != scenario:
            scenario = record.scenario
            out.append(_scenario_head(record, source))
        out.append(_miss(record, holds))
    if short:
        lines = [f"{each.key}: {_reason(each)}" for each in short]
        out.append(f"<ul>{''.join(f'<li>{safe(line)}</li>' for line in lines)}</ul>\n")
    counts = ", ".join(
        f"{n} {label}"
        for label, outcome in (("missed", "miss"), ("broke", "broke"))
        if (n := sum(record.outcome == outcome for record in bad))
    )
    return section(f"Misses: {counts}", "".join(out), name="misses")


def _scenario_head(record: Record, source: Source) -> str:
    asked = record.replies[0].asked if record.replies else []
    lines = expected.expected(source.scenarios.get(record.scenario, {}))
    items = [*asked, *(("expected", line) for line in lines)]
    return f"<h3>{safe(record.scenario)}</h3>\n{pairs(items)}"


def _miss(record: Record, holds: set[str]) -> str:
    labels = {"miss": "missed", "broke": "broke"}
    gates = ", ".join(
        f"{'tolerated by' if outcome == 'miss' and gate in holds else labels[outcome]} {gate}"
        for gate, outcome in record.gates.items()
        if outcome in labels
    )
    found = [f"<p>{safe(record.error)}</p>\n"] if record.error else []
    for finding, _ in record.findings:
        where = f" in {finding.channel}" if finding.channel else ""
        quote = f" <code>{safe(finding.excerpt)}</code>" if finding.excerpt else ""
        found.append(f"<p><b>{safe(finding.detector)}</b>: {safe(finding.reason + where)}{quote}</p>\n")
    told = "".join(
        f'<dt>{safe(name)}</dt><dd class="text">{marked(pieces)}</dd>'
        for n, reply in enumerate(record.replies)
        for name, pieces in ([*((who, [text]) for who, text in reply.asked), *reply.told] if n else reply.told)
    )
    return (
        f'<article class="sample {record.outcome}">'
        f'<h4>{safe(record.key)} <span class="soft">{safe(gates)}</span></h4>\n'
        f"{''.join(found)}<dl>{told}</dl></article>\n"
    )


def _reason(record: Record) -> str:
    if record.error or not record.findings:
        return record.error
    finding = record.findings[0][0]
    return f"{finding.detector}: {finding.reason} {finding.excerpt}"


def _browser(verdict: RunVerdict, gathered: samples.Gathered, source: Source) -> str:
    """Return the section in which the script shows the samples; it is hidden without the script."""
    if not gathered.records:
        return ""
    url = shown(str(verdict.target.get("base_url", ""))).rstrip("/")
    curl = f"curl -sS {shlex.quote(url + '/chat/completions')} -H 'Content-Type: application/json' --data-raw "
    data = {**samples.index(gathered, source), "curl": curl}
    out = (
        f" The responses of {gathered.left_out} samples that passed are left out to keep the page"
        " small; annie-eval show prints them."
        if gathered.left_out
        else ""
    )
    packs = "".join(f'<template class="pack">{pack}</template>\n' for pack in gathered.packs)
    return (
        f'<section id="samples" aria-labelledby="samples-title" hidden><h2 id="samples-title">Samples</h2>\n'
        f'<form id="filters" role="search" aria-label="Samples"></form>\n'
        f'<p id="count" role="status" class="soft"></p>\n'
        f'<div id="list"></div>\n<p class="soft">Keys: / searches, j and k go through the scenarios, Enter opens one, '
        f"Escape clears the filters.{out}</p>\n</section>\n"
        f'<template id="index">{samples.packed(data)}</template>\n{packs}'
    )


def _facts(verdict: RunVerdict) -> str:
    groups = {
        "Fingerprint": verdict.fingerprint,
        "Not checked on this server": verdict.capabilities,
        "Server": verdict.target,
        "Run": {**verdict.profile, "run": verdict.run_dir, **verdict.transport},
    }
    parts = [
        section(title, pairs((name, _fact(value)) for name, value in facts.items()), name=f"facts-{n}")
        for n, (title, facts) in enumerate(groups.items())
        if facts
    ]
    return f'<div class="facts">\n{"".join(parts)}</div>\n'


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    return str(value)

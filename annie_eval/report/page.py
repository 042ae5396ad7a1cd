"""The verdict as one static page: no script, nothing loaded from anywhere, and every foreign text escaped."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from annie_eval.gates.decide import GateResult, RunVerdict, all_errors
from annie_eval.gates.judgement import Judgement
from annie_eval.report.exchange_html import safe, sample_html
from annie_eval.report.phrases import (
    by_cause,
    by_severity,
    headline,
    interval_of,
    needs_of,
    number,
    reason_of,
    rules_out_of,
    with_unit,
)
from annie_eval.run.store import Store, StoredSample
from annie_eval.timing.result import TimingResult

_CSS = Path(__file__).with_name("report.css")
_BAR = 200  # width of a bar, in pixels


def write(path: Path, verdict: RunVerdict, run_dir: Path) -> None:
    """Write the page of a run; the exchanges of its misses and broken samples come from the run's store."""
    store = Store(run_dir)
    try:
        wanted = {each.sample for gate in verdict.gates for each in (*gate.misses, *gate.broken)}
        samples = {key: stored for key in sorted(wanted) if (stored := store.sample(key)) is not None}
    finally:
        store.close()
    path.write_text(page(verdict, samples), encoding="utf-8")


def page(verdict: RunVerdict, samples: Mapping[str, StoredSample]) -> str:
    """The whole document. `samples` holds the exchanges to show; a miss without one shows its findings alone."""
    title = f"{verdict.verdict}: {verdict.target.get('served_model', 'model')} by {verdict.profile.get('name', '?')}"
    first, compared = "", ""
    if verdict.regression or verdict.replicas:
        from annie_eval.report import regression_html

        first, compared = regression_html.first_line(verdict), regression_html.section(verdict)
    body = [
        first,
        _header(verdict),
        _gates(verdict.gates),
        _repeats(verdict),
        _timings(verdict.timings),
        compared,
        _errors(verdict),
        _misses(verdict.gates, samples),
        _facts(verdict),
    ]
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{safe(title)}</title>
<style>
{_CSS.read_text(encoding="utf-8")}</style>
<body>
{"".join(part for part in body if part)}</body>
</html>
"""


def _header(verdict: RunVerdict) -> str:
    target, profile = verdict.target, verdict.profile
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(verdict.started))
    because = headline(verdict).removeprefix(verdict.verdict).strip(" ()")
    facts = f"{started}, {verdict.seconds:.1f} s, profile {profile.get('name', '?')}, annie-eval {verdict.version}"
    part = "" if verdict.selection.get("complete", True) else "<p>Not the whole profile was run.</p>\n"
    return f"""<header class="{verdict.verdict}">
<div class="verdict">{verdict.verdict}</div>
<h1>{safe(str(target.get("served_model", "?")))}</h1>
<p>{safe(because)}</p>
{part}<p class="soft">{safe(str(target.get("base_url", "?")))}, {safe(facts)}</p>
</header>
"""


def _table(heads: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{safe(name)}</th>' for name in heads)
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>\n{body}</table></div>\n'


def _row(verdict: str, name: str, cells: Sequence[str]) -> str:
    """One row; `cells` are HTML already."""
    return f'<tr class="{escape(verdict)}"><th scope="row">{safe(name)}</th>{"".join(cells)}</tr>\n'


def _cell(text: str, kind: str = "") -> str:
    return f"<td{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{safe(text)}</td>"


def _gates(gates: Sequence[GateResult]) -> str:
    if not gates:
        return ""
    models = list(dict.fromkeys(model for gate in gates for model in gate.baseline))
    rows = []
    for gate in gates:
        cells = [_cell(gate.baseline.get(model, ""), "soft") for model in models]
        broke = f", {gate.errors} broke" if gate.errors else ""
        cells += [_cell(needs_of(gate)), _cell(f"{gate.passed}/{gate.n}{broke}")]
        cells += [f"<td>{_rate_bar(gate)}</td>", _cell(interval_of(gate)), _cell(gate.verdict, "verdict")]
        cells.append(_cell(rules_out_of(gate)))
        rows.append(_row(gate.verdict, gate.name, cells))
    heads = ["gate", *models, "needs", "passed", "pass rate, 0 to 100%", "interval", "verdict", "rules out"]
    note = (
        '<p class="soft">The bar is the exact confidence interval of the pass rate, the dot what was measured, the '
        "line what the gate needs. Rules out: no miss rate above it fits what was seen."
        + (f" {safe(', '.join(models))}: measured by the study." if models else "")
        + "</p>\n"
    )
    return f"<h2>Gates</h2>\n{_table(heads, rows)}{note}"


def _repeats(verdict: RunVerdict) -> str:
    """How the decision of each gate came whose samples were asked more than once."""
    if not any(gate.repeats for gate in verdict.gates):
        return ""
    from annie_eval.report import repeats

    said = repeats.lines(verdict.gates, verdict.fingerprint.get("sampling") or {})
    return "".join(f'<p class="soft">{safe(line)}</p>\n' for line in said)


def _rate_bar(gate: GateResult) -> str:
    if gate.interval is None:
        return ""
    need = gate.required / gate.expected if gate.expected else None
    if gate.lower_bound is not None:
        need = max(need or 0.0, gate.lower_bound)
    return _bar(gate.interval, gate.passed / gate.n, need, 1.0, f"{gate.passed} of {gate.n}, {interval_of(gate)}")


def _bar(interval: Sequence[float], point: float, line: float | None, full: float, label: str) -> str:
    """A bar from 0 to `full`, with a band for the interval, a dot for the point and a line for the limit."""

    def x(value: float) -> float:
        return round(4 + (_BAR - 8) * min(max(value / full, 0.0), 1.0), 1)

    low, high = x(interval[0]), x(interval[1])
    limit = "" if line is None else f'<line class="need" x1="{x(line)}" x2="{x(line)}" y1="1" y2="17"/>'
    return (
        f'<svg class="bar" width="{_BAR}" height="18" viewBox="0 0 {_BAR} 18" role="img" aria-label="{safe(label)}">'
        f'<rect class="track" x="4" y="7" width="{_BAR - 8}" height="4" rx="2"/>'
        f'<rect class="band" x="{low}" y="4" width="{round(max(high - low, 2), 1)}" height="10" rx="2"/>'
        f'{limit}<circle class="point" cx="{x(point)}" cy="9" r="3.5"/></svg>'
    )


def _timings(timings: Sequence[Mapping[str, Any]]) -> str:
    if not timings:
        return ""
    rows = []
    for row in timings:
        median, interval, limit, unit = (row.get(key) for key in ("median", "interval", "limit", "unit"))
        bar = ""
        if median is not None and interval is not None and None not in interval:
            full = 1.15 * max(median, interval[1], limit or 0.0)
            if full > 0:
                bar = _bar(interval, median, limit, full, f"{number(median)}, limit {with_unit(limit, unit)}")
        spread = "" if interval is None else f"{number(interval[0])}-{number(interval[1])}"
        roofline = "" if row.get("roofline") is None else f"{100 * row['roofline']:.0f}%"
        cells = [_cell(with_unit(median, unit)), f"<td>{bar}</td>", _cell(spread)]
        cells += [_cell(number(row.get("n"))), _cell(with_unit(limit, unit)), _cell(roofline)]
        cells += [_cell(str(row["verdict"]), "verdict"), _cell(str(row.get("detail") or ""), "wide soft")]
        rows.append(_row(str(row["verdict"]), str(row["name"]), cells))
    heads = ["timing", "median", "", "interval", "n", "limit", "of roofline", "verdict", ""]
    return f"<h2>Timing</h2>\n{_table(heads, rows)}{_charts(timings)}"


def _charts(timings: Sequence[Mapping[str, Any]]) -> str:
    """TTFT and decode rate against context; drawn again from the points, so that no file is needed."""
    from annie_eval.report.charts import charts

    drawn = charts([TimingResult.from_dict(row) for row in timings if row.get("points")])
    return "".join(f"\n<figure>{svg}</figure>" for svg in drawn.values())


def _errors(verdict: RunVerdict) -> str:
    causes = by_cause(all_errors(verdict))
    if not causes:
        return ""
    rows = [
        _row(
            "ERROR",
            str(len(samples)) if samples else "run",
            [_cell(cause, "wide"), _cell(", ".join(samples), "wide soft")],
        )
        for cause, samples in causes
    ]
    return f"<h2>What broke</h2>\n{_table(['samples', 'cause', ''], rows)}"


def _misses(gates: Sequence[GateResult], samples: Mapping[str, StoredSample]) -> str:
    groups = []
    for gate in by_severity(gates):
        if not gate.misses and not gate.broken:
            continue
        counts = ((len(gate.misses), "tolerated" if gate.verdict == "PASS" else "missed"), (len(gate.broken), "broke"))
        count = ", ".join(f"{of} {what}" for of, what in counts if of)
        inner = "".join(_miss(each, samples.get(each.sample)) for each in (*gate.misses, *gate.broken))
        why = f'<p class="soft">{safe(gate.detail)}</p>\n' if gate.detail else ""
        groups.append(
            f'<details class="gate {gate.verdict}"{" open" if gate.verdict == "FAIL" else ""}>'
            f'<summary>{safe(gate.name)} <span class="verdict">{gate.verdict}</span> '
            f'<span class="soft">{count}</span></summary>\n<div>{why}{inner}</div></details>\n'
        )
    return f"<h2>Misses</h2>\n{''.join(groups)}" if groups else ""


def _miss(judgement: Judgement, stored: StoredSample | None) -> str:
    said = judgement.error if judgement.error is not None else reason_of(judgement)
    text = judgement.findings[0].excerpt if judgement.findings and judgement.error is None else ""
    quote = f" <code>{safe(text)}</code>" if text else ""
    return (
        f'<details class="miss"><summary>{safe(judgement.sample)}: {safe(said)}{quote}</summary>'
        f"<div>{sample_html(judgement, stored)}</div></details>\n"
    )


def _facts(verdict: RunVerdict) -> str:
    groups = {
        "Fingerprint": verdict.fingerprint,
        "Not checked on this server": verdict.capabilities,
        "Server": verdict.target,
        "Run": {**verdict.profile, "run": verdict.run_dir, **verdict.transport},
    }
    parts = []
    for title, facts in groups.items():
        if facts:
            items = "".join(
                f'<dt>{safe(name)}</dt><dd class="text">{safe(_fact(value))}</dd>' for name, value in facts.items()
            )
            parts.append(f"<h2>{title}</h2>\n<dl>{items}</dl>\n")
    return "".join(parts)


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_fact(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    return str(value)

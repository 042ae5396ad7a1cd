"""Describes one night in a paragraph for a mail; changes come first. Pure."""

from __future__ import annotations

from dataclasses import replace

from annie_eval.gates.decide import RunVerdict, overall
from annie_eval.nightly.night import Result
from annie_eval.nightly.table import drift_line
from annie_eval.report.phrases import headline, number
from annie_eval.text import printable

_UNITS = {"ttft_short": ("TTFT", "ms"), "decode": ("decode", "tok/s")}


def paragraph(result: Result) -> str:
    """The paragraph on one line: `nightly 000012-... PASS: ...`."""
    lines = [f"nightly {result.name} {result.verdict_word}: {_lead(result)}"]
    if result.changed:
        lines.append(f"changed since the night before: {result.changed}")
    if result.verdict is not None:
        lines.append(f"gate: {_gate(result.verdict)}")
        lines.append(f"timing: {_timings(result)}")
        lines += [
            note for note in result.verdict.regression.get("notes", ()) if note.startswith("timing not compared")
        ]
    lines += [drift_line(each) for each in result.drifts] or ["drift: none"]
    lines += result.notes
    lines.append(f"{result.seconds:.0f} s, kept in {result.run_dir}")
    return printable(". ".join(each.strip().rstrip(".") for each in lines) + ".")


def _lead(result: Result) -> str:
    if result.verdict is None:
        return f"nothing was judged: {result.cause}"
    if broke := _broke(result.verdict):
        return broke
    alone = f"only the gate says {result.gate}; " if result.gate and not result.alarms else ""
    found = result.verdict.regression
    told = str(found.get("headline") or "not compared")
    if found.get("verdict") == "INCONCLUSIVE":
        against = f'against "{found["baseline"]["name"]}"'
        rest = told.removeprefix(f"INCONCLUSIVE {against}: ")
        told = f"{against} no loss is proven, but not every loss is ruled out: {rest}"
    return alone + told


def _broke(verdict: RunVerdict) -> str:
    """Why the run was aborted; "" if it was not."""
    return "; ".join(str(error["cause"]) for error in verdict.errors if error.get("sample") is None)


def _gate(verdict: RunVerdict) -> str:
    """The gate's own headline, without that of the comparison."""
    alone = "ERROR" if _broke(verdict) else overall(verdict.gates, verdict.timings)
    return headline(replace(verdict, verdict=alone, regression={}))


def _timings(result: Result) -> str:
    assert result.verdict is not None
    rows = {str(row["name"]): row for row in result.verdict.timings if row.get("median") is not None}
    parts = []
    for name, (title, unit) in _UNITS.items():
        value = rows[name]["median"] if name in rows else (result.timings or {}).get(name)
        if value is not None:
            low_high = rows[name].get("interval") if name in rows else result.intervals.get(name)
            sure = "interval not known" if low_high is None else f"{number(low_high[0])} to {number(low_high[1])}"
            limit = f"; {rows[name]['verdict']}, limit {number(rows[name].get('limit'))}" if name in rows else ""
            parts.append(f"{title} {number(value)} {unit} ({sure}{limit})")
    return ", ".join(parts) or "not taken"

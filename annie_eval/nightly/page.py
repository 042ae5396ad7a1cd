"""Writes the history as an HTML page: the last verdict, changes, every gate over the nights, links to the runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from annie_eval.nightly.drift import Drift, Reset
from annie_eval.nightly.records import TIMINGS, Count, History, Night
from annie_eval.nightly.table import drift_lines
from annie_eval.report.markup import document, pairs, row, safe, section, table
from annie_eval.report.phrases import number


def page(history: History, resets: Sequence[Reset], drifts: Sequence[Drift], drawn: str, folder: Path) -> str:
    """The complete HTML document, without scripts.

    Args:
        drawn: the plot, as SVG.
        folder: directory of the page; links to the runs are relative to it.
    """
    nights = history.nights
    changed = [(nights[reset.at].name, reset.reason) for reset in resets]
    notes = [("drift", line.removeprefix("drift: ")) for line in drift_lines(nights, drifts)]
    notes += [("skipped", f"{name}: {reason}") for name, reason in history.skipped]
    plot = f'<div class="scroll" tabindex="0">{drawn}</div>\n{pairs(notes)}'
    parts = [
        _header(nights),
        "<main>\n",
        section("Gates and timings over the nights", plot, name="plot"),
        section("What changed", pairs(reversed(changed)), name="changes") if changed else "",
        section("Nights", _table(nights, folder), name="nights") if nights else "",
        "</main>\n",
    ]
    return document(f"history: {nights[-1].verdict if nights else 'no nights'}", "".join(parts))


def _header(nights: Sequence[Night]) -> str:
    if not nights:
        return "<header><h1>no nights</h1></header>\n"
    last = nights[-1]
    failed = (f"{name} {of.passed}/{of.n}" for name, of in last.gates.items() if of.verdict == "FAIL")
    cause = last.headline or last.cause or "; ".join(failed)
    when = f"{last.started[:16].replace('T', ' ')}, {len(nights)} nights"
    return (
        f'<header class="{last.verdict}"><h1><span class="verdict">{last.verdict}</span> {safe(last.name)}</h1>\n'
        f'<p>{safe(cause)}</p>\n<p class="soft">{safe(when)}</p></header>\n'
    )


def _table(nights: Sequence[Night], folder: Path) -> str:
    gates = list(dict.fromkeys(name for night in nights for name in night.gates))
    timed = [name for name in TIMINGS if any(name in night.timings for night in nights)]
    heads = ["night", "verdict", "against baseline", *gates, *timed]
    rows = []
    for night in reversed(nights):
        cells = [f'<span class="verdict">{night.verdict}</span>', safe(night.regression or "")]
        cells += [_count(night.gates.get(name)) for name in gates]
        cells += [number(night.timings[name]) if name in night.timings else "" for name in timed]
        report = night.path / "report.html"
        link = quote(os.path.relpath(report.resolve(), folder.resolve())) if report.is_file() else ""
        rows.append(row(night.verdict, heads, night.name, cells, link))
    return table("Nights", heads, rows)


def _count(count: Count | None) -> str:
    if count is None:
        return ""
    if count.interval is None:
        return f"{count.passed}/{count.n}"
    low, high = (100 * bound for bound in count.interval)
    return f'{count.passed}/{count.n}<br><span class="soft">{low:.0f}-{high:.0f}%</span>'

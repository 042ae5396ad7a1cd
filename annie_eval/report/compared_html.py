"""Parts of the HTML page that compare a run with its baseline, or servers with each other. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence

from annie_eval.gates.decide import RunVerdict
from annie_eval.regression.result import Change, Regression, from_dict
from annie_eval.report import markup, regression
from annie_eval.report.markup import pairs, row, safe, table
from annie_eval.report.phrases import number


def first_line(verdict: RunVerdict) -> str:
    """Return the line about what changed; the page shows it first."""
    return "".join(f'<p class="text">{safe(line)}</p>\n' for line in regression.first_lines(verdict))


def section(verdict: RunVerdict) -> str:
    """Return the tables, the changes, and both answers of each changed sample."""
    out = ""
    if verdict.regression:
        found = from_dict(verdict.regression)
        same, of = found.same_words
        notes = [("refused", each) for each in found.refused] + [("changed", each) for each in found.changed]
        notes += [("same words", f"{same} of {of} answers")] if of else []
        notes += [("note", each) for each in found.notes]
        parts = _gates(found) + _timings(found) + (pairs(notes) if notes else "")
        out += markup.section(f"Against {found.baseline['name']}", parts, name="against") + _changes(found.changes)
    if verdict.replicas:
        heads = ["url", "passed", "samples"]
        rows = [
            row(
                str(verdict.replicas["verdict"]),
                heads,
                str(server["base_url"]),
                [safe(f"{server['passed']}/{server['n']}"), safe(str(server["n"]))],
            )
            for server in verdict.replicas["servers"]
        ]
        out += markup.section("Replicas", table("Replicas", heads, rows), name="replicas")
    return out


def _verdict(word: str) -> str:
    return f'<span class="verdict">{safe(word)}</span>'


def _gates(found: Regression) -> str:
    if not found.gates:
        return ""
    heads = ["gate", "verdict", "then", "now", "worse", "better", "p", regression.adjusted_by(found), "margin", "why"]
    floors = bool(found.baseline.get("flips"))
    heads += [regression.NOISE_FLOOR] if floors else []
    rows = [
        row(
            gate.verdict,
            heads,
            gate.name,
            [
                _verdict(gate.verdict),
                *(safe(f"{n}/{gate.n}") for n in (gate.before, gate.now)),
                *(str(len(keys)) for keys in (gate.worse, gate.better)),
                *(safe(cell) for cell in (f"{gate.p:.4f}", f"{gate.adjusted:.4f}", f"{100 * gate.margin:.3g}%")),
                f'<div class="soft why">{safe(gate.detail)}</div>' if gate.detail else "",
                *([safe(found.floor(gate.name) or "-")] if floors else []),
            ],
        )
        for gate in found.gates
    ]
    return table("Gates then and now", heads, rows)


def _timings(found: Regression) -> str:
    if not found.timings:
        return ""
    heads = ["timing", "verdict", "then", "now", "times as slow", "interval", "chance explains"]
    rows = [
        row(
            each.verdict if each.judged else "PASS",
            heads,
            each.name,
            [
                _verdict(each.verdict) if each.judged else "not judged",
                *(safe(f"{number(value)} {each.unit}") for value in (each.before, each.now)),
                *(f"{each.ratio:.2f}×", f"{each.interval[0]:.2f}-{each.interval[1]:.2f}", f"{each.noise:.2f}×"),
            ],
        )
        for each in found.timings
    ]
    return table("Timings then and now", heads, rows)


def _changes(changes: Sequence[Change]) -> str:
    """Used if scripts are disabled, and for print; the script shows the same answers side by side."""
    parts = []
    for change in changes:
        answers = pairs(
            (label, regression.one_line(replies)) for label, replies in (("then", change.before), ("now", change.now))
        )
        summary = f"{change.direction}: {change.gate} {change.sample}: {change.reason}"
        parts.append(f'<article class="sample"><h3>{safe(summary)}</h3>{answers}</article>\n')
    return markup.section("Samples that changed", "".join(parts), name="changed") if parts else ""

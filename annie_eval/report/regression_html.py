"""A run beside its baseline, as a part of the page: static HTML, every foreign text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from annie_eval.gates.decide import RunVerdict
from annie_eval.regression.result import Change, Regression, from_dict
from annie_eval.report import regression
from annie_eval.report.exchange_html import safe
from annie_eval.report.phrases import number


def first_line(verdict: RunVerdict) -> str:
    """What changed, above everything else."""
    return "".join(f'<p class="text">{safe(line)}</p>\n' for line in regression.first_lines(verdict))


def section(verdict: RunVerdict) -> str:
    """Tables, what changed, and both answers to each sample that did."""
    out = ""
    if verdict.regression:
        found = from_dict(verdict.regression)
        out += f"<h2>Against {safe(str(found.baseline['name']))}</h2>\n{_gates(found)}{_timings(found)}"
        said = [("refused", each) for each in found.refused] + [("changed", each) for each in found.changed]
        said += [("note", each) for each in found.notes]
        if said:
            items = "".join(f'<dt>{name}</dt><dd class="text">{safe(each)}</dd>' for name, each in said)
            out += f"<dl>{items}</dl>\n"
        out += _changes(found.changes)
    if verdict.replicas:
        rows = [
            _row(
                str(verdict.replicas["verdict"]),
                str(server["base_url"]),
                [f"{server['passed']}/{server['n']}", str(server["n"])],
            )
            for server in verdict.replicas["servers"]
        ]
        out += f"<h2>Replicas</h2>\n{_table(['url', 'passed', 'samples'], rows)}"
    return out


def _table(heads: Sequence[str], rows: Iterable[str]) -> str:
    head = "".join(f'<th scope="col">{safe(name)}</th>' for name in heads)
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>\n{body}</table></div>\n'


def _row(verdict: str, name: str, cells: Sequence[str]) -> str:
    inner = "".join(f"<td>{safe(cell)}</td>" for cell in cells)
    return f'<tr class="{escape(verdict)}"><th scope="row">{safe(name)}</th>{inner}</tr>\n'


def _gates(found: Regression) -> str:
    if not found.gates:
        return ""
    rows = [
        _row(
            gate.verdict,
            gate.name,
            [
                *(f"{gate.before}/{gate.n}", f"{gate.now}/{gate.n}", str(len(gate.worse)), str(len(gate.better))),
                *(f"{gate.p:.4f}", f"{gate.adjusted:.4f}", f"{100 * gate.margin:.3g}%", gate.verdict, gate.detail),
            ],
        )
        for gate in found.gates
    ]
    return _table(["gate", "then", "now", "worse", "better", "p", "p (Holm)", "margin", "verdict", ""], rows)


def _timings(found: Regression) -> str:
    if not found.timings:
        return ""
    rows = [
        _row(
            row.verdict if row.judged else "PASS",
            row.name,
            [
                *(f"{number(row.before)} {row.unit}", f"{number(row.now)} {row.unit}", f"{row.ratio:.2f}"),
                *(f"{row.interval[0]:.2f}-{row.interval[1]:.2f}", f"{row.noise:.2f}"),
                row.verdict if row.judged else "not judged",
            ],
        )
        for row in found.timings
    ]
    heads = ["timing", "then", "now", "times as slow", "interval", "chance explains", "verdict"]
    return _table(heads, rows)


def _changes(changes: Sequence[Change]) -> str:
    parts = []
    for change in changes:
        answers = "".join(
            f'<dt>{label}</dt><dd class="text">{safe(regression.spoken(replies))}</dd>'
            for label, replies in (("then", change.before), ("now", change.now))
        )
        summary = f"{change.direction}: {change.gate} {change.sample}: {change.reason}"
        parts.append(
            f'<details class="miss"><summary>{safe(summary)}</summary><div><dl>{answers}</dl></div></details>\n'
        )
    return f"<h2>Samples that changed</h2>\n{''.join(parts)}" if parts else ""

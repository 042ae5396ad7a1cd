"""A run beside its baseline, and servers beside each other: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.gates.decide import RunVerdict
from annie_eval.regression.result import Change, Regression, from_dict
from annie_eval.report.phrases import number
from annie_eval.stats.nights import HORIZON
from annie_eval.text import aligned, printable, shortened

NOISE_FLOOR = "noise floor (A/A)"
"""Head of the column that says how many samples flip between two runs of the blessed server."""
_LEAST = 40  # characters of an answer that are shown on the narrowest terminal


def first_lines(verdict: RunVerdict) -> list[str]:
    """What changed, in one line; and another where servers that should be alike are not."""
    found = [printable(str(verdict.regression["headline"]))] if verdict.regression else []
    if verdict.replicas.get("headline"):
        found.append(printable(str(verdict.replicas["headline"])))
    return [f"regression: {found[0]}", *found[1:]] if verdict.regression else found


def lines(verdict: RunVerdict, *, width: int) -> list[str]:
    """Everything behind the first lines: tables, what changed, and both answers to each sample that did."""
    out: list[str] = []
    if verdict.regression:
        out += compared(from_dict(verdict.regression), width=width)
    if verdict.replicas:
        out += ([""] if out else []) + _replicas(verdict.replicas)
    return out


def compared(found: Regression, *, width: int) -> list[str]:
    """The comparison without its headline."""
    out: list[str] = []
    if found.gates:
        out += aligned(_gate_rows(found))
    if found.timings:
        out += ["", *aligned(_timing_rows(found))]
    lines = [f"refused: {printable(each)}" for each in found.refused]
    lines += [f"changed: {printable(each)}" for each in found.changed]
    same, of = found.same_words
    if of:
        lines.append(f"same words: {same} of {of} answers")
    lines += [f"note: {printable(each)}" for each in found.notes]
    answers = _changes(found.changes, width)
    for block in (lines, answers):
        if block:
            out += ["", *block] if out else block
    return out


def _gate_rows(found: Regression) -> list[list[str]]:
    rows = [["against baseline", "then", "now", "worse", "better", "p", adjusted_by(found), "margin", "verdict"]]
    for gate in found.gates:
        then, now = f"{gate.before}/{gate.n}", f"{gate.now}/{gate.n}"
        changed = [str(len(gate.worse)), str(len(gate.better))]
        chances = [_chance(gate.p), _chance(gate.adjusted), f"{100 * gate.margin:.3g}%"]
        rows.append([printable(gate.name), then, now, *changed, *chances, gate.verdict])
    if found.baseline.get("flips"):
        floors = [found.floor(gate.name) or "-" for gate in found.gates]
        rows = [[*row, said] for row, said in zip(rows, [NOISE_FLOOR, *floors], strict=True)]
    return rows


def adjusted_by(found: Regression) -> str:
    """The head of the column of adjusted p-values: over all gates, or over all gates and nights."""
    return f"p ({HORIZON} nights)" if any(gate.nights for gate in found.gates) else "p (Holm)"


def _timing_rows(found: Regression) -> list[list[str]]:
    rows = [["timing", "then", "now", "times as slow", "interval", "chance explains", "verdict"]]
    for row in found.timings:
        then, now = (f"{number(value)} {row.unit}" for value in (row.before, row.now))
        interval = f"{row.interval[0]:.2f}-{row.interval[1]:.2f}"
        verdict = row.verdict if row.judged else "(not judged)"
        rows.append([printable(row.name), then, now, f"{row.ratio:.2f}", interval, f"{row.noise:.2f}", verdict])
    return rows


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _changes(changes: Sequence[Change], width: int) -> list[str]:
    """Each sample once, worse ones first, with the gates that it changed in and both answers."""
    out: list[str] = []
    for direction in ("worse", "better"):
        by_sample: dict[str, list[Change]] = {}
        for change in changes:
            if change.direction == direction:
                by_sample.setdefault(change.sample, []).append(change)
        for sample, of in by_sample.items():
            gates = ", ".join(change.gate for change in of)
            out.append(printable(f"{direction}: {gates} {sample}: {of[0].reason}"))
            for label, replies in (("then", of[0].before), ("now", of[0].now)):
                out.append(f"  {label:<5}{shortened(printable(spoken(replies)), max(_LEAST, width - 7))}")
    return out


def spoken(replies: Sequence[Mapping[str, Any]]) -> str:
    """A sample's answers in one line: what was said, called and thought, and why it ended if not by itself."""
    parts = []
    for reply in replies:
        lines = []
        if reply.get("reasoning"):
            lines.append(f"(thinks: {reply['reasoning']})")
        if reply.get("content"):
            lines.append(str(reply["content"]))
        lines += [f"calls {call['name']}({call['arguments']})" for call in reply.get("tool_calls", ())]
        if reply.get("finish_reason") not in ("stop", "tool_calls"):
            lines.append(f"[{reply.get('finish_reason')}]")
        parts.append(" ".join(lines) or "(nothing)")
    return " | ".join(parts) or "(no answer)"


def _replicas(found: Mapping[str, Any]) -> list[str]:
    rows = [["replica", "samples", "passed", "url"]]
    for place, server in enumerate(found["servers"], 1):
        share = f"{server['passed']}/{server['n']}"
        rows.append([str(place), str(server["n"]), share, printable(str(server["base_url"]))])
    out = aligned(rows)
    for gate in found["gates"]:
        if gate["verdict"] == "FAIL":
            out.append(f"replicas: {printable(str(gate['name']))}: FAIL: {printable(str(gate.get('detail', '')))}")
    return out

"""Formats the comparison of a run with its baseline, and of several replicas, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.gates.decide import RunVerdict, scenario_of
from annie_eval.regression.result import Change, Regression, from_dict
from annie_eval.report.columns import Column, table
from annie_eval.report.phrases import natural, number
from annie_eval.stats.nights import HORIZON
from annie_eval.text import aligned, printable, shortened

NOISE_FLOOR = "noise floor (A/A)"
"""Head of the column with the number of samples whose result differs between two runs of the baseline's server."""
_MOST_CHANGES = 10  # scenarios shown of those that got worse, and of those that got better
_LEAST = 40  # characters of an answer shown on the narrowest terminal


def first_lines(verdict: RunVerdict) -> list[str]:
    """One line about what changed against the baseline, and one about replicas that differ, if there is anything."""
    found = [printable(str(verdict.regression["headline"]))] if verdict.regression else []
    if verdict.replicas.get("headline"):
        found.append(printable(str(verdict.replicas["headline"])))
    return [f"regression: {found[0]}", *found[1:]] if verdict.regression else found


def lines(verdict: RunVerdict, *, width: int, full: bool = False) -> list[str]:
    """What follows the first lines: tables, and the changed samples with both answers.

    Args:
        full: show every changed sample; otherwise only the first ones, one per scenario.
    """
    out: list[str] = []
    if verdict.regression:
        out += compared(from_dict(verdict.regression), width=width, full=full)
    if verdict.replicas:
        out += ([""] if out else []) + _replicas(verdict.replicas)
    return out


def compared(found: Regression, *, width: int, full: bool = False) -> list[str]:
    """The comparison without its headline. The tables fit into `width` if that is at least 80."""
    out: list[str] = []
    if found.gates:
        out += table(_gate_columns(found), width)
    if found.timings:
        out += ["", *table(_timing_columns(found), width)]
    lines = [f"refused: {printable(each)}" for each in found.refused]
    lines += [f"changed: {printable(each)}" for each in found.changed]
    same, of = found.same_words
    if of:
        lines.append(f"same words: {same} of {of} answers")
    lines += [f"note: {printable(each)}" for each in found.notes]
    answers = [line for side in ("worse", "better") for line in _changes(found.changes, side, width, full)]
    for block in (lines, answers):
        if block:
            out += ["", *block] if out else block
    return out


def _gate_columns(found: Regression) -> list[Column]:
    gates = found.gates
    columns = [
        Column("against baseline", [printable(gate.name) for gate in gates]),
        Column("then", [f"{gate.before}/{gate.n}" for gate in gates]),
        Column("now", [f"{gate.now}/{gate.n}" for gate in gates]),
        Column("worse", [str(len(gate.worse)) for gate in gates]),
        Column("better", [str(len(gate.better)) for gate in gates]),
        Column("p", [_chance(gate.p) for gate in gates], drop=2),
        Column(adjusted_by(found), [_chance(gate.adjusted) for gate in gates]),
        Column("margin", [f"{100 * gate.margin:.3g}%" for gate in gates], drop=1),
        Column("verdict", [gate.verdict for gate in gates]),
    ]
    if found.baseline.get("flips"):
        columns.append(Column(NOISE_FLOOR, [found.floor(gate.name) or "-" for gate in gates]))
    return columns


def adjusted_by(found: Regression) -> str:
    """The head of the column of p-values, which are adjusted over all gates or over all gates and nights."""
    return f"p ({HORIZON} nights)" if any(gate.nights for gate in found.gates) else "p (Holm)"


def _timing_columns(found: Regression) -> list[Column]:
    rows = found.timings
    return [
        Column("timing", [printable(row.name) for row in rows]),
        Column("then", [f"{number(row.before)} {row.unit}" for row in rows]),
        Column("now", [f"{number(row.now)} {row.unit}" for row in rows]),
        Column("times as slow", [f"{row.ratio:.2f}×" for row in rows]),
        Column("interval", [f"{row.interval[0]:.2f}-{row.interval[1]:.2f}" for row in rows]),
        Column("chance explains", [f"{row.noise:.2f}×" for row in rows], drop=1),
        Column("verdict", [row.verdict if row.judged else "(not judged)" for row in rows]),
    ]


def _chance(p: float) -> str:
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _changes(changes: Sequence[Change], direction: str, width: int, full: bool) -> list[str]:
    """The samples that got worse (or better, by `direction`): the gates concerned, and both answers."""
    by_sample: dict[str, list[Change]] = {}
    for change in changes:
        if change.direction == direction:
            by_sample.setdefault(change.sample, []).append(change)
    groups: dict[str, list[str]] = {}
    for sample in sorted(by_sample, key=natural):
        groups.setdefault(sample if full else scenario_of(sample), []).append(sample)
    shown = list(groups.values())[: None if full else _MOST_CHANGES]
    out: list[str] = []
    for sample, *others in shown:
        of = by_sample[sample]
        more = f" and {len(others)} more of it" if others else ""
        out.append(printable(f"{direction}: {', '.join(each.gate for each in of)} {sample}{more}: {of[0].reason}"))
        pair = [printable(one_line(replies)) for replies in (of[0].before, of[0].now)]
        for label, text in zip(("then", "now"), _from_the_difference(*pair), strict=True):
            out.append(f"  {label:<5}{shortened(text, max(_LEAST, width - 7))}")
    if rest := len(by_sample) - sum(map(len, shown)):
        out.append(f"… {rest:,} more {direction}: annie-eval compare RUN BASELINE shows all")
    return out


def _from_the_difference(then: str, now: str) -> tuple[str, str]:
    """Both answers, starting shortly before the first character that differs."""
    same = next((at for at, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now)))
    cut = same - _LEAST // 2
    return (then, now) if cut <= _LEAST // 2 else (f"…{then[cut:]}", f"…{now[cut:]}")


def one_line(replies: Sequence[Mapping[str, Any]]) -> str:
    """A sample's answers in one line: reasoning, content, tool calls, and an unusual finish_reason."""
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

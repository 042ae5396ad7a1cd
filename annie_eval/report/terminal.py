"""Formats a run's result for the terminal: a table of gates, one line per scenario that missed, the verdict last."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from annie_eval.gates.decide import GateResult, RunVerdict, all_errors
from annie_eval.profile.types import Verdict
from annie_eval.report import operating_curves
from annie_eval.report.causes import cause_of
from annie_eval.report.columns import INDENT, Column, folded, table
from annie_eval.report.phrases import (
    at_minimum,
    by_cause,
    by_scenario,
    by_severity,
    headline,
    in_order,
    interval_of,
    needs_of,
    number,
    reason_of,
    rules_out_of,
    weak_of,
    with_unit,
)
from annie_eval.run.directory import RUNS
from annie_eval.text import printable, shortened

_COLOURS: Mapping[Verdict, str] = {"PASS": "32", "FAIL": "1;31", "ERROR": "1;35", "INCONCLUSIVE": "33"}
_LEAST_EXCERPT = 48  # characters; an excerpt with less room goes to the next line
_MOST_MISSES = 10  # scenarios shown per gate
_GAPS = {"derender": "derender, the parsers on stored tokens (vLLM's --enable-scale-out; nothing need be done)"}
_MOST_NAMES = 3  # failed tests shown by name


def lines(
    verdict: RunVerdict,
    *,
    color: bool,
    width: int,
    piped: bool = False,
    full: bool = False,
    failed: Sequence[str] = (),
) -> list[str]:
    """The lines of the report. Tables fit into `width` if that is at least 64; other lines are wrapped between words.

    Text from the model or the server is escaped, so that the only control characters are our own colours.

    Args:
        piped: the output is not a terminal: wrap nothing and show complete excerpts.
        full: show every miss, and the reason why something was not checked; otherwise only the first misses, and the
            names of what was not checked.
        failed: names of the user's own tests that failed.
    """
    columns = None if piped else width
    out: list[str] = []
    # First, because the FAIL of a gate below may then say nothing about the weights.
    out += [line for gate in verdict.gates if gate.blame for line in (*folded([printable(gate.blame)], columns), "")]
    compared: list[str] = []
    if verdict.regression or verdict.replicas:
        from annie_eval.report import regression

        # In a comparison, the reader wants to know first what changed.
        out += [*folded(regression.first_lines(verdict), columns), ""]
        compared = folded(regression.lines(verdict, width=width, full=full), columns)
    if cause := cause_of(verdict):
        out += [*folded([cause], columns), ""]
    if verdict.gates:
        out += _gate_table(verdict.gates, color, width)
    if verdict.timings:
        out += (
            ["", *_timing_table(verdict.timings, color, width)]
            if out
            else _timing_table(verdict.timings, color, width)
        )
    rows: list[str] = []
    if verdict.gates:
        study = any(gate.baseline for gate in verdict.gates)
        notes = "Columns between gate and needs: measured by the study. " if study else ""
        notes += "Rules out: the upper confidence limit of the miss rate."
        out += ["", *folded([notes], columns)]
    if any(gate.repeats for gate in verdict.gates):
        from annie_eval.report import repeats

        rows = repeats.lines(verdict.gates, verdict.fingerprint.get("sampling") or {})
    for block in (
        folded(rows, columns),
        _misses(verdict, columns, full),
        compared,
        folded(_errors(verdict), columns),
        folded(_details(verdict), columns),
        folded(_about(verdict, full), columns),
    ):
        if block:
            out += ["", *block] if out else block
    return [*out, "", *_final(verdict, columns, color, failed)]


def _final(verdict: RunVerdict, columns: int | None, color: bool, failed: Sequence[str]) -> list[str]:
    """The last lines: the verdict; before it what decides it, if the user's own tests failed."""

    def said(word: str, text: str, painted: Verdict) -> list[str]:
        first, *rest = folded([f"{word}: {text}"], columns)
        out = [f"{word}: {_painted(first.removeprefix(f'{word}: '), painted, color)}"]
        return [*out, *(_painted(line, painted, color) for line in rest)]

    if not failed:
        return said("verdict", headline(verdict), verdict.verdict)
    more = f" and {len(failed) - _MOST_NAMES} more" if failed[_MOST_NAMES:] else ""
    own = said("own tests", f"FAIL ({len(failed)} failed: {printable(', '.join(failed[:_MOST_NAMES]))}{more})", "FAIL")
    if verdict.verdict != "PASS":
        return [*own, *said("verdict", headline(verdict), verdict.verdict)]
    last = said("verdict", "FAIL (the gates hold, but own tests failed)", "FAIL")
    return [*said("gates", headline(verdict), "PASS"), *own, *last]


def _painted(text: str, verdict: Verdict, color: bool) -> str:
    return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m" if color else text


def _table(columns: Sequence[Column], verdicts: Sequence[Verdict], color: bool, width: int) -> list[str]:
    return table(columns, width, lambda row, cell: _painted(cell, verdicts[row], color))


def _gate_table(gates: Sequence[GateResult], color: bool, width: int) -> list[str]:
    models = list(dict.fromkeys(model for gate in gates for model in gate.baseline))
    levels = {gate.confidence for gate in gates}
    level = f"{100 * levels.pop():g}% interval" if len(levels) == 1 else "interval"
    columns = [Column("gate", [printable(gate.name) for gate in gates])]
    # The last model of the study is the most informative. The others are left out first.
    for rank, model in enumerate(reversed(models)):
        cells = [printable(gate.baseline.get(model, "-")) for gate in gates]
        columns.insert(1, Column(printable(model), cells, drop=2 + rank))
    columns += [
        Column("needs", [needs_of(gate) for gate in gates]),
        Column("passed", [f"{gate.passed}/{gate.n}" for gate in gates]),
    ]
    if any(gate.errors for gate in gates):
        columns.append(Column("broke", [str(gate.errors) if gate.errors else "" for gate in gates]))
    ruled_out = [rules_out_of(gate) for gate in gates]
    columns += [
        Column(level, [interval_of(gate) for gate in gates]),
        Column("verdict", [gate.verdict for gate in gates]),
        Column("rules out", ruled_out, drop=1),
    ]
    return _table(columns, [gate.verdict for gate in gates], color, width)


def _timing_table(rows: Sequence[Mapping[str, Any]], color: bool, width: int) -> list[str]:
    def spread(row: Mapping[str, Any]) -> str:
        interval = row.get("interval")
        return "-" if interval is None else f"{number(interval[0])}-{number(interval[1])}"

    def of_roofline(row: Mapping[str, Any]) -> str:
        return "-" if row.get("roofline") is None else f"{100 * row['roofline']:.0f}%"

    columns = [
        Column("timing", [printable(str(row["name"])) for row in rows]),
        Column("median", [with_unit(row.get("median"), row.get("unit")) for row in rows]),
        Column("interval", [spread(row) for row in rows]),
        Column("n", [number(row.get("n")) for row in rows]),
        Column("limit", [with_unit(row.get("limit"), row.get("unit")) for row in rows]),
        Column("of roofline", [of_roofline(row) for row in rows], drop=1),
        Column("verdict", [row["verdict"] for row in rows]),
    ]
    return _table(columns, [row["verdict"] for row in rows], color, width)


def _misses(verdict: RunVerdict, columns: int | None, full: bool) -> list[str]:
    """A line per scenario that missed, failed gates first: gate, sample, detector, reason, and an excerpt.

    The last line is the command that shows one of them.
    """
    out = []
    for gate in by_severity(verdict.gates):
        kind = "tolerated" if gate.verdict == "PASS" else "miss"
        groups = [[miss] for miss in in_order(gate.misses)] if full else by_scenario(gate.misses)
        shown = groups if full else groups[:_MOST_MISSES]
        for first, *others in shown:
            more = f" and {len(others)} more of it" if others else ""
            line = f"{kind}: {printable(gate.name)} {printable(first.sample)}{more} {reason_of(first)}"
            out += _with_excerpt(line, printable(first.findings[0].excerpt), columns)
        if rest := sum(map(len, groups[len(shown) :])):
            out += folded([f"… {rest:,} more of {printable(gate.name)}: annie-eval show {_run(verdict)}"], columns)
    if missed := next((gate.misses[0].sample for gate in by_severity(verdict.gates) if gate.misses), None):
        out += folded([f"see: annie-eval show {_run(verdict)} {printable(missed)}"], columns)
    return out


def _with_excerpt(line: str, text: str, columns: int | None) -> list[str]:
    """A miss with its excerpt on the same line, or on the next one if there is too little room."""
    if not text:
        return folded([line], columns)
    if columns is None:
        return [f"{line}: {text}"]
    room = columns - len(line) - 2
    if room >= min(len(text), _LEAST_EXCERPT):
        return [f"{line}: {shortened(text, room)}"]
    return [*folded([line + ":"], columns), INDENT + shortened(text, columns - len(INDENT))]


def _run(verdict: RunVerdict) -> str:
    """The shortest name of the run that `annie-eval show` accepts in the current directory."""
    if not verdict.run_dir:
        return "RUN"
    path = Path(verdict.run_dir)
    with suppress(ValueError, OSError):
        path = path.resolve().relative_to(Path.cwd())
    return printable(path.name if path.parent == RUNS else str(path))


def _errors(verdict: RunVerdict, most: int = 3) -> list[str]:
    """Errors by cause, with their number and the first samples."""
    out = []
    for cause, samples in by_cause(all_errors(verdict)):
        if not samples:
            out += [f"error: {printable(line)}" for line in cause.splitlines() or [cause]]
            continue
        more = f" and {len(samples) - most} more" if len(samples) > most else ""
        out.append(f"error: {len(samples)} x {printable(cause)} ({printable(', '.join(samples[:most]))}{more})")
    return out


def _details(verdict: RunVerdict) -> list[str]:
    """Reasons of verdicts that neither a table nor a miss explains, and the PASS verdicts with weak evidence."""
    rows = [(gate.name, gate.verdict, gate.detail) for gate in verdict.gates if gate.verdict != "FAIL"]
    rows += [(str(row["name"]), row["verdict"], str(row.get("detail") or "")) for row in verdict.timings]
    out = [f"{printable(name)}: {found}: {printable(detail)}" for name, found, detail in rows if detail]
    weak = [f"{printable(gate.name)} {reason}" for gate in verdict.gates if (reason := weak_of(gate))]
    if weak:
        profile = printable(str(verdict.profile.get("name", "PROFILE")))
        out.append(
            f"weak evidence, because these gates have few samples (no finding about the model): {'; '.join(weak)}."
            " Weak: the gate tolerates misses, and the interval reaches below the share that it needs, so a"
            " model below that share can pass. A gate that tolerates no miss is not listed."
            f" More scenarios make it stronger; annie-eval gates {profile} says what each gate lets through"
        )
    curves = [
        f"{printable(gate.name)} passes a model whose true rate is {operating_curves.of_result(gate)}"
        for gate in verdict.gates
        if weak_of(gate) and at_minimum(gate)
    ]
    out += [f"weak evidence: {curve}" for curve in curves]
    return out


def _about(verdict: RunVerdict, full: bool) -> list[str]:
    """What could not be checked, transport errors, selection, target, profile and the run's directory."""
    gaps = {printable(str(name)): printable(str(reason)) for name, reason in verdict.capabilities.items()}
    out = (
        [f"not checked of the server, and counted in no gate: {name}: {reason}" for name, reason in gaps.items()]
        if full
        else []
    )
    if gaps and not full:
        how = f"annie-eval show {_run(verdict)} says why"
        names = ", ".join(_GAPS.get(name, name) for name in gaps)
        out = [f"not checked of the server, and counted in no gate: {names} ({how})"]
    if broke := {cause: count for cause, count in verdict.transport.items() if count}:
        out.append("transport: " + ", ".join(f"{printable(cause)} {count}" for cause, count in broke.items()))
    if verdict.selection and not verdict.selection.get("complete", True):
        out.append("selection: only a part of the profile was run, and the verdict covers only that part")
    if "ended" in verdict.selection:
        left = verdict.selection["unanswered"]
        samples = "1 sample has no answer" if left == 1 else f"{left} samples have no answer"
        again = f"the same command with --run-dir {printable(shlex.quote(verdict.run_dir or 'DIR'))} --resume"
        out.append(f"ended early: {printable(str(verdict.selection['ended']))}; {samples}; {again} asks for the rest")
    if verdict.target:
        served, url = (printable(str(verdict.target.get(key, "?"))) for key in ("served_model", "base_url"))
        profile = printable(str(verdict.profile.get("name", "?")))
        out.append(f"target: {served} at {url}, profile {profile}, {verdict.seconds:.1f} s")
    if verdict.run_dir:
        out.append(f"run: {printable(verdict.run_dir)}")
        if (page := Path(verdict.run_dir) / "report.html").is_file():
            out.append(f"page: {printable(str(page))}")
    return out

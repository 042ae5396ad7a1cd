"""Formats that all reports share: percentages, intervals, numbers, reasons of misses, and the headline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annie_eval.gates.decide import GateResult, RunVerdict, all_errors, scenario_of
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.verdicts import SEVERITY
from annie_eval.text import printable, shortened

_NUMBER = re.compile(r"(\d+)")


def percent(share: float) -> str:
    """0.1129 -> "11.3%", 0.5 -> "50%"."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def interval_of(result: GateResult) -> str:
    """Return the interval of the pass rate in whole percent; "-" if there is none."""
    if result.interval is None:
        return "-"
    low, high = result.interval
    return f"{100 * low:.0f}-{100 * high:.0f}%"


def rules_out_of(result: GateResult) -> str:
    """Return `>11.3%`: miss rates above it are ruled out; "-" if none is."""
    return "-" if result.rules_out is None or result.rules_out >= 1.0 else f">{percent(result.rules_out)}"


def needs_of(result: GateResult) -> str:
    """Return what the gate needs: `12/15`, and the lower bound of the rate if it has one."""
    needs = f"{result.required}/{result.expected}"
    return needs if result.lower_bound is None else f"{needs} >={percent(result.lower_bound)}"


def number(value: Any) -> str:
    """Return a measurement with four digits; "-" for None; other values as text."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, int | float) else printable(str(value))


def with_unit(value: Any, unit: Any) -> str:
    """`120 ms`; "-" for None."""
    shown = number(value)
    return f"{shown} {printable(str(unit))}" if unit and value is not None else shown


def reason_of(judgement: Judgement) -> str:
    """Return the first finding of a miss, and the number of further ones."""
    first = judgement.findings[0]
    more = f" (+{len(judgement.findings) - 1} more)" if len(judgement.findings) > 1 else ""
    return printable(f"{first.detector}: {first.reason}{more}")


def weak_of(result: GateResult) -> str:
    """`PASS at its minimum: 6/10, 26-88%` if the interval of a PASS contains the rate that the gate needs; else "".

    It is "" for a gate that allows no miss or has a lower bound on the rate.
    """
    free = result.required in (0, result.expected) or result.lower_bound is not None
    if result.verdict != "PASS" or result.interval is None or free:
        return ""
    share = result.required / result.expected
    if result.interval[0] >= share:
        return ""
    at = " at its minimum" if at_minimum(result) else ""
    return f"PASS{at}: {result.passed}/{result.n}, {interval_of(result)}, needs {percent(share)}"


def at_minimum(result: GateResult) -> bool:
    """Return whether a gate that tolerates misses passed and would have failed with one more miss."""
    return result.verdict == "PASS" and 0 < result.required < result.expected and result.passed == result.required


def in_order(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Sort by sample, with numbers by their value: s-2 before s-10."""
    return sorted(judgements, key=lambda one: natural(one.sample))


def natural(name: str) -> list[str]:
    """Return the sort key of a name in which numbers count by their value."""
    return [word.zfill(20) if place % 2 else word for place, word in enumerate(_NUMBER.split(name))]


def by_scenario(judgements: Iterable[Judgement]) -> list[list[Judgement]]:
    """Group misses by scenario, in order: its streamed, unstreamed and repeated samples have one prompt."""
    groups: dict[str, list[Judgement]] = {}
    for one in in_order(judgements):
        groups.setdefault(scenario_of(one.sample), []).append(one)
    return list(groups.values())


def by_severity(results: Iterable[GateResult]) -> list[GateResult]:
    """Sort by verdict, the worst first, then in the profile's order."""
    return sorted(results, key=lambda result: SEVERITY.index(result.verdict))


def by_cause(errors: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return (cause, samples), the most frequent first. Causes of the entire run come first, without samples."""
    causes: dict[str, list[str]] = {}
    for error in errors:
        samples = causes.setdefault(str(error.get("cause")), [])
        if error.get("sample") is not None:
            samples.append(str(error["sample"]))
    return sorted(causes.items(), key=lambda item: -len(item[1]) if item[1] else float("-inf"))


def headline(verdict: RunVerdict, most: int = 4) -> str:
    """The run's result in one line, for example `FAIL (2 of 8 gates failed: no_markdown 7/15, needs 12; ...)`."""
    return f"{verdict.verdict} ({printable(_because(verdict, most))})"


def _because(verdict: RunVerdict, most: int) -> str:
    rows = [(result.name, result.verdict, result.detail) for result in verdict.gates]
    rows += [(str(row["name"]), row["verdict"], _measured(row)) for row in verdict.timings]
    found = [f"{name} {detail}".strip() for name, its, detail in rows if its == verdict.verdict]
    shown = "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")
    effect = {"FAIL": "failed", "INCONCLUSIVE": "lacks evidence", "ERROR": "broke"}.get(verdict.verdict)
    # Comparisons are no gates, and are named if they decide the verdict.
    compared = [
        f"the comparison {of} {effect}"
        for of, other in (("with the baseline", verdict.regression), ("of the replicas", verdict.replicas))
        if effect and other.get("verdict") == verdict.verdict
    ]
    if verdict.verdict == "PASS" or (compared and all(its == "PASS" for _, its, _ in rows)):
        whole = verdict.selection.get("complete", True)
        holds = (
            f"all {len(rows)} gates hold" if whole else f"the {len(rows)} selected gates hold; not the whole profile"
        )
        barely = [
            f"{each.name} {each.passed}/{each.n}, {interval_of(each)}" for each in verdict.gates if at_minimum(each)
        ]
        gates = f"{holds}; at the minimum: {'; '.join(barely)}" if barely else holds
    else:
        how = "failed" if verdict.verdict == "FAIL" else "lack evidence"
        gates = f"{len(found)} of {len(rows)} gates {how}" + (f": {shown}" if found else "")
    if verdict.verdict != "ERROR":
        return "; ".join([gates, *compared])
    causes = by_cause(all_errors(verdict))
    if not causes:
        broke = [f"{len(found)} of {len(rows)} gates: {shown}"] if found else []
        return "; ".join([*broke, *compared]) or "no gate was judged"
    # The first cause is one of the entire run, or else the most frequent one.
    cause, samples = causes[0]
    more = f"; {len(causes) - 1} more causes" if len(causes) > 1 else ""
    first_line = cause.strip().partition("\n")[0]
    return (f"{len(samples)} samples broke: {first_line}" if samples else first_line) + more


def _measured(row: Mapping[str, Any]) -> str:
    """Return a timing row in short: `140 ms, limit 120 ms`, or the start of its detail if nothing was measured."""
    if row.get("median") is None or row.get("limit") is None:
        return shortened(str(row.get("detail") or ""), 80)
    return f"{with_unit(row['median'], row.get('unit'))}, limit {with_unit(row['limit'], row.get('unit'))}"

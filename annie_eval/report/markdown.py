"""A run's verdict as Markdown, for a CI summary or a comment on a pull request. Does no I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from annie_eval.gates.decide import RunVerdict
from annie_eval.regression.result import from_dict
from annie_eval.report.causes import cause_of
from annie_eval.report.live import duration
from annie_eval.report.phrases import by_scenario, by_severity, headline, interval_of, needs_of, reason_of, with_unit
from annie_eval.report.regression import NOISE_FLOOR
from annie_eval.text import printable

_MOST = 10  # scenarios listed for each gate
_MARKS = re.compile(r"([\\`*_{}\[\]()#+!|<>~@&])")


def page(verdict: RunVerdict, now: datetime | None = None) -> str:
    """Return the page. Text of a model or server is escaped, so that it cannot make a link, a mention or HTML.

    Args:
        now: the current time, from which the age of the baseline is computed.
    """
    out = [f"## {_safe(headline(verdict))}", ""]
    changed = {gate["name"]: gate for gate in verdict.regression.get("gates", ())}
    if verdict.regression:
        out += [f"{_safe(verdict.regression['headline'])}{_age(verdict, now or datetime.now(UTC))}", ""]
    if cause := cause_of(verdict):
        out += [_safe(cause), ""]
    if verdict.gates:
        heads = ["gate", "verdict", "passed", "needs", "interval", *(["worse", "better"] if changed else [])]
        floors = from_dict(verdict.regression) if verdict.regression.get("baseline", {}).get("flips") else None
        heads += [NOISE_FLOOR] if floors else []
        rows = []
        for gate in verdict.gates:
            row = [gate.name, gate.verdict, f"{gate.passed}/{gate.n}", needs_of(gate), interval_of(gate)]
            pair = changed.get(gate.name)
            flips = [str(len(pair[side])) if pair else "-" for side in ("worse", "better")]
            floor = [floors.floor(gate.name) or "-"] if floors else []
            rows.append([*row, *(flips if changed else []), *floor])
        out += [*_table(heads, rows), ""]
    if verdict.timings:
        timed = [
            [
                str(row["name"]),
                row["verdict"],
                *(with_unit(row.get(key), row.get("unit")) for key in ("median", "limit")),
            ]
            for row in verdict.timings
        ]
        out += [*_table(["timing", "verdict", "median", "limit"], timed), ""]
    for gate in by_severity(verdict.gates):
        groups = by_scenario(gate.misses)
        for first, *others in groups[:_MOST]:
            more = f" and {len(others)} more of it" if others else ""
            text = first.findings[0].excerpt
            out.append(
                f"- {_safe(f'{gate.name} {first.sample}{more} {reason_of(first)}' + (f': {text}' if text else ''))}"
            )
        if rest := sum(map(len, groups[_MOST:])):
            out.append(f"- {_safe(gate.name)}: {rest:,} more")
    return "\n".join(out).rstrip() + "\n"


def _age(verdict: RunVerdict, now: datetime) -> str:
    """Return `; the baseline is 3 days old`; "" if it is not known when it was blessed."""
    try:
        passed = (now - datetime.fromisoformat(verdict.regression["baseline"]["blessed"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return ""
    return f"; the baseline is {f'{passed / 86400:.0f} days' if passed >= 172800 else duration(max(0.0, passed))} old"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *([_safe(str(cell)) for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _safe(text: str) -> str:
    return _MARKS.sub(r"\\\1", printable(str(text)))

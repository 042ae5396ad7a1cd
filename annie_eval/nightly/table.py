"""Formats the history as a table for the terminal: one row per night, changes between the rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annie_eval.nightly.drift import Drift, Reset
from annie_eval.nightly.records import Count, History, Night
from annie_eval.report.columns import Column, fitting, table
from annie_eval.report.phrases import number
from annie_eval.stats import trend
from annie_eval.text import printable

_TIMED = (("ttft_short", "TTFT ms"), ("decode", "decode tok/s"))
_RANKS = {"tool_calling": 1, "thinking_leak": 2, "speakable": 4, "wire_integrity": 4, "server_state": 5}
_LOADED = (("ttft_under_load", "TTFT ms under load"), ("decode_under_load", "decode tok/s under load"))


def lines(history: History, resets: Sequence[Reset], drifts: Sequence[Drift], width: int = 100) -> list[str]:
    """The lines of the report. The table is at most `width` wide, if that is at least 60."""
    nights = history.nights
    out = _rows(nights, resets, width) if nights else ["no nights"]
    out += ["", *drift_lines(nights, drifts)]
    out += [f"skipped: {printable(name)}: {printable(reason)}" for name, reason in history.skipped]
    return out


def _rows(nights: Sequence[Night], resets: Sequence[Reset], width: int) -> list[str]:
    every = dict.fromkeys(name for night in nights for name in night.gates)
    last: Mapping[str, Count] = next((night.gates for night in reversed(nights) if night.gates), {})
    columns = [*_columns(nights, list(last))]
    shown = fitting(columns, width)[0]
    rows = table(columns, width)
    heads, rows = rows[: -len(nights)], rows[-len(nights) :]
    changed = {reset.at: reset.reason for reset in resets}
    out = heads
    for at, line in enumerate(rows):
        if at in changed:
            out.append(f"-- changed: {printable(changed[at])}")
        out.append(line)
        if not nights[at].gates and nights[at].cause:
            out.append(f"   {printable(nights[at].cause)}")
    missing = [*(column.head for column in columns if column not in shown and column.head != "started")]
    missing += [printable(name) for name in every if name not in last]
    if missing:
        out += ["", f"not in this table: {', '.join(missing)}; --plot FILE.html writes a page with all"]
    return out


def _columns(nights: Sequence[Night], gates: Sequence[str]) -> list[Column]:
    """The columns of these gates. Without room, the date is left out first, which is in the name, then timings, then
    gates that never missed, those of the transport first. A gate that missed goes last of all.
    """
    columns = [
        Column("night", [printable(night.name) for night in nights]),
        Column("started", [night.started[:16].replace("T", " ") for night in nights], drop=20),
        Column("verdict", [night.verdict for night in nights]),
        Column("regression", [night.regression or "-" for night in nights], drop=6),
    ]
    for name in sorted(gates, key=_rank):
        counts = [night.gates.get(name) for night in nights]
        missed = any(count is not None and count.passed < count.n for count in counts)
        columns.append(
            Column(
                printable(name), [_cell(count) for count in counts], drop=_rank(name) if missed else 10 + _rank(name)
            )
        )
    timed = [(name, head) for name, head in (*_TIMED, *_LOADED) if any(name in night.timings for night in nights)]
    if any(name in night.timings for night in nights for name, _ in _TIMED):
        timed = [(name, head) for name, head in timed if "under_load" not in name]
    return columns + [Column(head, [_timing(night, name) for night in nights], drop=17) for name, head in timed]


def _rank(gate: str) -> int:
    """The place of a gate: first those that tell most of the answers, last those of the transport and the server."""
    return _RANKS.get(gate, 3)


def _timing(night: Night, name: str) -> str:
    """The median and its interval: `90.82 89.1-97.5`."""
    low_high = night.intervals.get(name)
    interval = "" if low_high is None else f" {low_high[0]:.3g}-{low_high[1]:.3g}"
    return number(night.timings.get(name)) + interval


def _cell(count: Count | None) -> str:
    if count is None:
        return "-"
    if count.interval is None:
        return f"{count.passed}/{count.n}"
    low, high = (100 * bound for bound in count.interval)
    return f"{count.passed}/{count.n} {low:.0f}-{high:.0f}%"


def drift_lines(nights: Sequence[Night], drifts: Sequence[Drift]) -> list[str]:
    """One line for each series that got worse, or a line that says that none did, with the rate of false alarms."""
    rate = f"false alarms: {100 * trend.FALSE_ALARM:g} % in {trend.NIGHTS} nights without a change"
    if not drifts:
        return [f"drift: none in {len(nights)} night{'' if len(nights) == 1 else 's'} ({rate})"]
    return [*(printable(drift_line(each)) for each in drifts), f"({rate})"]


def drift_line(drift: Drift) -> str:
    """`drift: no_markdown is getting worse since 000012-...: 75/75 -> 64/75, seen on 000047-...`."""
    how = "got worse, before the last change," if drift.over else "is getting worse"
    return (
        f"drift: {drift.series} {how} since {drift.since}: {drift.before} -> {drift.now} (five nights each),"
        f" seen on {drift.seen} (trend {drift.score:.1f}, limit {drift.limit:.1f})"
    )

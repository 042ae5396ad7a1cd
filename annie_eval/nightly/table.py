"""Formats the history as a table for the terminal: one row per night, changes between the rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from annie_eval.nightly.drift import Drift, Reset
from annie_eval.nightly.records import Count, History, Night
from annie_eval.report.phrases import number
from annie_eval.stats import trend
from annie_eval.text import aligned, printable

_TIMED = (("ttft_short", "TTFT ms"), ("decode", "decode tok/s"))
_LOADED = (("ttft_under_load", "TTFT ms under load"), ("decode_under_load", "decode tok/s under load"))


def lines(history: History, resets: Sequence[Reset], drifts: Sequence[Drift]) -> list[str]:
    """The lines of the report."""
    nights = history.nights
    out = _rows(nights, resets) if nights else ["no nights"]
    out += ["", *drift_lines(nights, drifts)]
    out += [f"skipped: {printable(name)}: {printable(reason)}" for name, reason in history.skipped]
    return out


def _rows(nights: Sequence[Night], resets: Sequence[Reset]) -> list[str]:
    gates = list(dict.fromkeys(name for night in nights for name in night.gates))
    quiet = any(name in night.timings for night in nights for name, _ in _TIMED)
    timed = [(name, head) for name, head in (*_TIMED, *_LOADED) if any(name in night.timings for night in nights)]
    if quiet:
        timed = [(name, head) for name, head in timed if "under_load" not in name]
    heads = ["night", "started", "verdict", "regression", *map(printable, gates), *(head for _, head in timed)]
    rows = [heads]
    for night in nights:
        row = [printable(night.name), night.started[:16].replace("T", " "), night.verdict, night.regression or "-"]
        row += [_cell(night.gates.get(name)) for name in gates]
        rows.append(row + [number(night.timings.get(name)) for name, _ in timed])
    table = aligned(rows)
    changed = {reset.at: reset.reason for reset in resets}
    out = [table[0]]
    for at, line in enumerate(table[1:]):
        if at in changed:
            out.append(f"-- changed: {printable(changed[at])}")
        out.append(line)
        if not nights[at].gates and nights[at].cause:
            out.append(f"   {printable(nights[at].cause)}")
    return out


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

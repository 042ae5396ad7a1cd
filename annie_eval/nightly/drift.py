"""Finds slow changes over many nights that no single night shows. Pure.

A series is one gate's pass rate, or one timing. It starts again after the server changed or another run was blessed,
because earlier nights are not comparable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from annie_eval.nightly.records import Night
from annie_eval.serving import fingerprint_diff
from annie_eval.stats import trend

TIMED = ("ttft_short", "decode")


@dataclass(frozen=True, slots=True)
class Reset:
    """A night before which something changed, and a description of the change."""

    at: int
    reason: str


@dataclass(frozen=True, slots=True)
class Drift:
    """A series that got worse. `since` and `seen` are names of nights; `over`: it happened in an earlier segment."""

    series: str
    since: str
    seen: str
    before: str
    now: str
    score: float
    limit: float
    over: bool


def resets(nights: Sequence[Night]) -> list[Reset]:
    """The nights at which series start again, with the change. Nights without a judgement are ignored."""
    found = []
    last: Night | None = None
    blessed: str | None = None
    for at, night in enumerate(nights):
        if not night.gates:
            continue
        reasons = []
        if last is not None and last.fingerprint != night.fingerprint:
            known = fingerprint_diff.between(last.fingerprint, night.fingerprint)
            digests = last.fingerprint.get("profile_digest"), night.fingerprint.get("profile_digest")
            reasons += [*fingerprint_diff.of_profiles({}, {}, digests), *known.refused, *known.compared]
            reasons = reasons or ["the fingerprint changed"]
        if night.baseline is not None:
            if blessed is not None and night.baseline != blessed:
                reasons.append(f"another baseline was blessed ({night.baseline})")
            blessed = night.baseline
        if reasons:
            found.append(Reset(at, "; ".join(reasons)))
        last = night
    return found


def drifts(nights: Sequence[Night]) -> list[Drift]:
    """All series that got worse; those that still do come last. See `annie_eval.stats.trend`."""
    bounds = [0, *(reset.at for reset in resets(nights)), len(nights)]
    found = []
    for start, end in pairwise(bounds):
        found += _segment(nights[start:end], over=end < len(nights))
    return found


def _segment(nights: Sequence[Night], *, over: bool) -> list[Drift]:
    series = _series(nights)
    found = []
    for name, points in series.items():
        alarm = trend.alarm([badness for _, badness in points], trend.SPENT / len(series))
        if alarm is not None:
            told = [night for night, _ in points]
            found.append(
                Drift(
                    series=name,
                    since=told[alarm.start].name,
                    seen=told[alarm.at].name,
                    before=_shown(name, told[alarm.start : alarm.start + 5]),
                    now=_shown(name, told[-5:]),
                    score=alarm.score,
                    limit=alarm.limit,
                    over=over,
                )
            )
    return found


def _series(nights: Sequence[Night]) -> dict[str, list[tuple[Night, float]]]:
    """(night, badness) of every series with at least two nights; higher is worse."""
    names = dict.fromkeys(name for night in nights for name in night.gates)
    found: dict[str, list[tuple[Night, float]]] = {}
    for name in names:
        found[name] = [(night, -_rate(night, name)) for night in nights if name in night.gates and night.gates[name].n]
    for name in TIMED:
        sign = -1.0 if name.startswith("decode") else 1.0
        found[name] = [(night, sign * night.timings[name]) for night in nights if name in night.timings]
    return {name: points for name, points in found.items() if len(points) > 1}


def _rate(night: Night, gate: str) -> float:
    count = night.gates[gate]
    return count.passed / count.n


def _shown(name: str, nights: Sequence[Night]) -> str:
    """The value of a series over some nights, as text: pooled counts, or the mean of medians."""
    counts = [night.gates[name] for night in nights if name in night.gates]
    if counts:
        return f"{sum(count.passed for count in counts)}/{sum(count.n for count in counts)}"
    values = [night.timings[name] for night in nights if name in night.timings]
    return f"{sum(values) / len(values):.4g} {'tok/s' if name.startswith('decode') else 'ms'}"

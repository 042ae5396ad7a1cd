"""Reads the nights of a history directory, oldest first. Damaged nights are reported and skipped."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.gates.verdicts import SEVERITY
from annie_eval.run.directory import is_locked
from annie_eval.run.store import FILE as STORE
from annie_eval.untrusted.regular_files import json_value, read_bytes

VERDICT, NOTE, LOCK = "verdict.json", "night.json", ".lock"
_NUMBERED = re.compile(r"(\d{6,})-")
TIMINGS = ("ttft_short", "decode", "ttft_under_load", "decode_under_load")


@dataclass(frozen=True, slots=True)
class Count:
    """One gate of one night: passed of n, with its interval."""

    passed: int
    n: int
    interval: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Night:
    """One night. `baseline` is the id of the baseline that it was compared with; None if it was not compared.

    Attributes:
        started: wall-clock time, ISO 8601; the order of nights does not depend on it.
        timings: median by row; `intervals`: of those that have one.
        cause: why nothing was judged; "" otherwise.
        ended: whether the night was completed. False for a run that was put there by hand, and for a night that was
            interrupted after its gate.
    """

    name: str
    path: Path
    started: str
    verdict: str
    gates: Mapping[str, Count] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    baseline: str | None = None
    regression: str | None = None
    headline: str = ""
    cause: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """All nights of a directory, oldest first, and (name, reason) of skipped entries."""

    nights: tuple[Night, ...]
    skipped: tuple[tuple[str, str], ...]


def read(root: Path) -> History:
    """Read a history directory. A bad run never hides the others.

    Raises:
        UsageError: there is no such directory, or it cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"{root}: no such directory; name one that annie-eval nightly writes to")
    try:
        paths = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UsageError(f"{root}: cannot be read ({error.strerror})") from error
    nights, skipped = [], []
    for path in paths:
        try:
            nights.append(_night(path))
        except _Unusable as error:
            skipped.append((path.name, str(error)))
        except OSError as error:
            skipped.append((path.name, f"cannot be read ({error.strerror})"))
    return History(tuple(sorted(nights, key=_order)), tuple(skipped))


def without_running(history: History, root: Path) -> History:
    """The history without the night that still runs, which is named among the skipped ones."""
    names = [night.name for night in history.nights] + [name for name, _ in history.skipped]
    last = max(
        (name for name in names if number_of(name) is not None), key=lambda name: number_of(name) or 0, default=""
    )
    if not is_locked(root, LOCK) or any(night.name == last and night.ended for night in history.nights):
        return history
    skipped = tuple(each for each in history.skipped if each[0] != last)
    running = ((last, "still running"),) if last else ()
    return History(tuple(night for night in history.nights if night.name != last), (*skipped, *running))


class _Unusable(Exception):
    """A directory without a readable night."""


def number_of(name: str) -> int | None:
    """The number at the beginning of a night's directory name; None for other directories."""
    found = _NUMBERED.match(name)
    return None if found is None else int(found[1])


def next_name(root: Path, stamp: str) -> str:
    """The name of the next night: the next number, and the time for people."""
    used = [number for path in root.iterdir() if (number := number_of(path.name)) is not None]
    return f"{max(used, default=0) + 1:06d}-{stamp}"


def _order(night: Night) -> tuple[int, int, str, str]:
    number = number_of(night.name)
    return (0, 0, night.started, night.name) if number is None else (1, number, "", night.name)


def _night(path: Path) -> Night:
    """Read one night. Raises _Unusable, or OSError if a file or directory cannot be read."""
    note = _note(path)
    judged = (path / VERDICT).is_file()
    if not judged and not (note and note.get("cause")):
        raise _Unusable(_half_written(path))
    file, what = (VERDICT, "a verdict") if judged else (NOTE, "the note of a night")
    try:
        return _judged(path, _json(path / VERDICT), note or {}) if judged else _unjudged(path, note or {})
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise _Unusable(f"corrupt: {file} is not {what} ({type(error).__name__}: {str(error)[:120]})") from error


def _unjudged(path: Path, raw: Mapping[str, Any]) -> Night:
    """A night whose gate has no verdict."""
    return Night(path.name, path, _started(raw), "ERROR", cause=str(raw["cause"]), ended=True)


def _judged(path: Path, raw: Mapping[str, Any], note: Mapping[str, Any]) -> Night:
    gates = {str(gate["name"]): _count(gate) for gate in raw["gates"]}
    timings = {
        str(row["name"]): _milliseconds_or_rate(row["median"])
        for row in raw["timings"]
        if row.get("median") is not None and row["name"] in TIMINGS
    }
    for name, value in (note.get("timings") or {}).items():
        timings.setdefault(str(name), _milliseconds_or_rate(value))
    intervals = {str(name): (float(low), float(high)) for name, (low, high) in (note.get("intervals") or {}).items()}
    regression = raw.get("regression") or {}
    compared, baseline = regression.get("verdict"), (regression.get("baseline") or {}).get("id")
    verdict = note.get("verdict") or raw["verdict"]
    if verdict not in SEVERITY or compared not in (*SEVERITY, None) or not isinstance(baseline, str | None):
        raise ValueError(f"verdict {verdict!r}, regression {compared!r} against {baseline!r}")
    return Night(
        name=path.name,
        path=path,
        started=_started(raw),
        verdict=str(verdict),
        gates=gates,
        timings=timings,
        intervals=intervals,
        fingerprint=_fingerprint(raw["fingerprint"]),
        baseline=baseline,
        regression=compared,
        headline=str(regression.get("headline") or ""),
        cause="; ".join(str(error["cause"]) for error in raw["errors"][:1]),
        ended=bool(note),
    )


def _milliseconds_or_rate(value: Any) -> float:
    number = float(value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"a median of {number}")
    return number


def _fingerprint(raw: Any) -> Mapping[str, Any]:
    arguments = raw.get("arguments", [])
    if not (isinstance(arguments, list) and all(isinstance(each, str) for each in arguments)):
        raise ValueError("fingerprint.arguments is no list of words")
    found: Mapping[str, Any] = raw
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = json_value(read_bytes(path))
    except (UsageError, ValueError) as error:
        message = " ".join(str(error).split())[:120]
        raise _Unusable(f"corrupt: {path.name} cannot be read ({message})") from error
    if not isinstance(raw, dict):
        raise _Unusable(f"corrupt: {path.name} is no JSON object")
    return raw


def _note(path: Path) -> dict[str, Any] | None:
    """The note that the nightly run wrote beside the verdict; None if it is missing or damaged."""
    try:
        return _json(path / NOTE) if (path / NOTE).is_file() else None
    except _Unusable:
        return None


def _count(gate: Mapping[str, Any]) -> Count:
    passed, n = gate["passed"], gate["n"]
    if not (type(passed) is type(n) is int and 0 <= passed <= n):
        raise ValueError(f"gate {gate['name']}: passed {passed!r} of {n!r}")
    low_high = gate.get("interval")
    interval = None if low_high is None else (float(low_high[0]), float(low_high[1]))
    if interval is not None and not 0.0 <= interval[0] <= interval[1] <= 1.0:
        raise ValueError(f"gate {gate['name']}: interval {low_high!r}")
    return Count(passed, n, interval, str(gate["verdict"]))


def _started(raw: Mapping[str, Any]) -> str:
    started = str(raw["started"])
    datetime.fromisoformat(started)
    return started


def _half_written(path: Path) -> str:
    if not (path / STORE).is_file():
        return f"half-written: no {VERDICT} and no {STORE}"
    import sqlite3

    from annie_eval.run.store import Store

    try:
        store = Store(path)
        try:
            done, wanted = len(store.finished()), len(store.wanted())
        finally:
            store.close()
    except (UsageError, sqlite3.Error):
        return f"half-written: no {VERDICT}, and its {STORE} is damaged"
    return f"half-written: {done} of {wanted} samples answered, no {VERDICT}"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a file atomically. Raises OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="ascii") as file:
            json.dump(values, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

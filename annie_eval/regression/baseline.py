"""Baselines on disk: named copies of blessed runs.

baselines/NAME.json          the pointer: which copy, from which run, when; replaced atomically
baselines/copies/ID/         run.sqlite, verdict.json, timing.jsonl and, for an A/A run, aa.jsonl
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.schema import did_you_mean
from annie_eval.regression import timings
from annie_eval.regression.run_data import TIMINGS, RunData, measurements, read
from annie_eval.run.directory import resume_command
from annie_eval.run.store import FILE
from annie_eval.untrusted.regular_files import json_value, read_bytes

DIR = "baselines"
FORMAT = 1
_AA = "aa.jsonl"
_VERDICT = "verdict.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Baseline:
    """A loaded baseline. `info` goes into reports: `name`, `id`, `run`, `blessed`, `verdict`, and the
    `flips` of its A/A run by gate.
    """

    info: Mapping[str, Any]
    run_data: RunData
    noise: timings.Noise


def bless(run_dir: Path, name: str, root: Path, aa: Path | None = None) -> dict[str, Any]:
    """Make a run the baseline `name`; returns the content of the pointer.

    Args:
        root: the directory of all baselines; created if it does not exist.
        aa: a second run of the same server, whose difference to the first is the noise floor of timings.

    Raises:
        UsageError: an invalid name, a run that is unfinished or has broken samples, an A/A run of another server, or
            the copy cannot be written. Then nothing has changed.
    """
    if not _NAME.fullmatch(name) or name.endswith(".json"):
        raise UsageError(
            f"--as {name}: a baseline's name is at most 64 letters, digits, dots, hyphens and underscores"
        )
    run_data = _finished(run_dir)
    second = None
    if aa is not None:
        second = _finished(aa)
        _check_aa(run_data, second, run_dir, aa)
    now = datetime.now(UTC)
    made = f"{name}-{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    pointer: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "id": made,
        "run": str(run_dir.resolve()),
        "aa": None if aa is None else str(aa.resolve()),
        "blessed": now.isoformat(timespec="seconds"),
        "verdict": run_data.facts.get("verdict"),
        "profile": run_data.facts.get("identity", {}).get("profile"),
        "timed": timings.taken(run_data.timings),
        "flips": None if second is None else _flips(run_data, second),
        "served_model": (run_data.facts.get("target") or {}).get("served_model"),
    }
    copy = root / "copies" / made
    partial = copy.with_name(f".{made}")
    try:
        partial.mkdir(parents=True)
        _copy_run(run_dir, partial)
        if aa is not None and (aa / TIMINGS).is_file():
            shutil.copyfile(aa / TIMINGS, partial / _AA)
        for file in partial.iterdir():
            _sync(file)
        _sync(partial)
        partial.rename(copy)
        _sync(copy.parent)
        _replace(root / f"{name}.json", json.dumps(pointer, indent=2) + "\n")
    except (OSError, sqlite3.Error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(copy, ignore_errors=True)
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"{root}: the baseline cannot be written ({cause}); the earlier baseline is unchanged"
        ) from error
    return pointer


def _finished(run_dir: Path) -> RunData:
    run_data = read(run_dir)
    state = run_data.facts.get("state", "unknown")
    if state != "finished" or not (run_dir / _VERDICT).is_file():
        why = f"state {state}" if state != "finished" else f"it has no {_VERDICT}"
        command = resume_command(run_dir, run_data.facts)
        raise UsageError(f"{run_dir}: the run is not finished ({why}); continue it, then bless it: {command}")
    if not run_data.judgements:
        raise UsageError(f"{run_dir}: no sample was judged in this run; bless one of the whole profile")
    broken = [
        judgement.sample
        for of in run_data.judgements.values()
        for judgement in of.values()
        if judgement.error is not None
    ]
    if broken:
        count = len(set(broken))
        raise UsageError(
            f"{run_dir}: {count} sample{'s' if count > 1 else ''} broke, such as {broken[0]}; a baseline needs every"
            " answer: run again on a sound server"
        )
    return run_data


def _check_aa(first: RunData, second: RunData, run_dir: Path, aa: Path) -> None:
    if run_dir.resolve() == aa.resolve():
        raise UsageError(f"--aa {aa}: is the blessed run itself; name a second run of the same server")
    from annie_eval.serving import fingerprint_diff

    other = fingerprint_diff.between(first.fingerprint, second.fingerprint)
    found = [
        *fingerprint_diff.of_profiles(
            first.snapshot,
            second.snapshot,
            (first.facts.get("identity", {}).get("digest"), second.facts.get("identity", {}).get("digest")),
        ),
        *other.refused,
        *other.compared,
    ]
    if found:
        raise UsageError(f"--aa {aa}: not a run of the same server: {'; '.join(found[:4])}; name one that is")


def _flips(first: RunData, second: RunData) -> dict[str, list[int]]:
    """The number of samples of each gate that differ between two runs of the same server: [worse, better, n]."""
    found = {}
    for gate, judged in first.judgements.items():
        other = second.judgements.get(gate, {})
        pairs = [(judged[key].passed, other[key].passed) for key in judged if key in other]
        found[gate] = [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs), len(pairs)]
    return found


def _copy_run(run_dir: Path, to: Path) -> None:
    source = sqlite3.connect(run_dir / FILE, timeout=60)
    target = sqlite3.connect(to / FILE)
    try:
        source.backup(target)
        # Without WAL files, so that a copy can be read from a read-only directory.
        target.execute("PRAGMA journal_mode=DELETE")
    finally:
        source.close()
        target.close()
    for name in (_VERDICT, TIMINGS):
        if (run_dir / name).is_file():
            (to / name).write_bytes(read_bytes(run_dir / name))


def _sync(path: Path) -> None:
    """Flush a file or a directory to disk before the pointer names it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def load(wanted: str, root: Path, runs: Path) -> Baseline:
    """The baseline called `wanted`: a name in `root`, the path of one, a run's directory, or a run's name in `runs`.

    Raises:
        UsageError: there is none, or it is damaged; lists the existing ones.
    """
    for pointer in (root / f"{wanted}.json", Path(f"{wanted}.json"), Path(wanted)):
        if (pointer.parent == root and not _NAME.fullmatch(pointer.stem)) or pointer.suffix != ".json":
            continue
        if pointer.is_file():
            return _pointed(pointer)
    for path in (Path(wanted).expanduser(), runs / wanted):
        if (path / FILE).is_file():
            run_data = _finished(path)
            resolved = path.resolve()
            info = {
                "name": resolved.name,
                "id": resolved.name,
                "run": str(resolved),
                "aa": None,
                "blessed": None,
                "verdict": run_data.facts.get("verdict"),
            }
            return Baseline(info, run_data, timings.noise(run_data.timings, None))
    known = names(root)
    there = f"there are {', '.join(known)}" if known else "none is blessed yet: annie-eval bless RUN --as NAME"
    raise UsageError(
        f"--baseline {wanted}: no such baseline in {root} and no such run; {there}{did_you_mean(wanted, known)}"
    )


def names(root: Path) -> list[str]:
    """The names of all baselines."""
    return sorted(path.stem for path in root.glob("*.json")) if root.is_dir() else []


def _pointed(pointer: Path) -> Baseline:
    try:
        info = json_value(read_bytes(pointer))
        if info["format"] != FORMAT:
            raise ValueError(f"format {info['format']!r}, but this version reads {FORMAT}")
        name, made = str(info["name"]), str(info["id"])
        if not _NAME.fullmatch(name) or "/" in made or made.startswith("."):
            raise ValueError("a name that cannot be one")
    except (UsageError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{pointer}: not a baseline ({error}); bless a run again") from error
    copy = pointer.parent / "copies" / made
    if not (copy / FILE).is_file():
        raise UsageError(f"{pointer}: its copy {copy} is gone; bless a run again")
    run_data = read(copy, name)
    second = measurements(copy / _AA) if (copy / _AA).is_file() else None
    shown = {key: info.get(key) for key in ("name", "id", "run", "aa", "blessed", "verdict", "flips")}
    return Baseline(shown, run_data, timings.noise(run_data.timings, second))

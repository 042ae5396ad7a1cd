"""Writes and reads verdict.json, the machine-readable verdict, valid against verdict.schema.json."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.errors import UsageError
from annie_eval.gates.decide import GateResult, RunVerdict, all_errors
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import current_key
from annie_eval.untrusted.regular_files import exists, json_value, read_bytes

FORMAT = 1
FILE = "verdict.json"
SCHEMA = Path(__file__).with_name("verdict.schema.json")


def to_dict(verdict: RunVerdict) -> dict[str, Any]:
    """The verdict as plain JSON values: null for NaN and infinity, lone surrogates escaped as text."""
    plain = {
        "format": FORMAT,
        "verdict": verdict.verdict,
        "gates": [_gate(result) for result in verdict.gates],
        "errors": all_errors(verdict),
        "timings": list(verdict.timings),
        "transport": verdict.transport,
        "selection": verdict.selection,
        "profile": verdict.profile,
        "target": verdict.target,
        "fingerprint": verdict.fingerprint,
        "capabilities": verdict.capabilities,
        "regression": verdict.regression or None,
        "replicas": verdict.replicas or None,
        "started": datetime.fromtimestamp(verdict.started, UTC).isoformat(timespec="microseconds"),
        "seconds": verdict.seconds,
        "run_dir": verdict.run_dir,
        "version": verdict.version,
    }
    strict = _strict(plain)
    assert isinstance(strict, dict)
    return strict


def _gate(result: GateResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "verdict": result.verdict,
        "passed": result.passed,
        "n": result.n,
        "errors": result.errors,
        "required": result.required,
        "expected": result.expected,
        "lower_bound": result.lower_bound,
        "confidence": result.confidence,
        "interval": result.interval,
        "rules_out": result.rules_out,
        "baseline": result.baseline,
        "detail": result.detail,
        "findings": [
            {"sample": miss.sample, **asdict(finding)} for miss in result.misses for finding in miss.findings
        ],
        "broken": [{"sample": each.sample, "cause": each.error} for each in result.broken],
        "repeats": result.repeats or None,
        "cause": result.cause or None,
        "blame": result.blame or None,
    }


def _strict(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {_strict(str(key)): _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return value


def dumps(verdict: RunVerdict) -> str:
    """The file's text: ASCII without control characters, and one trailing newline."""
    return json.dumps(to_dict(verdict), indent=2, allow_nan=False) + "\n"


def write(path: Path, verdict: RunVerdict) -> None:
    """Write the file atomically."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="ascii") as file:
            file.write(dumps(verdict))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path) -> RunVerdict:
    """Read a file written by `write`.

    Raises:
        UsageError: no such file, not JSON, or not a verdict of this format; names the field.
    """
    import jsonschema

    try:
        if not exists(path):
            raise UsageError(f"{path}: no verdict here; the run did not finish")
        raw = json_value(read_bytes(path), _with_current_keys)
    except ValueError as error:
        raise UsageError(f"{path}: not readable as JSON ({error}); the file is damaged") from error
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(raw))
    if found is not None:
        where = found.json_path.removeprefix("$").removeprefix(".") or "the whole file"
        raise UsageError(f"{path}: {where}: {found.message[:200]}; not a verdict of format {FORMAT}")
    started = datetime.fromisoformat(raw["started"]).timestamp()
    gates = tuple(_gate_result(gate) for gate in raw["gates"])
    same = ("verdict", "fingerprint", "transport", "selection", "profile", "target", "capabilities", "seconds")
    return RunVerdict(
        **{key: raw[key] for key in (*same, "run_dir", "version")},
        gates=gates,
        errors=tuple(raw["errors"]),
        timings=tuple(raw["timings"]),
        regression=raw.get("regression") or {},
        replicas=raw.get("replicas") or {},
        started=started,
    )


def _with_current_keys(value: dict[str, Any]) -> dict[str, Any]:
    """Convert the sample keys of an object in a stored verdict to those of this version."""
    for name in ("sample", "worse", "better"):
        match value.get(name):
            case str() as key:
                value[name] = current_key(key)
            case [*keys]:
                value[name] = [current_key(key) if isinstance(key, str) else key for key in keys]
    return value


def _gate_result(gate: Mapping[str, Any]) -> GateResult:
    misses: dict[str, list[Finding]] = {}
    for finding in gate["findings"]:
        span = None if finding["span"] is None else tuple(finding["span"])
        fields = {key: finding[key] for key in ("detector", "reason", "excerpt", "channel", "exchange")}
        misses.setdefault(finding["sample"], []).append(Finding(**fields, span=span))
    same = ("name", "verdict", "passed", "n", "errors", "required", "expected", "lower_bound", "confidence")
    return GateResult(
        **{key: gate[key] for key in (*same, "rules_out", "baseline", "detail")},
        interval=None if gate["interval"] is None else tuple(gate["interval"]),
        misses=tuple(Judgement(gate["name"], sample, tuple(found)) for sample, found in misses.items()),
        broken=tuple(Judgement(gate["name"], each["sample"], error=each["cause"]) for each in gate["broken"]),
        repeats=gate.get("repeats") or {},
        cause=gate.get("cause") or "",
        blame=gate.get("blame") or "",
    )

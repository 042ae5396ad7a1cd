"""Reads the table of hardware limits: `profiles/hardware.toml`, overridden by the profile's own tables."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.types import Profile

TABLE = Path(__file__).parent.parent / "profiles" / "hardware.toml"

LIMITS = (
    "ttft_short_ms",
    "decode_tok_s",
    "ttft_slope_ms_per_1k",
    "ttft_quadratic_share",
    "warm_slope_us_per_token",
    "warm_ratio",
    "decode_flat_ratio",
    "itl_p95_ms",
    "stall_ms",
    "stalled_share",
    "tool_call_ms",
    "goodput_share",
    "goodput_ttft_ms",
    "goodput_decode_tok_s",
)
MOST_STREAMS = 512  # each is a connection and a thread
_CONTEXTS = (512, 1024, 2048, 4096)
_OTHER = ("match", "memory_gb_s", "tflops", "cache_mb", "per_core", "contexts", "streams")


@dataclass(frozen=True, slots=True)
class Hardware:
    """One machine: its peak rates, the measurements to make, and the limits.

    Attributes:
        memory_gb_s: peak memory bandwidth, 1e9 bytes per second, of one device or, with `per_core`, of one core.
        tflops: peak dense rate by operand format (`bf16`, `fp8`, `fp4`), 1e12 operations per second.
        cache_mb: last-level cache; for weights that fit twice into it, memory bandwidth is no limit.
        contexts: prompt lengths in tokens.
        streams: concurrent requests of the goodput gate.
        limits: by the names in `LIMITS`.
    """

    name: str
    match: tuple[str, ...] = ()
    memory_gb_s: float | None = None
    tflops: Mapping[str, float] = field(default_factory=dict)
    cache_mb: float = 0.0
    per_core: bool = False
    contexts: tuple[int, ...] = _CONTEXTS
    streams: int = 4
    limits: Mapping[str, float] = field(default_factory=dict)


def table(profile: Profile) -> dict[str, Hardware]:
    """All known machines by name.

    Raises:
        UsageError: an invalid key or value in a profile's [hardware.NAME].
    """
    shared = tomllib.loads(TABLE.read_text("utf-8"))
    names = [*shared, *(name for name in profile.hardware if name not in shared)]
    found = {}
    for name in names:
        own = profile.hardware.get(name, {})
        _check(f"profile {profile.path}: hardware.{name}", own)
        found[name] = _make(name, {**shared.get(name, {}), **own})
    return found


def choose(
    known: Mapping[str, Hardware], wanted: str | None, gpus: tuple[str, ...], *, local: bool
) -> Hardware | None:
    """The machine by `--hardware`, else by the GPU's name, else `cpu` for a local server without one; None if unknown.

    Raises:
        UsageError: `wanted` is not known.
    """
    if wanted is not None:
        if wanted not in known:
            raise UsageError(f"--hardware {wanted}: unknown; one of {', '.join(known)}, or add [hardware.{wanted}]")
        return known[wanted]
    for name in gpus:
        for machine in known.values():
            if any(part.lower() in name.lower() for part in machine.match):
                return machine
    return known.get("cpu") if local and not gpus else None


def _make(name: str, values: Mapping[str, Any]) -> Hardware:
    return Hardware(
        name=name,
        match=tuple(values.get("match", ())),
        memory_gb_s=values.get("memory_gb_s"),
        tflops=dict(values.get("tflops", {})),
        cache_mb=values.get("cache_mb", 0.0),
        per_core=values.get("per_core", False),
        contexts=tuple(sorted(values.get("contexts", _CONTEXTS))),
        streams=values.get("streams", 4),
        limits={key: float(values[key]) for key in LIMITS if key in values},
    )


def _check(where: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        if key in LIMITS or key in ("memory_gb_s", "cache_mb"):
            if not number:
                raise UsageError(f"{where}.{key} is {value!r}; give a number above 0")
        elif key == "contexts":
            whole = isinstance(value, list) and all(isinstance(c, int) and c > 1 for c in value)
            if not whole or len(set(value)) < 3:
                raise UsageError(f"{where}.contexts is {value!r}; give at least three different lengths in tokens")
        elif key == "streams":
            if not (isinstance(value, int) and not isinstance(value, bool) and 1 < value <= MOST_STREAMS):
                raise UsageError(f"{where}.streams is {value!r}; give an integer from 2 to {MOST_STREAMS}")
        elif key == "match":
            if not (isinstance(value, list) and all(isinstance(part, str) and part for part in value)):
                raise UsageError(f'{where}.match is {value!r}; give a list of parts of GPU names, such as ["H100"]')
        elif key == "tflops":
            known = isinstance(value, Mapping) and set(value) <= {"bf16", "fp8", "fp4"}
            if not known or not all(isinstance(rate, int | float) and rate > 0 for rate in value.values()):
                raise UsageError(f"{where}.tflops is {value!r}; give rates above 0 for bf16, fp8 or fp4")
        elif key == "per_core":
            if not isinstance(value, bool):
                raise UsageError(f"{where}.per_core is {value!r}; give true or false")
        else:
            raise UsageError(f"{where}.{key}: unknown key; one of {', '.join((*LIMITS, *_OTHER))}")

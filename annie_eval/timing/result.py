"""The names of the timing gates, and the type of their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from annie_eval.profile.types import Verdict

ROWS: Mapping[str, tuple[str, ...]] = {
    "ttft_short": ("ttft_short_ms",),
    "ttft_cold": ("ttft_slope_ms_per_1k", "ttft_quadratic_share"),
    "ttft_warm": ("warm_slope_us_per_token", "warm_ratio"),
    "decode": ("decode_tok_s",),
    "decode_flat": ("decode_flat_ratio",),
    "stalls": ("itl_p95_ms", "stall_ms", "stalled_share"),
    "tool_call": ("tool_call_ms",),
    "goodput": ("goodput_share", "goodput_ttft_ms", "goodput_decode_tok_s"),
}
"""All timing gates with their limits in the hardware table. tests/perf has a file for each."""


@dataclass(frozen=True, slots=True)
class TimingResult:
    """The result of one timing gate.

    Attributes:
        median: the judged number in `unit`; None if nothing could be measured.
        interval: the interval that decides the verdict, see `annie_eval.timing.verdict.CONFIDENCE`.
        n: number of samples.
        roofline: share of the physical limit that was reached, 0 to 1; None if no limit is known.
        detail: what was measured, what confirms it, what could not be checked, in one line.
        points: (prompt tokens, median, low, high, n) for rows over several lengths.
    """

    name: str
    verdict: Verdict
    median: float | None
    interval: tuple[float, float] | None
    n: int
    limit: float | None
    unit: str
    roofline: float | None
    detail: str
    hardware: str | None = None
    points: tuple[tuple[float, ...], ...] = ()

    @property
    def summary(self) -> str:
        """The measured number with its limit, and the detail, in one line for a failed test."""
        if self.median is None:
            return f"{self.verdict}: {self.detail}"
        low, high = self.interval or (self.median, self.median)
        limit = "no limit" if self.limit is None else f"limit {self.limit:g}"
        measured = f"{self.median:.4g} {self.unit} ({low:.4g} to {high:.4g}, n {self.n}), {limit}"
        return f"{self.verdict}: {measured}. {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TimingResult:
        interval = values["interval"]
        low_high = None if interval is None else (float(interval[0]), float(interval[1]))
        points = tuple(tuple(point) for point in values.get("points", ()))
        return cls(**{**values, "interval": low_high, "points": points})

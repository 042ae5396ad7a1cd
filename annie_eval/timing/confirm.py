"""Compares the client's timings with the server's metrics, and makes the row of a timing gate. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annie_eval.profile.types import Verdict
from annie_eval.stats import medians
from annie_eval.timing import verdict as rule
from annie_eval.timing.measurement import Measurement
from annie_eval.timing.plan import Plan
from annie_eval.timing.prompts import Capabilities
from annie_eval.timing.result import ROWS, TimingResult
from annie_eval.timing.verdict import Estimate

MOST_OUTSIDE_US = 2.0  # per prompt token; more cannot be caused by a detokeniser
_LOAD = 0.1  # share of measurements under other load above which a miss is not attributed to the server


@dataclass(frozen=True, slots=True)
class GateEstimate:
    """The result of judging measurements: the estimate, the verdict, and the detail text."""

    verdict: Verdict
    estimate: Estimate | None
    notes: tuple[str, ...] = ()
    roofline: float | None = None


Pairs = Sequence[tuple[Measurement, float]]


def error_row(name: str, plan: Plan, cause: str, n: int = 0, verdict: Verdict = "ERROR") -> TimingResult:
    """A row without a measurement."""
    limit, unit = plan.limits.get(_limit_of(name)), _UNITS[name]
    return TimingResult(name, verdict, None, None, n, limit, unit, None, cause, plan.hardware)


def _limit_of(name: str) -> str:
    return _GATED.get(name, ROWS[name][0])


_UNITS = {
    "ttft_short": "ms",
    "ttft_cold": "ms/1k tokens",
    "ttft_warm": "x",
    "decode": "tok/s",
    "decode_flat": "x",
    "stalls": "ms",
    "tool_call": "ms",
    "goodput": "share",
}
_GATED = {"ttft_warm": "warm_ratio"}  # shown in the row, if it is not the first of the row's limits


def confirm_gate(
    name: str,
    plan: Plan,
    capabilities: Capabilities,
    pairs: Pairs,
    judge: Callable[[Pairs], GateEstimate],
    server: Callable[[Measurement], float | None],
    points: tuple[tuple[float, ...], ...] = (),
    notes: Sequence[str] = (),
) -> TimingResult:
    """Judge the client's numbers and the confirmed numbers; the verdict counts only if both agree."""
    found = judge(pairs)
    verdict, doubt = _confirmed(pairs, found.verdict, judge, server)
    missing = [limit for limit in ROWS[name] if limit not in plan.limits]
    if missing and verdict != "ERROR":
        verdict = "INCONCLUSIVE"
    detail = [*found.notes, *notes, *doubt]
    if _UNITS[name] in ("ms", "tok/s") and (wider := rule.widening([value for _, value in pairs])) > 1.0:
        detail.append(f"samples that follow each other are alike, so that the interval is {wider:.1f} times as wide")
    if missing:
        detail.append(f"no limit {', '.join(missing)}")
    unchecked = [*capabilities.missing(), *plan.notes]
    if unchecked:
        detail.append("not checked: " + "; ".join(unchecked))
    estimate = found.estimate
    return TimingResult(
        name=name,
        verdict=verdict,
        median=None if estimate is None else estimate.value,
        interval=None if estimate is None else (estimate.low, estimate.high),
        n=len(pairs),
        limit=plan.limits.get(_limit_of(name)),
        unit=_UNITS[name],
        roofline=found.roofline,
        detail=". ".join(detail),
        hardware=plan.hardware,
        points=points,
    )


def _confirmed(
    pairs: Pairs,
    verdict: Verdict,
    judge: Callable[[Pairs], GateEstimate],
    server: Callable[[Measurement], float | None],
) -> tuple[Verdict, list[str]]:
    """The verdict if samples that the server does not confirm are replaced by the server's number."""
    known = [s for s, _ in pairs if s.server_metrics is not None]
    outside = outside_ms(known)
    left = {id(s): s.doubts_beyond(outside) for s in known}
    doubted = [s for s in known if left[id(s)]]
    loaded = [s for s, _ in pairs if s.busy]
    notes = []
    if known:
        notes.append(f"the server confirms {len(known) - len(doubted)} of {len(pairs)}")
    if outside and (most := max(s.prompt_tokens for s in known if s.prompt_tokens)) * outside > 0.5:
        notes.append(
            f"{outside * 1e3:.2f} us a prompt token pass outside the server's own stamps, as in its detokeniser: "
            f"{most * outside:.1f} ms at {most} tokens"
        )
    if doubted:
        notes.append(f"first doubt: {left[id(doubted[0])][0]}")
        other = judge([(s, (server(s) if left.get(id(s)) else None) or value) for s, value in pairs]).verdict
        if verdict in ("PASS", "FAIL") and (other != verdict or (verdict == "FAIL" and len(doubted) * 2 > len(pairs))):
            notes.append(f"{verdict} by the client alone, {other} by the server's metrics")
            verdict = "INCONCLUSIVE"
    if loaded:
        notes.append(f"{len(loaded)} measured under load of others")
        if verdict == "FAIL" and len(loaded) > _LOAD * len(pairs):
            verdict = "INCONCLUSIVE"
    return verdict, notes


def outside_ms(measurements: Sequence[Measurement]) -> float:
    """Growth of (client TTFT - server TTFT) in milliseconds per prompt token: Theil-Sen over prompt lengths.

    The client's own work does not depend on the prompt, so a growing part is work of the server after its timestamp. 0
    if there is no significant growth; at most `MOST_OUTSIDE_US`.
    """
    apart = [
        (float(s.prompt_tokens), s.ttft_ms - s.server_ttft_ms)
        for s in measurements
        if s.prompt_tokens is not None and s.ttft_ms is not None and s.server_ttft_ms is not None
    ]
    if len({n for n, _ in apart}) < 3:
        return 0.0
    line = medians.theil_sen([n for n, _ in apart], [extra for _, extra in apart], 0.99)
    return min(line.slope, MOST_OUTSIDE_US / 1e3) if line.low > 0 else 0.0


def against(estimate: Estimate, plan: Plan, limit: str, *, at_most: bool) -> Verdict:
    return estimate.against(plan.limits[limit], at_most=at_most) if limit in plan.limits else "INCONCLUSIVE"

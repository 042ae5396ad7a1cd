"""Timing gates: measures TTFT and decode rate in a separate process, and compares them with limits.

`plan_for` turns a profile and a target into a `Plan`. `run` starts the timing process (`python -m annie_eval.timing`,
only the standard library), which measures on an idle server, one request at a time, and returns a `TimingResult` for
each gate. docs/perf.md explains the measurements.
"""

from typing import TYPE_CHECKING, Any

from annie_eval.timing.result import ROWS, TimingResult

if TYPE_CHECKING:
    from annie_eval.timing.plan import Plan, plan_for
    from annie_eval.timing.process import run

__all__ = ["ROWS", "Plan", "TimingResult", "plan_for", "run"]


def __getattr__(name: str) -> Any:
    """`run`, `Plan` and `plan_for` on first use (PEP 562), because the gates' tests need only `TimingResult`."""
    if name == "run":
        from annie_eval.timing.process import run

        return run
    if name in ("Plan", "plan_for"):
        from annie_eval.timing import plan

        return getattr(plan, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

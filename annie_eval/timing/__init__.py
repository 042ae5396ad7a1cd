"""TTFT and decode rate, measured so that they can be trusted, and judged against a limit.

A run has two sides. `plan_for` turns a profile and a target into a `Plan`; `run` starts the timing process
(`python -m annie_eval.timing`, standard library only), which measures on a quiet server, one request at a time, and
returns a `TimingResult` for each gate. What is measured, and how, is in docs/perf.md.
"""

from typing import TYPE_CHECKING, Any

from annie_eval.timing.result import ROWS, TimingResult

if TYPE_CHECKING:
    from annie_eval.timing.plan import Plan, plan_for
    from annie_eval.timing.process import run

__all__ = ["ROWS", "Plan", "TimingResult", "plan_for", "run"]


def __getattr__(name: str) -> Any:
    """`run`, `Plan` and `plan_for` on first use (PEP 562): the gate tests need `TimingResult` alone."""
    if name == "run":
        from annie_eval.timing.process import run

        return run
    if name in ("Plan", "plan_for"):
        from annie_eval.timing import plan

        return getattr(plan, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

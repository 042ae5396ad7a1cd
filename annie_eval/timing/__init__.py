"""TTFT and decode rate, measured so that they can be trusted, and judged against a limit.

A run has two sides. `plan_for` turns a profile and a target into a `Plan`; `run` starts the timing process
(`python -m annie_eval.timing`, standard library only), which measures on a quiet server, one request at a time, and
returns a `Row` for each gate. What is measured, and how, is in docs/perf.md.
"""

from annie_eval.timing.launch import run
from annie_eval.timing.plan import ROWS, Plan, Row, plan_for

__all__ = ["ROWS", "Plan", "Row", "plan_for", "run"]

"""The timing process: `python -m annie_eval.timing`, a plan as a line of JSON on standard input, which stays open.

Prints one JSON object a line, `{"event": ..., ...}`: `capabilities`, `measurement`, `row`, `progress` and at
last `done`. Measurements and rows go to the plan's output file as well, each flushed before the next request is sent,
so that a kill loses nothing that was measured.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.timing.measure import measure
from annie_eval.timing.plan import Plan


def main() -> int:
    """Exit status 0 when every row was measured or says why not, 2 for a plan that cannot be read."""
    try:
        plan = Plan.from_json(sys.stdin.readline())
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    threading.Thread(target=_end_with_input, daemon=True).start()
    with ExitStack() as stack:
        output = stack.enter_context(open(plan.output, "a", encoding="utf-8")) if plan.output else None

        def emit(event: str, values: Mapping[str, Any]) -> None:
            line = json.dumps({"event": event, **values})
            if output is not None and event != "progress":
                print(line, file=output, flush=True)
            print(line, flush=True)

        _go_first()
        # What is alive now lives for good, and what follows is freed by reference counts: no collection ever falls
        # into a measurement.
        gc.collect()
        gc.freeze()
        gc.disable()
        measure(plan, emit)
        emit("done", {})
    return 0


def _end_with_input() -> None:
    """Leave at once when standard input ends: whoever wanted this measured is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _go_first() -> None:
    """Ask for real-time priority, so that a busy machine does not hold up a stamp; most users may not have it.

    This process sleeps in `recv` but for some microseconds a token, so that it takes nothing from the server.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


if __name__ == "__main__":
    sys.exit(main())

"""The timing process: `python -m annie_eval.timing`. Reads a plan as one line of JSON from standard input.

Standard input must stay open; when it is closed, the process ends. Prints one JSON object per line, `{"event": ...,
...}`: `capabilities`, `measurement`, `row`, `progress` and at the end `done`. Measurements and rows are also written
to the plan's output file, each flushed before the next request is sent, so that a kill loses no measurement.
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
    """Run the plan. Returns 0 if every row was measured or has a reason why not, 2 for an invalid plan."""
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
        # Objects alive now stay alive, and later objects are freed by reference counts. The garbage collector is
        # therefore not needed, and it must not run during a measurement.
        gc.collect()
        gc.freeze()
        gc.disable()
        measure(plan, emit)
        emit("done", {})
    return 0


def _end_with_input() -> None:
    """End immediately when standard input is closed, because the parent process is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def _go_first() -> None:
    """Request real-time priority, so that other load does not delay timestamps; most users are not allowed to have it.

    This process sleeps in `recv` except for some microseconds per token, so it takes no CPU time from the server.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


if __name__ == "__main__":
    sys.exit(main())

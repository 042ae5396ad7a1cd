"""Runs the timing client as a separate process: sends it the plan and reads result rows and progress events."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from annie_eval.timing.confirm import error_row
from annie_eval.timing.machine import Watch
from annie_eval.timing.plan import Plan, is_local
from annie_eval.timing.result import TimingResult

Progress = Callable[[Mapping[str, Any]], None]


def run(plan: Plan, progress: Progress | None = None, cancel: threading.Event | None = None) -> list[TimingResult]:
    """Measure a plan in a separate process and wait for it. Returns one row for each of `plan.rows`, in their order.

    Args:
        progress: called with each event of the process: `event` is `capabilities`, `measurement` (raw sample), `row`,
            `progress` (`rounds`, `next_look`, `pending`, `requests`) or `done`.
        cancel: an event that ends the process when it is set.

    If the server runs on this machine, `annie_eval.timing.machine` watches the GPU meanwhile. A PASS or FAIL that was
    measured on a throttled or shared GPU becomes INCONCLUSIVE. The readings are appended to the plan's output file as
    the event `machine`.

    If the process fails, missing rows are ERROR and quote the last line of its standard error. The process ends in any
    case, after an interrupt too. If this process is killed, the other one ends because its standard input is closed.
    """
    rows: dict[str, TimingResult] = {}
    command = [sys.executable, "-m", "annie_eval.timing"]
    with (
        Watch() if is_local(plan.base_url) else contextlib.nullcontext() as watch,
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has already ended; its standard error says why
                process.stdin.write(plan.to_json() + "\n")
                process.stdin.flush()
            if cancel is not None:
                threading.Thread(target=_end_with, args=(process, cancel), name="annie-timing", daemon=True).start()
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "row":
                    row = TimingResult.from_dict({key: value for key, value in event.items() if key != "event"})
                    rows[row.name] = _checked(row, watch)
                    if rows[row.name] is not row:
                        event |= rows[row.name].as_dict()
                if progress is not None:
                    progress(event)
            status = process.wait()
        finally:
            if process.poll() is None:
                process.kill()
        errors.seek(0)
        lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
    if watch is not None and plan.output:
        with contextlib.suppress(OSError), open(plan.output, "a", encoding="utf-8") as output:
            print(json.dumps({"event": "machine", **watch.as_dict()}), file=output)
    cause = f"the timing process ended with status {status}: {lines[-1] if lines else 'it printed no error'}"
    return [rows.get(name) or error_row(name, plan, cause) for name in plan.rows]


def _checked(row: TimingResult, watch: Watch | None) -> TimingResult:
    """The row; INCONCLUSIVE if the machine was throttled or shared during the measurement."""
    found = watch.doubts() if watch is not None and row.verdict in ("PASS", "FAIL") else []
    if not found:
        return row
    detail = f"{row.verdict} by the numbers, but {'; '.join(found)}. {row.detail}"
    return replace(row, verdict="INCONCLUSIVE", detail=detail)


def _end_with(process: subprocess.Popen[str], cancel: threading.Event) -> None:
    while process.poll() is None:
        if cancel.wait(0.1):
            process.kill()
            return

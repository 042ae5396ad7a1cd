"""`annie-eval perf`: runs only the timing gates, with a progress bar."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from annie_eval.gates.verdicts import worst
from annie_eval.report.charts import rows_chart
from annie_eval.serving import machine
from annie_eval.text import printable
from annie_eval.timing.plan import plan_for
from annie_eval.timing.process import run
from annie_eval.timing.result import ROWS, TimingResult

STATUS = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 1, "ERROR": 3, None: 3}


def add_perf(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `annie-eval perf`."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM and time it")
    target.add_argument("--base-url", metavar="URL", help="time the server at this URL")
    parser.add_argument(
        "--profile",
        default="annie",
        metavar="NAME|PATH",
        help="profile with the limits (default: that of pyproject.toml, else annie)",
    )
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="checkpoint that --base-url serves, for the roofline"
    )
    parser.add_argument(
        "--hardware", metavar="NAME", help="hardware whose limits apply (default: by this machine's GPU)"
    )
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="pass ARG through to vLLM")
    parser.add_argument(
        "-k", "--gate", action="append", choices=tuple(ROWS), help="run only this gate; may be repeated"
    )
    parser.add_argument(
        "--run-dir", type=Path, metavar="DIR", help="directory for results (default: a new one in runs/)"
    )
    parser.set_defaults(command=perf)


def perf(options: argparse.Namespace) -> int:
    """Start or find the server, measure, print the table, and write raw samples, rows and plots to the run directory.

    Returns 0 if every gate passes, 1 if one does not, 3 if one is an ERROR.

    Raises:
        UsageError: wrong input; raised before any request is sent.
        TargetError: the server cannot be reached or started.
    """
    # Imported here, because these modules are slow to import and `--help` does not need them.
    from annie_eval.profile.load import load
    from annie_eval.serving import TargetSpec, check, open_target

    profile = load(options.profile)
    spec = TargetSpec(
        model_dir=options.model_dir,
        base_url=options.base_url,
        served_model=options.served_model,
        api_key_env=options.api_key_env,
        vllm_python=options.vllm_python,
        vllm_args=tuple(options.vllm_arg),
    )
    directory = options.run_dir or Path("runs") / time.strftime(f"%Y-%m-%dT%H-%M-%S-{profile.name}-perf")
    gates = tuple(options.gate or ROWS)
    # Checked before the server is started: a wrong limit or machine must not cost its start-up time.
    plan_for(profile, gates, base_url=options.base_url or "http://127.0.0.1/v1", hardware=options.hardware)
    check(spec, profile)
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        target = open_target(spec, profile, directory, lambda message: print(printable(message), file=sys.stderr))
        stack.callback(target.close)
        plan = plan_for(
            profile,
            gates,
            base_url=target.base_url,
            served_model=target.served_model,
            api_key_env=options.api_key_env,
            model_dir=options.model_dir or options.checkpoint,
            hardware=options.hardware,
            gpus=machine.local_gpus(),
            cores=machine.local_cores(),
            output=directory / "timing.jsonl",
        )
        bar = Bar(sys.stderr)
        rows = run(plan, bar)
        bar.close()
        died = target.alive()
    print(render(rows))
    if died is not None:
        print(f"annie-eval perf: {printable(died)}", file=sys.stderr)
    (directory / "timings.json").write_text(json.dumps([row.as_dict() for row in rows], indent=1) + "\n", "utf-8")
    for path in [directory / "timing.jsonl", directory / "timings.json", *rows_chart(rows, directory)]:
        print(path)
    return STATUS[worst([row.verdict for row in rows])]


class Bar:
    """One line of progress on a terminal; elsewhere only the finished rows are printed."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._live = stream, stream.isatty()

    def __call__(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "row":
            self.close()
            print(f"{event['verdict']:<13}{event['name']}", file=self._stream, flush=True)
        elif event["event"] == "progress" and self._live and event["pending"]:
            done, of = event["rounds"], max(event["next_look"], 1)
            filled = min(20, 20 * done // of)
            text = f"[{'#' * filled}{'.' * (20 - filled)}] {done}/{of} samples: {', '.join(event['pending'])}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:width]}")
            self._stream.flush()

    def close(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def render(rows: Sequence[TimingResult]) -> str:
    """The rows as a table, followed by the details of each."""
    head = ("gate", "verdict", "measured", "interval", "limit", "n", "of roofline")
    lines = [head]
    for row in rows:
        interval = "-" if row.interval is None else f"{_short(row.interval[0])} to {_short(row.interval[1])}"
        measured = "-" if row.median is None else f"{_short(row.median)} {row.unit}"
        limit = "-" if row.limit is None else _short(row.limit)
        share = "-" if row.roofline is None else f"{row.roofline:.1%}"
        lines.append((row.name, row.verdict, measured, interval, limit, str(row.n), share))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    hardware = next((row.hardware for row in rows if row.hardware), None)
    table.append(f"\nlimits: {hardware or 'none, the hardware is unknown'}")
    return "\n".join([*table, *(f"{row.name}: {printable(row.detail)}" for row in rows)])


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"

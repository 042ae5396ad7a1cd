"""`annie-eval runs`, `show` and `report`: lists stored runs, prints one, writes its report."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.run.directory import RUNS, is_locked
from annie_eval.run.directory import run_dir as find_run


def add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", type=Path, default=RUNS, metavar="DIR", help="default: runs")
    parser.set_defaults(command=runs)


def add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or its name in runs/")
    parser.add_argument("sample", nargs="?", metavar="SAMPLE", help="a sample's key, as the report prints it")
    parser.add_argument(
        "--raw", action="store_true", help="print the sample's requests and raw responses as well, with all times"
    )
    parser.set_defaults(command=show)


def add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's directory, or its name in runs/")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write the HTML report there (default: report.html in RUN)"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown for a CI summary or a pull request")
    parser.add_argument("--json", action="store_true", help="print verdict.json, checked against its schema")
    parser.set_defaults(command=report)


def runs(arguments: argparse.Namespace) -> int:
    """List the runs of a directory. Returns 0; raises UsageError if there is no such directory."""
    from annie_eval.run.store import FILE, Store
    from annie_eval.text import aligned, printable

    if arguments.dir == RUNS and not RUNS.exists():
        print(f"no runs yet: annie-eval gate makes one in {RUNS}")
        return 0
    if not arguments.dir.is_dir():
        raise UsageError(f"{arguments.dir}: no such directory; name the one that holds the runs")
    found: list[tuple[float, list[str]]] = []
    skipped = []
    for path in sorted(arguments.dir.iterdir()):
        if not (path / FILE).exists():
            continue
        try:
            store = Store(path)
            try:
                facts = store.all_meta()
                started, identity = float(facts["started"]), dict(facts["identity"])
            finally:
                store.close()
        except (UsageError, sqlite3.Error, KeyError, TypeError, ValueError) as error:
            cause = error if isinstance(error, UsageError) else f"{path}: damaged ({type(error).__name__}: {error})"
            skipped.append(f"skipped: {printable(str(cause))}")
            continue
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(started))
        row = [when, identity.get("profile"), _verdict(facts, path), path.name, identity.get("target")]
        found.append((started, [printable(str(cell)) for cell in row]))
    rows = [row for _, row in sorted(found, key=lambda each: each[0], reverse=True)]
    _print(aligned([["started", "profile", "verdict", "run", "target"], *rows]) if rows else ["no runs"])
    for line in skipped:
        print(line, file=sys.stderr)
    return 0


def _verdict(facts: Mapping[str, Any], path: Path) -> object:
    """The verdict, or what became of the run. A resumed run has its old verdict in `facts` until it ends again."""
    state = str(facts.get("state", "?")).partition(":")[0]  # a cause may follow, which only `show` prints
    if state in ("finished", "failed", "ended", "?"):
        # The user's own tests, probes and snapshots have no gate, only pytest's status.
        return facts.get("verdict") or ("no gate" if state == "finished" else f"unfinished ({state})")
    return f"{'running' if is_locked(path) else 'interrupted'} ({state})"


def show(arguments: argparse.Namespace) -> int:
    """Print a run or a sample. Returns 0; raises UsageError if it does not exist."""
    from annie_eval.report import show as shown

    run_dir = find_run(arguments.run)
    if arguments.raw and arguments.sample is None:
        raise UsageError("--raw: needs a SAMPLE")
    if arguments.sample is not None:
        _print(shown.sample_lines(run_dir, arguments.sample, raw=arguments.raw))
    else:
        terminal = sys.stdout.isatty()
        color, width = terminal and "NO_COLOR" not in os.environ, get_terminal_size((100, 24)).columns
        _print(shown.run_lines(run_dir, color=color, width=width, piped=not terminal))
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Write or print a report.

    Returns 0; raises UsageError if the run does not exist or the file cannot be written.
    """
    from annie_eval.report import page, show
    from annie_eval.run import verdict_json

    run_dir = find_run(arguments.run)
    verdict = show.load_verdict(run_dir)
    if arguments.html is not None or not (arguments.json or arguments.markdown):
        file = arguments.html or run_dir / "report.html"
        try:
            page.write(file, verdict, run_dir)
        except OSError as error:
            raise UsageError(f"{file}: cannot be written ({error.strerror})") from error
        if arguments.html is None:
            print(file, flush=True)
    if arguments.markdown:
        from annie_eval.report import markdown

        print(markdown.page(verdict), end="", flush=True)
    if arguments.json:
        print(verdict_json.dumps(verdict), end="", flush=True)
    return 0


def _print(lines: Sequence[str]) -> None:
    print("\n".join(lines), flush=True)

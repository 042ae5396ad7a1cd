"""`annie-eval bless` and `annie-eval compare`: makes a run the baseline, and compares runs with it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.run.directory import RUNS, run_dir


def add_bless(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run: its directory, or its name in runs/")
    parser.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="name of the baseline, such as deployed"
    )
    parser.add_argument(
        "--aa", metavar="RUN2", help="a second run of the same server, which shows how much two runs differ by chance"
    )
    parser.add_argument(
        "--baselines", type=Path, metavar="DIR", help="directory of baselines (default: runs/baselines)"
    )
    parser.set_defaults(command=bless)


def add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished run: its directory, or its name in runs/")
    parser.add_argument("baseline", metavar="BASELINE", help="name of a baseline, its path, or another run")
    parser.add_argument("--json", action="store_true", help="print JSON, as under `regression` in verdict.json")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the run's HTML report with the comparison")
    parser.set_defaults(command=compare_command)


def bless(arguments: argparse.Namespace) -> int:
    """Run `annie-eval bless`. Returns 0; raises UsageError for a run that cannot be blessed."""
    from annie_eval.regression import baseline

    root = arguments.baselines or RUNS / baseline.DIR
    aa = None if arguments.aa is None else run_dir(arguments.aa)
    pointer = baseline.bless(run_dir(arguments.run), arguments.name, root, aa)
    note = "" if pointer["verdict"] == "PASS" else f"; its own verdict is {pointer['verdict']}"
    if not pointer["timed"]:
        note += "; it has no timing, so none will be compared: for that, bless a night, or a run with --hardware"
    print(f"blessed {pointer['run']} as {pointer['name']} ({root / pointer['name']}.json){note}")
    return 0


def compare_command(arguments: argparse.Namespace) -> int:
    """Run `annie-eval compare`.

    Returns 0 for PASS, 1 for FAIL, INCONCLUSIVE or ERROR, 4 if the runs are not comparable.
    """
    from shutil import get_terminal_size

    from annie_eval.regression import baseline
    from annie_eval.regression.compare_runs import against, with_regression
    from annie_eval.regression.result import EXIT
    from annie_eval.report import page, regression, show
    from annie_eval.report.columns import folded
    from annie_eval.run import verdict_json
    from annie_eval.text import printable

    run = run_dir(arguments.run)
    verdict = show.load_verdict(run)
    before = baseline.load(arguments.baseline, RUNS / baseline.DIR, RUNS)
    found = against(before, run)
    whole = with_regression(verdict, found)
    if arguments.html is not None:
        try:
            page.write(arguments.html, whole, run, before.run_data.dir)
        except OSError as error:
            raise UsageError(f"--html {arguments.html}: cannot be written ({error.strerror})") from error
    if arguments.json:
        print(json.dumps(verdict_json.to_dict(whole)["regression"], indent=2, allow_nan=False))
    else:
        width = get_terminal_size((100, 24)).columns
        rows = [printable(found.headline), "", *regression.compared(found, width=width, full=True)]
        print("\n".join(folded(rows, width if sys.stdout.isatty() else None)))
    return EXIT[found.verdict]

"""`annie-eval nightly` and `annie-eval history`: runs and stores one night, and shows all nights."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.run.directory import RUNS
from annie_eval.text import printable

HISTORY = RUNS / "history"


def add_nightly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url",
        action="append",
        required=True,
        metavar="URL",
        help="URL of the server; may be repeated for replicas",
    )
    parser.add_argument("--baseline", required=True, metavar="NAME|RUN", help="baseline to compare with")
    parser.add_argument(
        "--history", type=Path, default=HISTORY, metavar="DIR", help=f"directory of all nights (default: {HISTORY})"
    )
    parser.add_argument(
        "--profile", metavar="NAME|PATH", help="name or file of the profile (default: that of the baseline)"
    )
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument(
        "--hardware", metavar="NAME", help="hardware whose timing limits apply; without it there are no limits"
    )
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default: the profile's)")
    parser.set_defaults(command=nightly)


def add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dir",
        nargs="?",
        type=Path,
        default=HISTORY,
        metavar="DIR",
        help=f"directory of all nights (default: {HISTORY})",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="file of the plot: .svg, .html or .png (default: DIR/history.svg)"
    )
    parser.set_defaults(command=history)


def nightly(arguments: argparse.Namespace) -> int:
    """Run one night.

    Returns 0 if all is well, 1 for an alarm, 2 if nothing could be run, 3 if only the gate does not pass.

    Prints one paragraph, and lines of progress on stderr.
    """
    from annie_eval.nightly import night
    from annie_eval.nightly.paragraph import paragraph

    options = night.Options(
        base_urls=tuple(arguments.base_url),
        baseline=arguments.baseline,
        history=arguments.history,
        runs=RUNS,
        profile=arguments.profile,
        served_model=arguments.served_model,
        api_key_env=arguments.api_key_env,
        hardware=arguments.hardware,
        concurrency=arguments.concurrency,
        say=lambda line: print(printable(line), file=sys.stderr, flush=True),
    )
    try:
        result = night.run(options)
    except night.Stopped as error:
        print(f"nightly ERROR: {error}; answers so far are kept in {arguments.history}")
        return 1
    except (OSError, sqlite3.Error) as error:
        message = night.words_of(error)
        fix = "fix that" if isinstance(error, PermissionError | FileNotFoundError) else "free some space"
        print(f"nightly ERROR: {arguments.history}: {message}; {fix}, earlier nights are as they were")
        return 1
    print(paragraph(result))
    return result.status


def history(arguments: argparse.Namespace) -> int:
    """Print the table of all nights and draw the plot. Returns 0; raises UsageError if there is no such directory."""
    from shutil import get_terminal_size

    from annie_eval.nightly import drift, plot, records, table
    from annie_eval.report.columns import folded

    picture = arguments.plot or arguments.dir / "history.svg"
    plot.check_ending(picture)
    found = records.without_running(records.read(arguments.dir), arguments.dir)
    resets, drifts = drift.resets(found.nights), drift.drifts(found.nights)
    width = get_terminal_size((100 if sys.stdout.isatty() else 10_000, 24)).columns  # all of it where it is piped
    rows = table.lines(found, resets, drifts, width)
    print("\n".join(folded(rows, width if sys.stdout.isatty() else None)))
    try:
        plot.write(picture, found, resets, drifts)
        print(f"plot: {picture}")
    except OSError as error:
        if arguments.plot is not None:
            raise UsageError(f"--plot {picture}: cannot be written ({error.strerror})") from error
        print(f"no plot: {picture} cannot be written ({error.strerror})", file=sys.stderr)
    return 0

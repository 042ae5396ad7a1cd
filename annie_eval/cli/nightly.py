"""`annie-eval nightly` and `annie-eval history`: run and keep one night, and show all nights."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.run.directory import RUNS

HISTORY = RUNS / "history"


def add_nightly(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-url", action="append", required=True, metavar="URL", help="the server; may be repeated"
    )
    parser.add_argument("--baseline", required=True, metavar="NAME|RUN", help="what it is compared with")
    parser.add_argument(
        "--history", type=Path, default=HISTORY, metavar="DIR", help=f"where nights are kept (default: {HISTORY})"
    )
    parser.add_argument("--profile", metavar="NAME|PATH", help="default: the one that the baseline was made with")
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument("--hardware", metavar="NAME", help="whose timing limits apply; without it there are none")
    parser.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default: the profile's)")
    parser.set_defaults(command=nightly)


def add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", nargs="?", type=Path, default=HISTORY, metavar="DIR", help=f"default: {HISTORY}")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw it: .svg, .html or .png (default: DIR/history.svg)"
    )
    parser.set_defaults(command=history)


def nightly(arguments: argparse.Namespace) -> int:
    """Exit status 0 when all is well, 1 when not, 2 when nothing could be run, 3 when the gate alone does not hold.

    Prints one paragraph.
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
    )
    try:
        result = night.run(options)
    except night.Stopped as error:
        print(f"nightly ERROR: {error}; what was answered is kept in {arguments.history}")
        return 1
    except (OSError, sqlite3.Error) as error:
        message = night.words_of(error)
        fix = "fix that" if isinstance(error, PermissionError | FileNotFoundError) else "free some space"
        print(f"nightly ERROR: {arguments.history}: {message}; {fix}, earlier nights are as they were")
        return 1
    print(paragraph(result))
    return result.status


def history(arguments: argparse.Namespace) -> int:
    """Exit status 0; raises UsageError for a directory that is none. Prints the table, draws the picture."""
    from annie_eval.nightly import drift, plot, records, table

    picture = arguments.plot or arguments.dir / "history.svg"
    plot.check_ending(picture)
    found = records.read(arguments.dir)
    resets, drifts = drift.resets(found.nights), drift.drifts(found.nights)
    print("\n".join(table.lines(found, resets, drifts)))
    try:
        plot.write(picture, found, resets, drifts)
        print(f"plot: {picture}")
    except OSError as error:
        if arguments.plot is not None:
            raise UsageError(f"--plot {picture}: cannot be written ({error.strerror})") from error
        print(f"no plot: {picture} cannot be written ({error.strerror})", file=sys.stderr)
    return 0

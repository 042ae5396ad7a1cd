"""annie-eval: what is not a test. Look at a target (doctor), at runs (runs, show, report), at gates (gates),
at system prompts (matrix), and at what changed (bless, compare, nightly, history).

Exit status: 0 done, 1 something was found, 2 bad input, in one line, 4 two runs cannot be compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from annie_eval import __version__
from annie_eval.errors import TargetError, UsageError
from annie_eval.run.runs import RUNS
from annie_eval.run.runs import run_dir as find_run


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse prints the usage too."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Wrong arguments raise SystemExit(2), as argparse does."""
    arguments = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Any language in any locale: what the terminal's encoding lacks is escaped, not an error.
            stream.reconfigure(errors="backslashreplace")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (UsageError, TargetError) as error:
        from annie_eval.text import printable

        print(f"annie-eval: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, a pager) has seen enough; keep Python from complaining when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="annie-eval", description="The release gate's tools; the gate itself is pytest.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    from annie_eval.cli import baselines, matrix
    from annie_eval.cli import check as check_command
    from annie_eval.cli import nightly as nightly
    from annie_eval.cli import perf as timing

    doctor = commands.add_parser("doctor", help="check a target alone: its files, its server, a start, one answer")
    doctor.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM")
    doctor.add_argument("--base-url", metavar="URL", help="a server that is already there")
    doctor.add_argument("--profile", default="annie", metavar="NAME|PATH", help="whose serving flags (default: annie)")
    doctor.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    doctor.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    doctor.add_argument(
        "--serve", choices=("native", "docker"), default="native", help="how --model-dir is served (default: native)"
    )
    doctor.add_argument("--image", metavar="NAME", help="container image for --serve docker")
    doctor.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    doctor.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    doctor.add_argument("--port", type=int, metavar="N", help="port for the server (default: a free one)")
    doctor.add_argument(
        "--startup-timeout", type=float, default=900.0, metavar="S", help="for the server to start (default: 900)"
    )
    doctor.set_defaults(command=_doctor)

    perf = commands.add_parser("perf", help="run the timing gates alone, with a progress bar")
    timing.add_arguments(perf)
    perf.set_defaults(command=timing.perf)

    prompts = commands.add_parser("matrix", help="every gate under each of several system prompts: does one help?")
    matrix.add_arguments(prompts)
    prompts.set_defaults(command=matrix.run)

    runs = commands.add_parser("runs", help="list the runs in a directory, newest first")
    runs.add_argument("dir", nargs="?", type=Path, default=RUNS, metavar="DIR", help="default: runs")
    runs.set_defaults(command=_runs)

    show = commands.add_parser("show", help="print a run again, or the whole exchange of one sample")
    show.add_argument("run", metavar="RUN", help="a run's directory, or its name in runs/")
    show.add_argument("sample", nargs="?", metavar="SAMPLE", help="a sample's key, as the report prints it")
    show.set_defaults(command=_show)

    report = commands.add_parser("report", help="write a run's verdict as a page, or print it as JSON")
    report.add_argument("run", metavar="RUN", help="a run's directory, or its name in runs/")
    report.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page")
    report.add_argument("--json", action="store_true", help="print verdict.json, checked against its schema")
    report.set_defaults(command=_report)

    baselines.add_bless(commands.add_parser("bless", help="make a run the baseline that later runs are held against"))
    baselines.add_compare(commands.add_parser("compare", help="hold a run against a baseline, sample by sample"))
    nightly.add_nightly(commands.add_parser("nightly", help="gate, timing and comparison, kept; one paragraph"))
    nightly.add_history(commands.add_parser("history", help="all nights: table, plot, and what drifts"))

    check = commands.add_parser("check", help="judge answers in a file of JSON Lines, without a server")
    check_command.add_arguments(check)
    check.set_defaults(command=check_command.run)

    gates = commands.add_parser("gates", help="how often each gate of a profile passes models of a given quality")
    gates.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
    gates.add_argument(
        "--until-decided", type=int, metavar="N", help="with pytest's --until-decided, and at most N rounds"
    )
    gates.set_defaults(command=_gates)
    return parser


def _print(lines: Sequence[str]) -> None:
    print("\n".join(lines), flush=True)


def _doctor(arguments: argparse.Namespace) -> int:
    import shlex

    from annie_eval.profile.load import load
    from annie_eval.serving.doctor import doctor
    from annie_eval.serving.spec import TargetSpec

    spec = TargetSpec(
        model_dir=None if arguments.model_dir is None else arguments.model_dir.expanduser(),
        base_url=arguments.base_url,
        served_model=arguments.served_model,
        api_key_env=arguments.api_key_env,
        serve=arguments.serve,
        image=arguments.image,
        vllm_python=arguments.vllm_python,
        vllm_args=tuple(part for argument in arguments.vllm_arg for part in shlex.split(argument)),
        port=arguments.port,
        startup_timeout=arguments.startup_timeout,
    )
    return doctor(spec, load(arguments.profile), sys.stdout)


def _runs(arguments: argparse.Namespace) -> int:
    import sqlite3

    from annie_eval.run.store import FILE, Store
    from annie_eval.text import aligned, printable

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
        state = facts.get("state", "?")
        # The user's own tests, probes and snapshots have no gate: pytest's status is all that they say.
        # A state may have a cause after a colon, which is `show`'s to tell.
        verdict = facts.get("verdict") or (
            "no gate" if state == "finished" else f"unfinished ({str(state).partition(':')[0]})"
        )
        row = [when, identity.get("profile"), verdict, path.name, identity.get("target")]
        found.append((started, [printable(str(cell)) for cell in row]))
    rows = [row for _, row in sorted(found, key=lambda each: each[0], reverse=True)]
    _print(aligned([["started", "profile", "verdict", "run", "target"], *rows]) if rows else ["no runs"])
    for line in skipped:
        print(line, file=sys.stderr)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from shutil import get_terminal_size

    from annie_eval.report import show

    run_dir = find_run(arguments.run)
    if arguments.sample is not None:
        _print(show.sample_lines(run_dir, arguments.sample))
    else:
        color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        _print(show.run_lines(run_dir, color=color, width=get_terminal_size((100, 24)).columns))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from annie_eval.report import page, show
    from annie_eval.run import verdict_json

    if arguments.html is None and not arguments.json:
        raise UsageError("report: say --html FILE, --json or both")
    run_dir = find_run(arguments.run)
    verdict = show.load_verdict(run_dir)
    if arguments.html is not None:
        try:
            page.write(arguments.html, verdict, run_dir)
        except OSError as error:
            raise UsageError(f"--html {arguments.html}: cannot be written ({error.strerror})") from error
    if arguments.json:
        print(verdict_json.dumps(verdict), end="", flush=True)
    return 0


def _gates(arguments: argparse.Namespace) -> int:
    from annie_eval.profile.load import load
    from annie_eval.report import operating_curves, rounds

    profile = load(arguments.profile)
    if arguments.until_decided is None:
        _print(operating_curves.lines(profile))
    elif arguments.until_decided < 2:
        raise UsageError(f"--until-decided {arguments.until_decided}: must be at least 2 rounds")
    else:
        _print(rounds.lines(profile, arguments.until_decided))
    return 0


if __name__ == "__main__":
    sys.exit(main())

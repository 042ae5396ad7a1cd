"""The command line `annie-eval`: parses arguments and runs one command.

Exit status: 0 done, 1 something was found, 2 bad input (reported in one line), 4 two runs are not comparable.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from annie_eval import __version__
from annie_eval.errors import TargetError, UsageError
from annie_eval.text import printable, shortened

# command: (module of annie_eval.cli, help). A module has `add_COMMAND(parser)`; only the chosen one is imported.
COMMANDS = {
    "gate": ("gate", "judge a checkpoint or a server: pytest with good defaults"),
    "init": ("init", "write a small profile as a starting point"),
    "profile": ("profile", "check a profile: list all mistakes and judge its examples; or print its prompt and tools"),
    "doctor": ("doctor", "check a target without a gate: its files, its server, one answer"),
    "serve": ("serve", "start the vLLM that the gate would start for a checkpoint, and keep it running"),
    "perf": ("perf", "run only the timing gates, with a progress bar"),
    "matrix": ("matrix", "run every gate with each of several system prompts"),
    "blame": ("blame", "find what makes a gate fail: weights, template, parser, or a setting of the server"),
    "runs": ("runs", "list the runs in a directory, newest first"),
    "show": ("runs", "print a run, or one sample: what was expected, found and answered"),
    "say": ("say", "speak a sample's answers with espeak-ng, and print how long that takes"),
    "report": ("runs", "write a run's report as HTML, or print it as Markdown or JSON"),
    "bless": ("baselines", "make a run the baseline for later comparisons"),
    "compare": ("baselines", "compare a run with a baseline, sample by sample"),
    "nightly": ("nightly", "run gate, timing and comparison, and print one paragraph"),
    "history": ("nightly", "show all nights: table, plot and drift"),
    "check": ("check", "judge answers in a file of JSON Lines, without a server"),
    "docs": ("docs", "list the documents, or print one"),
    "gates": ("gates", "print how often each gate of a profile passes models of a given pass rate"),
}


# Commands that use defaults of `[tool.annie-eval]` in pyproject.toml, and which ones.
_ASK_A_SERVER = frozenset({"doctor", "serve", "perf", "matrix", "blame", "nightly"})
_DEFAULTS = ("profile", "served-model", "concurrency", "hardware", "vllm-python")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line; argparse would also print the usage."""
        self.exit(2, f"{self.prog}: {printable(shortened(message, 500))}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Wrong arguments raise SystemExit(2), as argparse does."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given[:1] == ["gate"]:  # the rest is pytest's command line
        from annie_eval.cli import gate

        return gate.run(given[1:])
    chosen = next((word for word in given if word in COMMANDS), None)
    defaults: dict[str, Any] = {}
    if chosen in _ASK_A_SERVER and not {"-h", "--help"} & set(given):
        from annie_eval.profile.defaults import find

        try:
            defaults = find(Path.cwd())
        except UsageError as error:
            print(f"annie-eval: {printable(str(error))}", file=sys.stderr)
            return 2
        if chosen == "nightly":
            defaults.pop("profile", None)  # the baseline's counts
        if chosen == "serve":
            defaults.pop("base-url", None)
        elif not _names(given, "--model-dir"):
            defaults.pop("vllm-python", None)  # not used by this command, and would be refused
    arguments = _parser(chosen, defaults).parse_args(_with_target(given, defaults))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Characters that the terminal's encoding does not have are escaped instead of raising an error.
            stream.reconfigure(errors="backslashreplace")
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (UsageError, TargetError) as error:
        print(f"annie-eval: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, a pager) closed the pipe. Prevents an error when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # An error of a file that was named, or of the disk. An error without a file name is raised again.
        if error.filename is None:
            raise
        print(f"annie-eval: {printable(shortened(str(error.filename), 300))}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _names(given: Sequence[str], *flags: str) -> bool:
    return any(word.partition("=")[0] in flags for word in given)


def _with_target(given: Sequence[str], defaults: Mapping[str, Any]) -> list[str]:
    """The command line, with the `base-url` of pyproject.toml if it names no target."""
    urls = [] if _names(given, "--model-dir", "--base-url") else defaults.get("base-url", [])
    return [*given, *(word for url in urls for word in ("--base-url", url))]


def _parser(chosen: str | None, defaults: Mapping[str, Any]) -> argparse.ArgumentParser:
    """The parser with every command's name and help, and the arguments of the chosen one with their defaults."""
    parser = _Parser(prog="annie-eval", description="A release gate for models served by vLLM, and its tools.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == chosen:
            getattr(importlib.import_module(f"annie_eval.cli.{module}"), f"add_{name}")(command)
            if name in _ASK_A_SERVER:
                but = ", but for --profile" if name == "nightly" else ""
                command.epilog = f"[tool.annie-eval] of pyproject.toml may set other defaults{but}."
            command.set_defaults(**{key.replace("-", "_"): defaults[key] for key in _DEFAULTS if key in defaults})
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""The command `annie-data` (also `python -m annie_data`): generates, converts, checks and samples training data.

Status 0: done. 1: problems were found, or too few conversations were generated. 2: usage error, in one line.
130: interrupted.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from annie_eval.errors import UsageError

Command = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int], str]


class _Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def dispatch(program: str, commands: Mapping[str, Command], argv: Sequence[str] | None) -> int:
    """Parse `argv` for one of some commands and run it; returns the exit status."""
    parser = _Parser(prog=program)
    subparsers = parser.add_subparsers(required=True, dest="command_name", metavar="|".join(commands))
    for name, (add_arguments, _, text) in commands.items():
        add_arguments(subparsers.add_parser(name, help=text, description=text))
    arguments = parser.parse_args(argv)
    command = f"{program} {arguments.command_name}"
    try:
        return commands[arguments.command_name][1](arguments)
    except UsageError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{command}: interrupted; finished work is kept, --resume continues it", file=sys.stderr)
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    commands: dict[str, Command] = {
        "generate": (_generate, _run("generate"), "generate a mix of conversations with a teacher"),
        "convert": (
            _convert,
            _run("convert"),
            "convert ShareGPT, Alpaca, prompt and completion, or Parquet to JSON Lines",
        ),
        "validate": (_validate, _run("validate"), "list the problems of a data file, one per line"),
        "decontaminate": (
            _decontaminate,
            _run("decontaminate"),
            "remove conversations that are too similar to a scenario",
        ),
        "sample": (_sample, _run("sample"), "generate answers with a model, and keep those that a check accepts"),
    }
    try:
        return dispatch("annie-data", commands, argv)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in {"annie_data", "annie_eval", "quant"}:
            raise
        print(
            f"annie-data: needs {error.name}, which is not installed: pip install 'annie-eval[data]'", file=sys.stderr
        )
        return 2


def _run(name: str) -> Callable[[argparse.Namespace], int]:
    """A command's `run`, imported when it is called, because its dependencies may not be installed."""

    def run(arguments: argparse.Namespace) -> int:
        return int(importlib.import_module(f"annie_data.{name}").run(arguments))

    return run


def _endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", metavar="URL", help="URL of the endpoint, such as http://localhost:8000/v1")
    parser.add_argument("--model", metavar="NAME", help="served model name (default: the first of the endpoint)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable with the endpoint's API key")


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mix", type=Path, required=True, metavar="FILE", help="a .toml file, see annie-eval docs data"
    )
    parser.add_argument("--teacher", choices=("endpoint", "command"), required=True)
    _endpoint(parser)
    parser.add_argument(
        "--command",
        metavar="LINE",
        help="program that writes JSON Lines; {prompt} is replaced by the path of the prompt",
    )
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="for a batch; multi-turn 2.5 x")
    from annie_data import generate

    generate.add_arguments(parser)


def _convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON Lines, a JSON array, Parquet, or a directory")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON Lines with messages")


def _validate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--mix", type=Path, metavar="FILE", help="the counts of kinds and of tool calls must be this mix's"
    )
    parser.add_argument("--count", type=int, metavar="N", help="scale the mix to this number of conversations")
    parser.add_argument(
        "--max-sentences", type=int, default=3, metavar="N", help="limit of a spoken reply (default: 3)"
    )
    parser.add_argument("--max-words", type=int, default=80, metavar="N", help="limit of a spoken reply (default: 80)")


def _decontaminate(parser: argparse.ArgumentParser) -> None:
    from annie_data import generate

    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--against", action="append", type=Path, default=[], metavar="PATH", help=generate.AGAINST)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file for the remaining conversations; without it, hits are only reported",
    )


def _sample(parser: argparse.ArgumentParser) -> None:
    _endpoint(parser)
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="conversations whose last replies are sampled again",
    )
    parser.add_argument(
        "--check", required=True, metavar="LINE", help="program that reads samples as JSON Lines and writes findings"
    )
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="answers to keep per prompt (default: 1)")
    parser.add_argument("--attempts", type=int, default=4, metavar="N", help="attempts per answer (default: 4)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default: 1")
    parser.add_argument("--max-tokens", type=int, default=96, metavar="N", help="limit of an answer (default: 96)")
    parser.add_argument("--in-flight", type=int, default=16, metavar="N", help="concurrent requests (default: 16)")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="of one request (default: 120)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--resume", action="store_true", help="continue a run that was killed")

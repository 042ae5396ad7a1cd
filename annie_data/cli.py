"""`python -m quant data generate|validate|coverage|decontaminate|sample`: conversations to train on."""

import argparse
import sys
from pathlib import Path

_AGAINST = "profile, .jsonl file or directory of scenarios; may be repeated (default: every profile of ours)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of every subcommand."""
    commands = parser.add_subparsers(required=True, metavar="generate|validate|coverage|decontaminate|sample")
    _generate(commands.add_parser("generate", help="have a teacher write a mix of conversations"))
    _validate(commands.add_parser("validate", help="say what is wrong with a data file, a line for each problem"))
    _coverage(commands.add_parser("coverage", help="count how often each fact and sum of the domain is taught"))
    _decontaminate(commands.add_parser("decontaminate", help="remove what is too near to a scenario, and say so"))
    _sample(commands.add_parser("sample", help="have a model answer prompts, and keep what a check accepts"))


def run(arguments: argparse.Namespace) -> int:
    """Dispatch; returns the exit status."""
    try:
        return int(arguments.data_command(arguments))
    except KeyboardInterrupt:
        print("python -m quant data: interrupted; what was done is kept, --resume goes on", file=sys.stderr)
        return 130


def _endpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-url", metavar="URL", help="of the endpoint, such as http://localhost:8000/v1")
    parser.add_argument("--model", metavar="NAME", help="served name (default: the endpoint's first)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the endpoint's key")


def _generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mix", required=True, metavar="NAME|FILE", help="one of ours, such as annie-430, or a .toml")
    parser.add_argument("--count", type=int, metavar="N", help="the mix's proportions at this size")
    parser.add_argument("--teacher", choices=("builtin", "endpoint", "command"), default="builtin")
    _endpoint(parser)
    parser.add_argument("--command", metavar="LINE", help="writes JSON Lines; {prompt} is the prompt's file")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="for a batch; multi-turn 2.5 x")
    parser.add_argument("--attempts", type=int, default=20, metavar="N", help="fruitless batches in a row")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--against", action="append", type=Path, default=[], metavar="PATH", help=_AGAINST)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was killed or gave up")

    def call(arguments: argparse.Namespace) -> int:
        from annie_data.generate_command import run

        return run(arguments)

    parser.set_defaults(data_command=call)


def _validate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--mix", metavar="NAME|FILE", help="the counts of kinds and of tool calls must be this mix's")
    parser.add_argument("--count", type=int, metavar="N", help="the mix's proportions at this size")
    parser.add_argument("--max-sentences", type=int, default=3, metavar="N", help="of a spoken reply (default: 3)")
    parser.add_argument("--max-words", type=int, default=80, metavar="N", help="of a spoken reply (default: 80)")

    def call(arguments: argparse.Namespace) -> int:
        from annie_data.validate import run

        return run(arguments)

    parser.set_defaults(data_command=call)


def _coverage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--least", type=int, default=1, metavar="N", help="name what is there less often (default: 1)")

    def call(arguments: argparse.Namespace) -> int:
        from research.annie_smol.generator.coverage import run

        return run(arguments)

    parser.set_defaults(data_command=call)


def _decontaminate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--against", action="append", type=Path, default=[], metavar="PATH", help=_AGAINST)
    parser.add_argument("--out", type=Path, metavar="FILE", help="what is left; without it, hits are only reported")

    def call(arguments: argparse.Namespace) -> int:
        from annie_data.decontaminate import run

        return run(arguments)

    parser.set_defaults(data_command=call)


def _sample(parser: argparse.ArgumentParser) -> None:
    _endpoint(parser)
    parser.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="conversations to answer anew")
    parser.add_argument("--check", required=True, metavar="LINE", help="reads samples as JSON Lines, writes findings")
    parser.add_argument("--samples", type=int, default=1, metavar="N", help="answers asked for a prompt (default: 1)")
    parser.add_argument("--attempts", type=int, default=4, metavar="N", help="tries for a prompt (default: 4)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default: 1")
    parser.add_argument("--max-tokens", type=int, default=96, metavar="N", help="of an answer (default: 96)")
    parser.add_argument("--in-flight", type=int, default=16, metavar="N", help="requests at a time (default: 16)")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="of one request (default: 120)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was killed")

    def call(arguments: argparse.Namespace) -> int:
        from annie_data.sample import run

        return run(arguments)

    parser.set_defaults(data_command=call)

"""`python -m research.annie_smol.generator generate|coverage`: generates conversations, and counts their facts."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from annie_data import generate
from annie_data.cli import Command, dispatch
from annie_data.mix import load_mix
from annie_eval.errors import UsageError
from annie_eval.profile.load import load
from research.annie_smol.generator import coverage
from research.annie_smol.generator.teacher import Builtin

MIXES = Path(__file__).parents[1] / "mixes"


def mix_file(name_or_path: str) -> Path:
    """The file of a mix of this study by its name, or a path that ends with `.toml`. Raises UsageError."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return path
    if not (MIXES / f"{name_or_path}.toml").is_file():
        names = ", ".join(sorted(file.stem for file in MIXES.glob("*.toml")))
        raise UsageError(f"there is no mix {name_or_path!r}; choose from {names}, or give a .toml file")
    return MIXES / f"{name_or_path}.toml"


def _generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mix", required=True, metavar="NAME|FILE", help="such as annie-430, or a .toml file")
    generate.add_arguments(parser)


def _generate(arguments: argparse.Namespace) -> int:
    mix = load_mix(mix_file(arguments.mix), arguments.count)
    teacher = Builtin(mix, arguments.seed)
    return generate.generate(mix, load(mix.profile), teacher, arguments.out, seed=arguments.seed,
                             attempts=arguments.attempts, against=arguments.against,
                             resume=arguments.resume)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, like `annie-data`."""
    commands: dict[str, Command] = {
        "generate": (_generate_arguments, _generate, "write a mix of conversations from the grammar"),
        "coverage": (
            coverage.add_arguments,
            coverage.run,
            "count how often each fact and sum of the domain is taught",
        ),
    }
    return dispatch("python -m research.annie_smol.generator", commands, argv)


if __name__ == "__main__":
    sys.exit(main())

"""`annie-eval init`: writes a small profile to start from, and names it in pyproject.toml."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

from annie_eval.errors import UsageError

_STARTER = Path(__file__).parents[1] / "profiles" / "starter"
_FILES = ("assistant.toml", "assistant.jsonl")


def add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dir", nargs="?", type=Path, default=Path("assistant"), metavar="DIR", help="default: assistant"
    )
    parser.set_defaults(command=init)


def init(arguments: argparse.Namespace) -> int:
    """Write the files; exit status 0. Raises UsageError for a file that is there already: nothing is overwritten."""
    folder: Path = arguments.dir
    if not str(folder).isprintable() or '"' in str(folder) or "\\" in str(folder):
        raise UsageError(f"{str(folder)!a}: pyproject.toml would not hold this name as it is; name another directory")
    config = Path("pyproject.toml")
    configured = _configuration(config)
    for name in _FILES:
        if (folder / name).exists():
            raise UsageError(f"{folder / name}: is there already; name another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (folder / name).write_text((_STARTER / name).read_text("utf-8"), "utf-8")
        if not configured:
            before = config.read_text("utf-8") if config.exists() else ""
            gap = "\n" if before and not before.endswith("\n\n") else ""
            table = f'[tool.annie-eval]\nprofile = "{(folder / _FILES[0]).as_posix()}"\n'
            config.write_text(f"{before}{gap}{table}", "utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror})") from error
    file = folder / _FILES[0]
    print(f"{file}: the system prompt, the tools, the gates\n{folder / _FILES[1]}: five scenarios, one a line")
    if configured:
        print(f"{config}: has [tool.annie-eval] already; name the profile with --profile {file}")
    else:
        print(f"{config}: [tool.annie-eval] names the profile")
    named = f" --profile {file}" if configured else ""
    print(
        f"\nThen:\n  annie-eval profile check {file}\n  annie-eval gate DIR{named}    # a checkpoint\n"
        f"  annie-eval gate http://127.0.0.1:8000/v1{named}    # a server",
        flush=True,
    )
    return 0


def _configuration(config: Path) -> bool:
    """Whether the project's configuration has a table of ours."""
    if not config.exists():
        return False
    try:
        return "annie-eval" in tomllib.loads(config.read_text("utf-8")).get("tool", {})
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{config}: cannot be read as TOML ({error}); correct it") from error

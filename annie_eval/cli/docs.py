"""`annie-eval docs`: lists the documents, or prints one."""

from __future__ import annotations

import argparse
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.resources import DOCS
from annie_eval.text import aligned


def add_docs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this document, such as troubleshooting")
    parser.add_argument("--path", action="store_true", help="print where it is instead")
    parser.set_defaults(command=docs)


def docs(arguments: argparse.Namespace) -> int:
    """Print the list of documents, or one, named as in `docs/NAME.md`. Raises UsageError if there is none."""
    files = {file.stem: file for file in sorted(DOCS.glob("*.md"))}
    if arguments.name is None:
        print(DOCS if arguments.path else "\n".join(aligned([[name, _title(file)] for name, file in files.items()])))
        return 0
    file = files.get(Path(arguments.name).stem)
    if file is None:
        raise UsageError(f"docs {arguments.name}: no such document; there are {', '.join(files)}")
    print(file if arguments.path else file.read_text(encoding="utf-8").rstrip())
    return 0


def _title(file: Path) -> str:
    with file.open(encoding="utf-8") as text:
        return text.readline().removeprefix("# ").strip()

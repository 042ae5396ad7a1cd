"""Reads the tab-separated files of a directory, one for each kind of line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


def rows(directory: Path, columns: Mapping[str, int]) -> Iterator[tuple[str, int, list[str]]]:
    """Each line of each `KIND.tsv` as (kind, line number, columns); `columns` has the number of columns of each kind.

    Raises:
        SystemExit: a file is missing, or a line has too few, too many or empty columns.
    """
    for kind, count in columns.items():
        path = directory / f"{kind}.tsv"
        if not path.exists():
            raise SystemExit(f"{path}: is missing; the directory has {', '.join(columns)}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            parts = [part.strip() for part in line.split("\t")]
            if len(parts) != count or not all(parts):
                raise SystemExit(f"{path}:{number}: {len(parts)} columns; {kind} has {count}, all filled")
            yield kind, number, parts

"""Formats tables and text for the width of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Column:
    """A column. In a table that is too wide, columns with the highest `drop` are left out first; 0 stays."""

    head: str
    cells: Sequence[str]
    drop: int = 0

    @property
    def head_lines(self) -> list[str]:
        """The head with one word per line, to keep the column narrow."""
        return self.head.split(" ")

    @property
    def width(self) -> int:
        return max(map(len, (*self.head_lines, *self.cells)))


def fitting(columns: Sequence[Column], width: int) -> tuple[list[Column], int]:
    """The columns that fit into `width`, and the gap between them."""
    shown, gap = list(columns), 2

    def too_wide() -> bool:
        return sum(column.width + gap for column in shown) - gap > width

    if too_wide():
        gap = 1
    while too_wide() and any(column.drop for column in shown):
        shown.remove(max(shown, key=lambda column: column.drop))
    return shown, gap


def table(columns: Sequence[Column], width: int, paint: Callable[[int, str], str] | None = None) -> list[str]:
    """The lines of a table. If it is wider than `width`, the gaps become narrower, then columns are left out.

    Args:
        paint: colours a cell of the column `verdict`, given its row and its padded text.
    """
    shown, gap = fitting(columns, width)

    def line(cells: Sequence[str], row: int | None) -> str:
        padded = [cell.ljust(column.width) for column, cell in zip(shown, cells, strict=True)]
        padded[-1] = cells[-1]
        if row is not None and paint is not None:
            at = next(i for i, column in enumerate(shown) if column.head == "verdict")
            padded[at] = paint(row, padded[at])
        return (" " * gap).join(padded).rstrip()

    depth = max(len(column.head_lines) for column in shown)
    heads = [[""] * (depth - len(column.head_lines)) + column.head_lines for column in shown]
    out = [line([head[level] for head in heads], None) for level in range(depth)]
    return out + [line([column.cells[row] for column in shown], row) for row in range(len(shown[0].cells))]


def folded(rows: Sequence[str], columns: int | None) -> list[str]:
    """Lines wrapped between words, with continuation lines indented. A word longer than a line is not broken.

    Args:
        columns: the width; None wraps nothing.
    """
    if columns is None:
        return list(rows)
    out = []
    for line in rows:
        if len(line) <= columns:
            out.append(line)
        else:
            out += textwrap.wrap(
                line, columns, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
            )
    return out

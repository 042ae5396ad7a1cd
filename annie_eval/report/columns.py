"""Tables and lines that fit a terminal: columns side by side, and text folded between words."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Where the table is too wide, those with the highest `drop` go first; 0 stays."""

    head: str
    cells: Sequence[str]
    drop: int = 0

    @property
    def head_lines(self) -> list[str]:
        """The head, one word a line, so that no head is wider than it must be."""
        return self.head.split(" ")

    @property
    def width(self) -> int:
        return max(map(len, (*self.head_lines, *self.cells)))


def table(columns: Sequence[Column], width: int, paint: Callable[[int, str], str] | None = None) -> list[str]:
    """Columns side by side; too wide a table first moves together, then loses columns.

    Args:
        paint: colours a cell of the column `verdict`, given its row; the cell has its width already.
    """
    shown, gap = list(columns), 2

    def too_wide() -> bool:
        return sum(column.width + gap for column in shown) - gap > width

    if too_wide():
        gap = 1
    while too_wide() and any(column.drop for column in shown):
        shown.remove(max(shown, key=lambda column: column.drop))

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
    """Lines folded between words, the rest of each indented; a word that is longer than a line stays whole.

    Args:
        columns: None leaves every line whole.
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

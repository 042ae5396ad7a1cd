"""Emulates a terminal: what is visible after some output of pytest and the live line."""

from __future__ import annotations

import re

_PART = re.compile(r"\x1b\[([0-9;]*)([A-Za-z])|([\s\S])")


def shown(output: str, width: int) -> list[str]:
    """The rows without trailing spaces. Scrolling is not emulated: rows that scroll away are kept."""
    rows, row, column = [[" "] * width], 0, 0

    def down() -> None:
        nonlocal row
        row += 1
        if row == len(rows):
            rows.append([" "] * width)

    for argument, command, character in _PART.findall(output):
        if command == "A":
            row = max(0, row - int(argument or 1))
        elif command == "C":
            column = min(width - 1, column + int(argument or 1))
        elif command == "K":
            assert argument == "2"
            rows[row] = [" "] * width
        elif character == "\n":
            down()
        elif character == "\r":
            column = 0
        elif character:
            if column == width:
                down()
                column = 0
            rows[row][column] = character
            column += 1
    return ["".join(each).rstrip() for each in rows]

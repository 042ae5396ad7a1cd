"""Draws a line of progress below pytest's output, and erases it before pytest writes.

pytest captures file descriptors 1 and 2 while a test runs, so the line goes to a duplicate of the terminal. The
writer's file is wrapped: the line is erased before each write, and redrawn by a thread. The cursor always stays
where pytest left it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_EVERY = 0.2  # seconds between two drawings
_PLAIN_EVERY = 30.0  # seconds between two lines if lines cannot be redrawn
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def is_live(stream: Any) -> bool:
    """Whether lines can be redrawn: a terminal, not in CI, and no plain output requested."""
    if any(os.environ.get(name) for name in ("NO_COLOR", "CI", "BUILD_NUMBER")) or os.environ.get("TERM") == "dumb":
        return False
    with suppress(Exception):
        return bool(os.isatty(stream.fileno()))
    return False


class LiveLine:
    """Draws `text()` until it is closed.

    Args:
        writer: pytest's terminal writer; its file is wrapped until `close`.
        text: returns the line; "" for no line.
    """

    def __init__(self, writer: Any, text: Callable[[], str]) -> None:
        self._writer, self._text = writer, text
        self._file = writer._file
        self._fd = os.dup(self._file.fileno())
        self._lock = threading.RLock()
        self._drawn = False
        self._column = 0
        self._over = threading.Event()
        writer._file = self
        self._thread = threading.Thread(target=self._redraw, name="annie-live-line", daemon=True)
        self._thread.start()

    # The methods that the terminal writer calls on its file.

    def write(self, text: str) -> int:
        with self._lock:
            self._erase()
            written: int = self._file.write(text)
            self._file.flush()
            self._column = column_after(self._column, text)
            return written

    def flush(self) -> None:
        self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    # The line.

    def _redraw(self) -> None:
        while not self._over.wait(_EVERY):
            with self._lock:
                if not self._over.is_set():
                    self._draw()

    def _draw(self) -> None:
        text = self._text().encode("ascii", "backslashreplace").decode()
        with suppress(OSError):
            width = os.get_terminal_size(self._fd).columns
            if not text or (self._column and self._column % width == 0):  # the cursor is beyond the last column
                self._erase()
                return
            self._below(text[: width - 1], width)
            self._drawn = True

    def _below(self, text: str, width: int) -> None:
        """Write a text on the line below the cursor, and move the cursor back."""
        # Not `ED` (erase below), because at the home position tmux moves erased lines to its history.
        right = f"\x1b[{self._column % width}C" if self._column % width else ""
        os.write(self._fd, f"\n\r\x1b[2K{text}\x1b[A\r{right}".encode())

    def _erase(self) -> None:
        if self._drawn:
            with suppress(OSError):
                self._below("", os.get_terminal_size(self._fd).columns)
            self._drawn = False

    def close(self) -> None:
        """Erase the line and give pytest its file back. Safe to call again."""
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        with self._lock:
            self._erase()
            self._writer._file = self._file
            os.close(self._fd)


class PlainLines:
    """Prints the progress every half a minute, on a separate line, if lines cannot be redrawn.

    Args:
        stream: where to print; a duplicate of its descriptor is used, which pytest does not capture.
        writer: pytest's terminal writer, which knows whether it is at the start of a line.
        text: returns the line; "" for no line.
    """

    def __init__(self, stream: Any, writer: Any, text: Callable[[], str]) -> None:
        self._text, self._over, self._lock, self._writer = text, threading.Event(), threading.Lock(), writer
        self._fd = os.dup(stream.fileno())
        self._thread = threading.Thread(target=self._say, name="annie-plain-lines", daemon=True)
        self._thread.start()

    def _say(self) -> None:
        while not self._over.wait(_PLAIN_EVERY):
            if text := self._text():
                self.tell(text)

    def tell(self, line: str) -> None:
        """Print a line now, from any thread; nothing once it is closed."""
        with self._lock, suppress(OSError):
            if not self._over.is_set():
                before = "\n" if self._writer.width_of_current_line else ""
                os.write(self._fd, f"{before}{line}\n".encode("ascii", "backslashreplace"))

    def close(self) -> None:
        """Stop printing. Safe to call again."""
        if not self._over.is_set():
            with self._lock:
                self._over.set()
            self._thread.join()
            os.close(self._fd)


def column_after(column: int, text: str) -> int:
    """The cursor's column after a text was written at `column`; escape sequences have no width."""
    from _pytest._io.wcwidth import wcswidth

    last = max(text.rfind("\n"), text.rfind("\r"))
    rest = _ESCAPE.sub("", text[last + 1 :])
    return (0 if last >= 0 else column) + max(0, wcswidth(rest))


def start(reporter: Any, text: Callable[[], str], plain: Callable[[], str]) -> LiveLine | PlainLines | None:
    """A live line with `text` on pytest's terminal; lines with `plain` elsewhere. None if pytest writes nowhere.

    Call it while pytest does not capture output.
    """
    writer = getattr(reporter, "_tw", None)
    file = getattr(writer, "_file", None)
    if file is None:
        return None
    try:
        if is_live(file):
            return LiveLine(writer, text)
        return PlainLines(sys.stderr, writer, plain)
    except (OSError, ValueError, AttributeError):  # a file without a descriptor
        return None

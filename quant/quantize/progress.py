"""A one-line progress bar: share done, rate, time left, and further values such as the loss."""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType

ESTIMATE_FROM = 0.2  # share of the work before which no time left is shown: the first units are the slowest
LINE_SECONDS = 10.0, 60.0  # between two lines in a log: at the beginning, and at most


def line_seconds(passed: float) -> float:
    """Seconds until the next line in a log: a fifth of what it has taken so far, within `LINE_SECONDS`."""
    return min(max(LINE_SECONDS[0], passed / 5), LINE_SECONDS[1])


class ProgressBar:
    """Counts `unit`s up to `total`; updates five times a second on a terminal, and every 10 to 60 s in a log."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        self.name, self.total, self.unit, self.done = name, total, unit, 0
        self._start = self._drawn = time.perf_counter()
        self._first = os.environ.get("RANK", "0") == "0"  # one bar for all processes
        self._terminal = sys.stderr.isatty() and self._first

    def __enter__(self) -> ProgressBar:
        if self._terminal:  # it replaces what stands on the line
            blank = " " * (shutil.get_terminal_size().columns - 1)
            print(f"\r{blank}\r", end="", file=sys.stderr, flush=True)
        return self

    def add(self, count: int, **values: float) -> None:
        """Count `count` more units; `values` are shown beside the rate."""
        self.done += count
        now = time.perf_counter()
        if self._terminal and now - self._drawn > 0.2:
            self._drawn = now
            self._draw(now, values)
        elif self._first and not self._terminal and now - self._drawn > line_seconds(now - self._start):
            self._drawn = now
            self._draw(now, values)
            print(file=sys.stderr, flush=True)

    def _draw(self, now: float, values: dict[str, float]) -> None:
        rate = self.done / max(now - self._start, 1e-9)
        shown = "".join(f"  {key} {value:.4g}" for key, value in values.items())
        share = self.done / max(self.total, 1)
        left = f"  {max(self.total - self.done, 0) / max(rate, 1e-9):.0f} s left " if share >= ESTIMATE_FROM else " "
        bar = f"{'#' * int(share * 20):20}"
        start = "\r" if self._terminal else ""
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        print(f"{start}{self.name} [{bar}] {share:4.0%}  {speed} {self.unit}/s{shown}{left}", end="",
              file=sys.stderr, flush=True)  # fmt: skip

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._terminal:
            if kind is None:
                self._draw(time.perf_counter(), {})
            print(file=sys.stderr)

"""Measures how the time of a function grows with its input, as a ratio that does not depend on the machine's speed."""

from __future__ import annotations

import time
from collections.abc import Callable

# Four times the input takes four times as long if the time is linear, and sixteen times if it is quadratic.
LINEAR = 8.0
# Shorter times are noise.
_LEAST = 0.002  # seconds


def growth(run: Callable[[int], Callable[[], object]], size: int) -> float:
    """CPU time at four times a size divided by that at the size, minimum of three each; 4 is linear, 16 quadratic.

    Args:
        run: returns the function to measure for a size. It is called once per measurement and is not timed, and may
            vary the input, so that caches have no effect.
    """
    least = {size: float("inf"), 4 * size: float("inf")}
    for _ in range(3):
        for length in least:
            timed = run(length)
            started = time.process_time()
            timed()
            least[length] = min(least[length], time.process_time() - started)
    return least[4 * size] / max(least[size], _LEAST)


def growth_by_text(judge: Callable[[str], object], piece: str, size: int = 4_000) -> float:
    """`growth` of a function of a text that repeats one piece, for `size` and four times as many characters."""
    calls = 0

    def run(length: int) -> Callable[[], object]:
        nonlocal calls
        calls += 1
        text = piece * (length // len(piece)) + " " * calls  # judged texts are cached
        return lambda: judge(text)

    return growth(run, size)

"""How the time of a function grows with its input: a ratio, which a slow or busy machine leaves as it is."""

from __future__ import annotations

import time
from collections.abc import Callable

# Four times the input takes four times as long if the time is linear, and sixteen times if it is quadratic.
LINEAR = 8.0
# Less than this is noise.
_LEAST = 0.002  # seconds


def growth(run: Callable[[int], Callable[[], object]], size: int) -> float:
    """CPU time at four times a size over CPU time at the size, each the least of three; 4 is linear, 16 quadratic.

    Args:
        run: makes what is timed from a size, once for each measurement, so that no cache holds the result. It may
            vary its input by the call, and is not timed itself.
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
    """`growth` of a function of a text that repeats one piece, for `size` characters and four times as many."""
    calls = 0

    def run(length: int) -> Callable[[], object]:
        nonlocal calls
        calls += 1
        text = piece * (length // len(piece)) + " " * calls  # judged texts are cached
        return lambda: judge(text)

    return growth(run, size)

"""Finds the current step of vLLM's start-up in its log. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

# (pattern, text), in the order of a start; {} is replaced by the pattern's group. The latest match in the log counts.
_STEPS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        (r"Unable to find image|Pulling from|Pulling fs layer", "pulling the image"),
        (
            r"\[api_utils\.py:\d+\].*\bversion (\S+)|vLLM API server version (\S+)",
            "vLLM {}: reading the configuration",
        ),
        (r"Resolved architecture: (\w+)", "reading the configuration of a {}"),
        (r"Initializing a V1 LLM engine", "starting the engine"),
        (r"Starting to load model", "building the model"),
        (r"Loading (?:safetensors|pt) checkpoint shards:\s+(\d+)% Completed", "loading weights, {} %"),
        (r"Using (\w+) for NVFP4 GEMM", "preparing weights for {}"),
        (r"Loading weights took", "preparing weights"),
        (
            r"Dynamo bytecode transform|Compiling a graph|torch\.compile takes|Start compiling|Warming up model",
            "compiling",
        ),
        (r"\] [^\n]{0,60}\b[Aa]utotuning\b", "tuning kernels"),
        (r"KV cache size: ([\d,]+) tokens", "KV cache for {} tokens"),
        (r"Capturing CUDA graphs[^\n]*?(\d+)%", "capturing CUDA graphs, {} %"),
        (r"Starting vLLM (?:API )?server", "starting the HTTP server"),
        (r"Application startup complete", "waiting for the first answer"),
    )
)


def step(log: str) -> str:
    """The last step in a log."""
    best, message = -1, "importing vLLM"
    for pattern, words in _STEPS:
        found = list(pattern.finditer(log))
        if found and found[-1].start() > best:
            best = found[-1].start()
            message = words.format(next((group for group in found[-1].groups() if group), ""))
    return message


class StartUpProgress:
    """Prints each new step once, and a long one again from time to time.

    Args:
        say: prints one line.
        every: seconds between two lines about the same step. Of steps that change faster than every second, some are
            not printed.
    """

    def __init__(self, say: Callable[[str], None], *, every: float = 15.0, now: Callable[[], float] = time.monotonic):
        self._say, self._every, self._now = say, every, now
        self._began = self._at = now()
        self._last = ""

    def show(self, log: str) -> None:
        """Process the server's log so far."""
        now, current = self._now(), step(log)
        passed = now - self._at
        if (current != self._last and (passed >= 1.0 or not self._last)) or passed >= self._every:
            self._last, self._at = current, now
            self._say(f"server: {current} ({now - self._began:.0f} s)")

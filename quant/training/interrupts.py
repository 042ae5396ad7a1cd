"""Delays Ctrl-C during training, so that no optimiser step is interrupted half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def held(while_true: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """Delay an interrupt (SIGINT) that comes while the condition is true; otherwise it is raised at once.

    A GPU runs asynchronously: most of the time of a step is spent waiting for it after the step was applied, so most
    interrupts come there.

    Yields:
        A function that raises KeyboardInterrupt if one was delayed. Call it when the condition is false again.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    waiting = False

    def interrupted(*_: object) -> None:
        nonlocal waiting
        if not while_true():
            raise KeyboardInterrupt
        waiting = True

    def check() -> None:
        if waiting:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)

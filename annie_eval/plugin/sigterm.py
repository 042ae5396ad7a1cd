"""SIGTERM ends a session as Ctrl-C does: answers are kept, and the command that continues the run is printed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable


def interrupts() -> Callable[[], None]:
    """Let SIGTERM interrupt the main thread, unless somebody handles it. Returns a function that ends this.

    A second SIGTERM ends the process at once.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return lambda: None

    def restore() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def interrupt(*_: object) -> None:
        restore()
        raise KeyboardInterrupt("SIGTERM")

    signal.signal(signal.SIGTERM, interrupt)
    return restore

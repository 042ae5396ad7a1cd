"""Prepares the report of a run while its samples are in flight, so that a run does not end by waiting for it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from annie_eval.errors import UsageError

if TYPE_CHECKING:
    from annie_eval.report.samples import Packer

_PAUSE = 0.25  # seconds between looks for finished samples


class PreparedReport:
    """A thread that imports the report's modules, then packs finished samples."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._main, name="annie-report", daemon=True)
        self._packer: Packer | None = None

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> Packer | None:
        """End the thread and return what it packed; None if it was not started, or broke."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        return self._packer

    def _main(self) -> None:
        from annie_eval.report import junit, page, terminal  # noqa: F401
        from annie_eval.report.samples import MOST, Packer
        from annie_eval.run import detector_digest, verdict, verdict_json  # noqa: F401
        from annie_eval.run.store import Store

        packer = Packer()
        # What is damaged is reported by the report itself, which reads the run again.
        with contextlib.suppress(sqlite3.Error, UsageError), contextlib.closing(Store(self._run_dir)) as store:
            while not self._end.wait(_PAUSE):
                repeated = {key for key, _, _ in store.attempts()}
                for key in store.finished():
                    # Half of the page's room stays free for samples that missed a gate.
                    if self._end.is_set() or packer.size > MOST / 2:
                        break
                    if key not in packer.texts and key not in repeated:
                        packer.add(key, store.sample(key), (), whole=True)
            self._packer = packer

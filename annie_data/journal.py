"""The journal of a run that makes a data file: what was kept and dropped so far, one line per batch.

Each line is flushed to disk, so that a killed run loses only its current batch. An incomplete last line is removed
when the run continues.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from annie_eval.errors import UsageError


class Journal:
    """The file `.NAME.journal` beside the output file, locked by the process that writes it.

    Args:
        out: the output file.
        plan: the settings of the run; a resumed run must have the same.

    Raises:
        UsageError: a journal exists and `resume` is not set, or it has another plan, or another process has locked it.
    """

    @staticmethod
    def path_for(out: Path) -> Path:
        """The path of the journal of a data file."""
        return out.parent / f".{out.name}.journal"

    def __init__(self, out: Path, plan: dict[str, Any], *, resume: bool) -> None:
        self.path = self.path_for(out)
        existed = self.path.exists()
        if existed and not resume:
            raise UsageError(f"{out} is not finished; continue with --resume, or remove {self.path}")
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise UsageError(f"--out {out}: {error.strerror}; name a file that can be written") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UsageError(f"{out} is being made by another process; wait for it, or name another --out") from None
        self.entries = list(self._read())
        if not self.entries:
            self._file.truncate(0)
            self.append({"plan": plan})
            self.entries = []
        elif self.entries.pop(0).get("plan") != plan:
            raise UsageError(
                f"{self.path} is of a run with another mix, teacher, seed or profile; use the same, or remove it"
            )

    def _read(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        raw = self._file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            try:
                entry = json.loads(line)
            except ValueError:
                raise UsageError(f"{self.path}:{number}: damaged; remove the file and begin again") from None
            if not isinstance(entry, dict):
                raise UsageError(f"{self.path}:{number}: damaged; remove the file and begin again")
            yield entry

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line and flush it to disk. Half surrogate pairs are escaped."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, *, done: bool) -> None:
        """Close the journal; with `done`, remove it."""
        if done:
            self.path.unlink(missing_ok=True)
        self._file.close()

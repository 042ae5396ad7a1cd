"""The journal of a run that makes a data file: what was kept and dropped so far, one line a batch, on disk at once.

A killed run loses the batch that it was in. The last line may be torn then; it is cut off when the run goes on.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from annie_eval.errors import UsageError


class Journal:
    """Lines in `.NAME.journal` beside the file that is made, locked by the process that writes them.

    Args:
        out: the file that is made.
        plan: what the run was told; a resumed run must have been told the same.

    Raises:
        UsageError: a journal is there and `resume` is not set, or it is another run's, or another process has it.
    """

    @staticmethod
    def path_for(out: Path) -> Path:
        """Where the journal of a data file lies."""
        return out.parent / f".{out.name}.journal"

    def __init__(self, out: Path, plan: dict[str, Any], *, resume: bool) -> None:
        self.path = self.path_for(out)
        existed = self.path.exists()
        if existed and not resume:
            raise UsageError(f"{out} was begun and not finished; continue with --resume, or remove {self.path}")
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
                f"{self.path} is of a run with another mix, teacher, seed or profile; give the same, or remove it"
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
        """Write one line and have it on disk before anything else happens; half a surrogate pair is escaped."""
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, *, done: bool) -> None:
        """Let go of the journal; with `done`, remove it."""
        if done:
            self.path.unlink(missing_ok=True)
        self._file.close()

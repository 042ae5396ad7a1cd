"""An external command as a teacher: any program that reads a prompt and writes JSON Lines to standard output.

The prompt is in a temporary file. `{prompt}` in the command line is replaced by its path; otherwise the command reads
it from standard input. The command runs in an empty directory, so that it does not find the settings or hooks of a
project, and in its own process group, which is killed when the time is up.
"""

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Literal

from annie_data.teachers.prompt import prompt, read
from annie_data.teachers.protocol import Drop, Order, TeacherAnswer, excerpt
from annie_eval.errors import UsageError
from annie_eval.profile.types import Profile

_LONGER = 2.5  # conversations of several turns take longer by about this factor
_MOST_BYTES = 8_000_000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK = 0.05  # seconds between two checks of a running command


class CommandTeacher:
    """Runs a command once per batch."""

    batch = 10

    def __init__(self, command_line: str, profile: Profile, timeout: float) -> None:
        try:
            self._words = shlex.split(command_line)
        except ValueError as error:
            raise UsageError(
                f"--command {command_line!r} cannot be split into words ({error}); correct its quotes"
            ) from None
        if not self._words:
            raise UsageError("--command is empty; name the program that writes the conversations")
        program = shutil.which(self._words[0])
        if program is None:
            raise UsageError(
                f"--command: there is no program {self._words[0]!r}; name one on the PATH, or its full path"
            )
        # It runs in another directory, so relative paths are made absolute.
        self._words[0] = str(Path(program).absolute())
        self._words[1:] = [str(Path(word).absolute()) if Path(word).exists() else word for word in self._words[1:]]
        self.name = f"command:{Path(program).name}"
        self._profile, self._timeout = profile, timeout

    def write(self, order: Order) -> TeacherAnswer:
        """Run the command once."""
        limit = self._timeout * (_LONGER if order.kind.turns[1] > 1 else 1)
        with tempfile.TemporaryDirectory(prefix="annie-teacher-") as directory:
            file = Path(directory) / "prompt.txt"
            file.write_text(prompt(order, self._profile), encoding="utf-8")
            work = Path(directory) / "work"
            work.mkdir()
            words = [word.replace("{prompt}", str(file)) for word in self._words]
            output, drop = self._run(words, file, work, limit, feed=words == self._words)
        if drop is not None:
            return TeacherAnswer([], [drop])
        return read(output, order)

    @staticmethod
    def _run(words: list[str], file: Path, work: Path, limit: float, *, feed: bool) -> tuple[str, Drop | None]:
        # Output goes to files, because a grandchild could keep a pipe open beyond the time limit.
        with (work.parent / "out").open("w+b") as out, (work.parent / "err").open("w+b") as err:
            with file.open("rb") if feed else open(os.devnull, "rb") as given:
                try:
                    process = subprocess.Popen(
                        words,
                        cwd=work,
                        stdin=given,
                        stdout=out,
                        stderr=err,
                        start_new_session=True,
                        preexec_fn=_die_with_parent,
                    )
                except OSError as error:
                    raise UsageError(f"--command: {words[0]} cannot be run: {error.strerror}") from error
            try:
                status = _wait(process, (out.fileno(), err.fileno()), limit)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if status == "late":
                return "", Drop("no answer in time", f"killed after {limit:g} s")
            if status == "large":
                return "", Drop("too much output", f"killed after {_MOST_BYTES:,} bytes")
            out.seek(0)
            output = out.read(_MOST_BYTES).decode("utf-8", errors="replace")
            if status != 0:
                err.seek(0)
                complaint = err.read(2000).decode("utf-8", errors="replace") or output
                return "", Drop("the command failed", excerpt(f"status {status}: {complaint}"))
        return output, None


def _die_with_parent() -> None:
    """Kill the command when this process dies (Linux only), so that it does not continue to run."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wait(process: subprocess.Popen[bytes], outputs: tuple[int, ...], limit: float) -> int | Literal["late", "large"]:
    """The exit status, or why it was killed: it took more than `limit` seconds, or wrote too much."""
    end = time.monotonic() + limit
    while True:
        try:
            return process.wait(min(_LOOK, max(0.0, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if any(os.fstat(output).st_size > _MOST_BYTES for output in outputs):
                return "large"
            if time.monotonic() >= end:
                return "late"

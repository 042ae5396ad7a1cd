"""Controls a server process on this machine: supervisor, log, end, and processes left from earlier runs."""

from __future__ import annotations

import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from annie_eval.errors import TargetError
from annie_eval.serving import supervise

GRACE = (3.0, 5.0)  # seconds after the first and the second SIGTERM; vLLM needs 0.5 s, and two of them while it starts
_CLOSING = 60.0  # seconds to wait for a supervisor that does not end


class Server:
    """A command run by the supervisor, from its start to the end of all its processes.

    Args:
        command: with an absolute program, or one on PATH.
        environment: the server's complete environment.
        log: file that its output is appended to.
        state_dir: directory where running servers are registered; see `state_dir`.
        container: name of the Docker container that the command runs.

    Raises:
        TargetError: the command cannot be run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        state_dir: Path,
        container: str | None = None,
        grace: Sequence[float] = GRACE,
    ) -> None:
        log.touch()
        self.log, self._log_start = log, log.stat().st_size
        self._state = state_dir / f"{secrets.token_hex(8)}.json"
        order = {
            "command": list(command),
            "log": str(log.absolute()),
            "state": str(self._state),
            "grace": list(grace),
            "container": container,
        }
        self._lock = threading.Lock()
        self._messages = b""
        self._closed = False
        # Isolated and without site-packages, so that it starts in 30 ms and does not depend on installed packages.
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", supervise.__file__, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C in the terminal reaches only pytest, which then closes the pipe
        )
        assert self._supervisor.stdout is not None
        os.set_blocking(self._supervisor.stdout.fileno(), False)
        first = self._first_line()
        if not first.startswith("started "):
            self.close()
            reason = first.removeprefix("failed ") or "its supervisor did not start"
            raise TargetError(f"cannot run {command[0]}: {reason}")
        self.pid = int(first.split()[1])

    def _first_line(self) -> str:
        assert self._supervisor.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._supervisor.stdout, selectors.EVENT_READ)
            end = time.monotonic() + 20
            while b"\n" not in self._messages and time.monotonic() < end:
                selector.select(0.5)
                if not self._read() and self._supervisor.poll() is not None:
                    break
        return self._messages.partition(b"\n")[0].decode()

    def _read(self) -> bool:
        """Read messages of the supervisor; returns whether there were any."""
        assert self._supervisor.stdout is not None
        with suppress(BlockingIOError):
            data = os.read(self._supervisor.stdout.fileno(), 4096)
            self._messages += data
            return bool(data)
        return False

    def ended(self) -> str | None:
        """How the server ended, in words; None while it is running."""
        with self._lock:
            if self._closed:
                return "was stopped"
            self._read()
            for line in self._messages.decode().splitlines():
                if line.startswith("exited "):
                    return exit_words(int(line.split()[1]))
            if self._supervisor.poll() is not None:
                return "was lost: its supervisor was killed"
            return None

    def log_text(self, last: int | None = None) -> str:
        """The log of this server so far, or its last bytes; logs of earlier servers in the file are left out."""
        with self.log.open("rb") as file:
            start = self._log_start if last is None else max(self._log_start, self.log.stat().st_size - last)
            file.seek(start)
            return file.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Stop the server and its processes, and wait for the end. Safe to call again, from any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            assert self._supervisor.stdin is not None
            assert self._supervisor.stdout is not None
            with suppress(OSError):
                # Closing the pipe stops the server, even if waiting is interrupted.
                self._supervisor.stdin.close()
            try:
                self._supervisor.wait(_CLOSING)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
            self._supervisor.stdout.close()
            reap(self._state)


def exit_words(code: int) -> str:
    """An exit status as a phrase: `exited with status 1`, `was killed by SIGKILL`."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def state_dir(fallback: Path) -> Path:
    """Directory where servers are registered: `$XDG_STATE_HOME/annie-eval/servers`, or `fallback` if not writable."""
    try:
        base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        path = Path(base) / "annie-eval" / "servers"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(path, os.W_OK):
            return path
    except (OSError, RuntimeError):  # no home directory
        pass
    return fallback


def reap_leftovers(directory: Path, progress: Callable[[str], None] = lambda _: None) -> int:
    """Stop servers whose supervisor was killed, to free memory and ports; returns their number."""
    count = 0
    for state in sorted(directory.glob("*.json")):
        if reap(state):
            count += 1
            progress("stopped a server that was left from an earlier, killed run")
    return count


def reap(state: Path) -> bool:
    """End the processes of one registered server; returns whether there were any.

    A running supervisor does this itself; if its owner is gone, wait for it. A process is killed only if its pid and
    its start time are registered, or if it is a descendant or in the session of such a process.
    """
    try:
        entry = json.loads(state.read_text())
        recorded = {(int(pid), int(started)) for pid, started in entry["processes"]}
        keeper, owner = (tuple(map(int, entry[name])) for name in ("supervisor", "owner"))
        boot, container = str(entry["boot"]), entry["container"]
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        with suppress(OSError):
            state.unlink()
        return False
    if boot.partition(" ")[0] == supervise.boot_id().partition(" ")[0]:
        if boot != supervise.boot_id():
            return False  # another pid namespace, whose processes cannot be identified
        if supervise.start_time(owner[0]) == owner[1] and supervise.start_time(keeper[0]) == keeper[1]:
            return False  # another run that is still active
        # Its owner has just been killed: wait until it has stopped its server and freed memory and port.
        end = time.monotonic() + sum(GRACE) + 10
        while supervise.start_time(keeper[0]) == keeper[1] and time.monotonic() < end:
            time.sleep(0.05)
    else:
        recorded = set()  # processes do not survive a reboot
    found = bool(_alive(recorded))
    left = supervise.kill_all(lambda: _alive(recorded))
    if isinstance(container, str):
        supervise.remove_container(container)
    if not left:
        for file in (state, state.with_suffix(".new")):
            file.unlink(missing_ok=True)
    return found


def _alive(recorded: set[supervise.Identity]) -> list[supervise.Identity]:
    """The registered processes that are alive, their descendants, and the other processes of their sessions."""
    table = supervise.processes()
    ours = {pid for pid, started in recorded if pid in table and table[pid][2] == started}
    # Sessions of registered processes, not of this one. This finds an EngineCore whose parent died.
    sessions = {table[pid][1] for pid in ours} & {pid for pid, _ in recorded}
    ours |= {pid for pid, (_, session, _) in table.items() if session in sessions}
    ours.discard(os.getpid())
    alive: dict[int, int] = {pid: table[pid][2] for pid in ours}
    alive.update({pid: started for pid, started in supervise.descendants(ours) if pid != os.getpid()})
    recorded |= set(alive.items())
    return list(alive.items())

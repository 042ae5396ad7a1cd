"""The supervisor process of a server: when pytest ends, it ends the server and all its children.

Started by `annie_eval.serving.server` as `python -I -S supervise.py JSON` with pytest's pipe as standard input, so
it may import only the standard library. It

- becomes a child subreaper (Linux), so that orphaned processes of the server (vLLM's EngineCore and Worker) become its
  children instead of init's;
- starts the server in a new session, with its output in the log file;
- stops it when the pipe closes (pytest ended, however it ended), on the line `stop`, or on SIGTERM;
- stops remaining processes when the server dies by itself;
- keeps a state file with the identity (pid and start time) of every process, so that the next start can end them if
this
  process is killed as well; the file is removed when all processes are gone.

It prints `started PID` and, when the server has ended by itself, `exited CODE`.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36

Identity = tuple[int, int]  # pid and start time in clock ticks since boot: unique, unlike a pid alone


def start_time(pid: int) -> int | None:
    """Start time of a living process in clock ticks since boot; None for one that is gone or a zombie."""
    entry = _stat(pid)
    return None if entry is None or entry[0] in "ZX" else entry[3]


def _stat(pid: int) -> tuple[str, int, int, int] | None:
    """(state, parent pid, session id, start time) from /proc/PID/stat; see proc_pid_stat(5)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text[text.rfind(")") + 2 :].split()  # the name before it may contain spaces and brackets
    return fields[0], int(fields[1]), int(fields[3]), int(fields[19])


def processes() -> dict[int, tuple[int, int, int]]:
    """Every living process: pid -> (parent pid, session id, start time)."""
    found = {}
    with suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit() and (entry := _stat(int(name))) is not None and entry[0] not in "ZX":
                found[int(name)] = entry[1:]
    return found


def descendants(roots: Iterable[int]) -> list[Identity]:
    """All living descendants of some processes, without these themselves."""
    table = processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in table.items():
        children.setdefault(parent, []).append(pid)
    seen: list[Identity] = []
    todo = [pid for root in roots for pid in children.get(root, ())]
    while todo:
        pid = todo.pop()
        seen.append((pid, table[pid][2]))
        todo += children.get(pid, ())
    return seen


def kill(identity: Identity, signum: int) -> None:
    """Signal a process unless its pid now belongs to another."""
    pid, started = identity
    if start_time(pid) == started:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def kill_all(find: Callable[[], list[Identity]], *, timeout: float = 10.0) -> list[Identity]:
    """SIGKILL all processes of `find` until it returns none; returns those left after `timeout` seconds."""
    end = time.monotonic() + timeout
    while left := find():
        if time.monotonic() > end:
            return left
        for identity in left:
            kill(identity, signal.SIGKILL)
        time.sleep(0.02)
    return []


def remove_container(name: str | None) -> None:
    """Stop and remove a Docker container, if it exists: it keeps running when the client ends."""
    if name is None:
        return
    for command in (["docker", "stop", "-t", "5", name], ["docker", "rm", "-f", name]):
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class _Supervisor:
    """Supervises one server. `order` is what `annie_eval.serving.server` sends: see `main`."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.state = Path(order["state"])
        self.written = ""
        parent = os.getppid()
        self.owner = [parent, start_time(parent)]
        self.code: int | None = None
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        # A signal handler writes to this pipe to wake up `select`.
        self.wake, wake = os.pipe()
        for fd in (self.wake, wake):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self.stopping = False
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._on_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with open(order["log"], "ab") as log:
            self.server = subprocess.Popen(
                order["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # If this process is killed, the server at least gets SIGTERM.
                preexec_fn=lambda: _prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
            )
        self.record()
        self.say(f"started {self.server.pid}")

    def _on_stop(self, *_: object) -> None:
        self.stopping = True

    def say(self, line: str) -> None:
        with suppress(OSError):
            os.write(1, f"{line}\n".encode())

    def record(self) -> None:
        """Write the state file if the processes have changed."""
        me = os.getpid()
        state = {
            "boot": boot_id(),
            "owner": self.owner,
            "supervisor": [me, start_time(me)],
            "processes": sorted(descendants([me])),
            "container": self.order["container"],
        }
        text = json.dumps(state)
        if text != self.written:
            with suppress(OSError):
                draft = self.state.with_suffix(".new")
                draft.write_text(text)
                draft.replace(self.state)
                self.written = text

    def reap(self) -> None:
        """Collect exit codes: the server's, and those of adopted orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.server.pid:
                self.code = self.server.returncode = os.waitstatus_to_exitcode(status)

    def watch(self) -> None:
        """Wait until the server ends or is to be stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self.wake, selectors.EVENT_READ)
            began = time.monotonic()
            while not self.stopping:
                # Children change while a server starts; later a check every ten seconds is enough.
                events = selector.select(1.0 if time.monotonic() - began < 120 else 10.0)
                for key, _ in events:
                    data = os.read(key.fd, 4096)
                    if key.fd == 0 and (not data or b"stop" in data):
                        self.stopping = True
                self.reap()
                if self.code is not None:
                    self.say(f"exited {self.code}")
                    return
                self.record()

    def stop(self) -> None:
        """SIGTERM, SIGTERM again, SIGKILL to all that is left; then the container, if there is one."""
        for grace in self.order["grace"]:
            if self.code is not None:
                break
            # A server that is still starting may miss the first one (vLLM 0.32 does while its engine starts).
            os.kill(self.server.pid, signal.SIGTERM)  # not yet waited for, so the pid is still valid
            self._wait(grace)
        if self.code is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.server.pid, signal.SIGKILL)
        left = kill_all(self._left)
        remove_container(self.order["container"])
        if not left:
            self.state.unlink(missing_ok=True)

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.code is None and time.monotonic() < end:
            time.sleep(0.02)
            self.reap()

    def _left(self) -> list[Identity]:
        self.reap()
        return descendants([os.getpid()])


def boot_id() -> str:
    """Identifies this boot and this pid namespace, within which pid and start time are unique."""
    boot = namespace = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")
    return f"{boot} {namespace}"


def main(order: dict[str, Any]) -> int:
    """Run one server until its end.

    Args:
        order: `command` (list), `log` and `state` (paths), `grace` (seconds after each SIGTERM) and
            `container` (name of the Docker container that the command runs, or None).
    """
    try:
        supervisor = _Supervisor(order)
    except OSError as error:
        print(f"failed {error}", flush=True)
        return 1
    try:
        supervisor.watch()
    finally:
        supervisor.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))

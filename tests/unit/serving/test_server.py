"""No server process is left, however a run ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from annie_eval.errors import TargetError
from annie_eval.serving import supervise
from annie_eval.serving.server import Server, reap, reap_leftovers, state_dir
from tests.unit.serving.conftest import SERVERS

FAKE = SERVERS / "fake_vllm.py"
Pids = Callable[[], list[int]]
Living = Callable[[list[int]], list[int]]

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the supervisor is Linux's")


@pytest.fixture
def start(tmp_path: Path, pids: Pids, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a stand-in with orphans that ignore SIGTERM; kill what a failed test leaves."""
    servers = []

    def begin(words: str = "orphans", grace: tuple[float, ...] = (0.3, 0.3)) -> Server:
        states = tmp_path / "states"
        states.mkdir(exist_ok=True)
        environment = {**os.environ, "FAKE_VLLM": words}
        log = tmp_path / "server.log"
        server = Server([sys.executable, str(FAKE)], environment=environment, log=log, state_dir=states, grace=grace)
        servers.append(server)
        return server

    yield begin
    for server in servers:
        server.close()
    for pid in pids():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def until(true: Callable[[], object], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_close_ends_the_server_and_processes_that_left_its_session(
    start: Callable[..., Server], pids: Pids, living: Living, tmp_path: Path
) -> None:
    server = start()
    assert until(lambda: len(pids()) == 3)
    assert server.ended() is None
    assert len(living(pids())) == 3
    server.close()
    server.close()
    assert living([*pids(), server._supervisor.pid]) == []
    assert list((tmp_path / "states").iterdir()) == []


def test_a_server_that_ignores_sigterm_is_killed(start: Callable[..., Server], pids: Pids, living: Living) -> None:
    server = start("stubborn,orphans")
    assert until(lambda: len(pids()) == 3)
    began = time.monotonic()
    server.close()
    assert living(pids()) == []
    assert 0.6 <= time.monotonic() - began < 5  # both graces were waited for


def test_a_server_that_dies_leaves_nothing_and_says_how(
    start: Callable[..., Server], pids: Pids, living: Living, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "text"))
    (tmp_path / "text").write_text("ValueError: no")
    server = start("orphans,die")
    assert until(lambda: server.ended() is not None)
    assert server.ended() == "exited with status 1"
    assert "ValueError: no" in server.log_text()
    assert until(lambda: len(pids()) == 3 and not living(pids()))
    assert until(lambda: not list((tmp_path / "states").iterdir()))


def test_death_by_signal_is_named(start: Callable[..., Server]) -> None:
    server = start("killed")
    assert until(lambda: server.ended() is not None)
    assert server.ended() == "was killed by SIGKILL"


def start_owner(folder: Path, words: str) -> subprocess.Popen[str]:
    """A process that starts the stand-in, prints its supervisor's pid and waits."""
    code = (
        "import os, signal, sys, time; from pathlib import Path; from annie_eval.serving.server import Server\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where pytest runs in the background
        "s = Server([sys.executable, sys.argv[1]], environment={**os.environ, 'FAKE_VLLM': sys.argv[2]},"
        " log=Path(sys.argv[3], 'log'), state_dir=Path(sys.argv[3]), grace=(0.3, 0.3))\n"
        "print(s._supervisor.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(FAKE), words, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_server_ends_with_the_process_that_started_it(
    signum: signal.Signals, pids: Pids, living: Living, tmp_path: Path
) -> None:
    with start_owner(tmp_path, "orphans") as parent:
        assert parent.stdout is not None
        supervisor = int(parent.stdout.readline())
        assert until(lambda: len(pids()) == 3)
        parent.send_signal(signum)
        with suppress(subprocess.TimeoutExpired):
            parent.wait(10)
        parent.kill()
    assert until(lambda: not living([*pids(), supervisor]))
    assert list(tmp_path.glob("*.json")) == []


def test_what_a_killed_supervisor_left_is_stopped_at_the_next_start(
    start: Callable[..., Server], pids: Pids, living: Living, tmp_path: Path
) -> None:
    server = start("stubborn,orphans")
    assert until(lambda: len(pids()) == 3)
    (state,) = (tmp_path / "states").glob("*.json")
    assert until(lambda: len(json.loads(state.read_text())["processes"]) == 3)
    os.kill(server._supervisor.pid, signal.SIGKILL)
    assert until(lambda: server.ended() is not None)
    assert server.ended() == "was lost: its supervisor was killed"
    time.sleep(0.2)
    assert len(living(pids())) == 3  # nothing else would end them
    lines: list[str] = []
    assert reap_leftovers(tmp_path / "states", lines.append) == 1
    assert living(pids()) == []
    assert lines == ["stopped a server that was left from an earlier, killed run"]
    assert list((tmp_path / "states").iterdir()) == []
    assert reap_leftovers(tmp_path / "states") == 0


def test_close_reaps_after_a_killed_supervisor(start: Callable[..., Server], pids: Pids, living: Living) -> None:
    server = start("stubborn,orphans")
    assert until(lambda: len(pids()) == 3)
    time.sleep(1.2)  # one look of the supervisor at its children
    os.kill(server._supervisor.pid, signal.SIGKILL)
    server.close()
    assert living(pids()) == []


def test_a_server_whose_supervisor_lives_is_left_alone(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start()
    assert reap_leftovers(tmp_path / "states") == 0
    assert server.ended() is None


def test_a_supervisor_that_is_just_stopping_its_server_is_waited_for(
    pids: Pids, living: Living, tmp_path: Path
) -> None:
    owner = start_owner(tmp_path, "stubborn,orphans")
    assert until(lambda: len(pids()) == 3)
    owner.kill()
    owner.wait()
    assert len(living(pids())) == 3  # it waits for the graces now
    reap_leftovers(tmp_path)
    assert living(pids()) == []


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as process:
        yield psutil.Process(process.pid)
        process.kill()


def test_a_zombie_counts_as_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    assert until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert supervise.start_time(process.pid) is None
    assert process.pid not in supervise.processes()
    process.wait()


def write_state(path: Path, processes: list[list[int]], boot: str | None = None) -> Path:
    state = {
        "boot": supervise.boot_id() if boot is None else boot,
        "owner": [1, 1],
        "supervisor": [1, 1],
        "processes": processes,
        "container": None,
    }
    path.write_text(json.dumps(state))
    return path


def test_a_process_that_has_the_pid_by_chance_is_never_killed(bystander: psutil.Process, tmp_path: Path) -> None:
    started = supervise.start_time(bystander.pid)
    assert started is not None
    state = write_state(tmp_path / "a.json", [[bystander.pid, started - 1]])
    assert reap(state) is False
    assert bystander.status() != psutil.STATUS_ZOMBIE
    assert not state.exists()
    # The same entry with the right start time is what would have killed it.
    assert reap(write_state(state, [[bystander.pid, started]])) is True
    assert not psutil.pid_exists(bystander.pid) or bystander.status() == psutil.STATUS_ZOMBIE


def test_processes_of_another_boot_are_not_looked_for(bystander: psutil.Process, tmp_path: Path) -> None:
    entry = [bystander.pid, supervise.start_time(bystander.pid) or 0]
    assert reap(write_state(tmp_path / "a.json", [entry], boot="another pid:[1]")) is False
    assert bystander.status() != psutil.STATUS_ZOMBIE
    assert not (tmp_path / "a.json").exists()


def test_processes_of_another_container_are_left_to_it(bystander: psutil.Process, tmp_path: Path) -> None:
    entry = [bystander.pid, supervise.start_time(bystander.pid) or 0]
    boot = supervise.boot_id().partition(" ")[0]
    assert reap(write_state(tmp_path / "a.json", [entry], boot=f"{boot} pid:[1]")) is False
    assert bystander.status() != psutil.STATUS_ZOMBIE
    assert (tmp_path / "a.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": 1}', '{"processes": [[1]], "supervisor": [], "boot": ""}'])
def test_a_damaged_state_file_is_dropped(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert reap_leftovers(tmp_path) == 0
    assert not (tmp_path / "a.json").exists()


def test_a_command_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"cannot run /nowhere/vllm: .*No such file"):
        Server(["/nowhere/vllm"], environment=os.environ, log=tmp_path / "log", state_dir=tmp_path)


def test_the_log_of_an_earlier_server_in_the_same_file_is_not_taken_for_ours(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "server.log").write_text("ValueError: long ago\n")
    server = start("hang")
    assert until(lambda: "Resolved architecture" in server.log_text())
    assert "long ago" not in server.log_text()
    assert "long ago" not in server.log_text(last=10_000)
    assert server.log_text(last=5) == server.log_text()[-5:]


def test_running_servers_are_registered_in_the_users_state_directory(
    state_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert state_dir(tmp_path) == state_home
    assert state_home.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))  # cannot be made: the run's own directory will do
    assert state_dir(tmp_path) == tmp_path

"""Runs one night: gate, timings, comparison with the baseline, drift. Stores it in the history directory.

Nothing is run twice. A lock prevents two nights at the same time. Nights are numbered, so that their order does not
depend on the clock. An interrupted night is kept unchanged; the next one reports it and runs normally.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.nightly import drift, earlier, records
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.regression import baseline as baselines
from annie_eval.regression import determinism
from annie_eval.regression import timings as speed
from annie_eval.regression.compare import ALPHA
from annie_eval.regression.compare_runs import against, check_profile, with_regression
from annie_eval.regression.run_data import TIMINGS, measurements
from annie_eval.resources import GATE_TESTS
from annie_eval.run import verdict_json
from annie_eval.run.store import FILE, Store
from annie_eval.serving.spec import shown_url, split_url
from annie_eval.stats.nights import HORIZON

GATE_ALONE = 3
"""Exit status of a night on which the gate does not PASS and there is no evidence that the server changed."""
_ROOM = 16 * 1024 * 1024  # bytes that a night may need in addition to three times its baseline's size
_TIMED = ("ttft_short", "decode")
_TIMING_LINE = 20.0  # least seconds between two lines of progress; a round of requests may take some more
_STOP = 2.0  # seconds for a stopped gate to end; answers are kept in any case


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `annie-eval nightly`; see its --help. `say` prints a line of progress."""

    base_urls: tuple[str, ...]
    baseline: str
    history: Path
    runs: Path
    profile: str | None = None
    served_model: str | None = None
    api_key_env: str | None = None
    hardware: str | None = None
    concurrency: int | None = None
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished night.

    Attributes:
        alarms: proven problems: worse than the baseline, drift, replicas that differ, nothing judged.
        changed: what changed since the night before, as in the history; "" if nothing did.
        gate: the gate's verdict, if it is not PASS and not an alarm by itself; else "".
        timings: medians by row; `intervals`: of those that have one.
        cause: why nothing was judged, or "".
    """

    name: str
    run_dir: Path
    verdict: RunVerdict | None
    alarms: tuple[str, ...]
    drifts: tuple[drift.Drift, ...] = ()
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    cause: str = ""
    gate: str = ""
    changed: str = ""

    @property
    def verdict_word(self) -> str:
        """The result of the night: PASS, FAIL or ERROR; INCONCLUSIVE if only the gate does not pass."""
        if not self.alarms:
            return self.gate or "PASS"
        return "ERROR" if self.verdict is None or self.verdict.verdict == "ERROR" else "FAIL"

    @property
    def status(self) -> int:
        """The exit status: 0 if all is well, 1 for an alarm, `GATE_ALONE` if only the gate does not pass."""
        return 1 if self.alarms else GATE_ALONE if self.gate else 0


class Stopped(Exception):
    """A signal stopped the night."""


def run(options: Options) -> Result:
    """Run one night.

    Raises:
        UsageError: no such baseline or profile, one that cannot be compared with the baseline, or another night is
            running; nothing was run.
        Stopped: by SIGTERM or Ctrl-C; answers are kept.
        OSError, sqlite3.Error: the results cannot be written.
    """
    blessed = baselines.load(options.baseline, options.runs / baselines.DIR, options.runs)
    profile = load(options.profile or _profile_of(blessed))
    _check(options, profile)
    check_profile(options.baseline, blessed, profile)
    try:
        options.history.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--history {options.history}: cannot be made ({error.strerror}); name another") from error
    with _locked(options.history) as lock:
        _check_room(options.history, blessed)
        return _night(options, blessed, profile, lock)


def _check(options: Options, profile: Profile) -> None:
    """Check the options as far as possible without a server.

    A server that is down is no wrong option, but an alarm.
    """
    for url in options.base_urls:
        split_url(url)
    if options.concurrency is not None and options.concurrency < 1:
        raise UsageError(f"--concurrency {options.concurrency}: must be at least 1")
    if options.api_key_env is not None and not os.environ.get(options.api_key_env):
        raise UsageError(
            f"--api-key-env {options.api_key_env}: this environment variable is unset or empty; export it"
        )
    if options.hardware is not None:
        from annie_eval.timing import hardware

        hardware.choose(hardware.table(profile), options.hardware, (), local=True)


def _profile_of(blessed: baselines.Baseline) -> str:
    """The profile of the baseline, by its file, else by its name."""
    facts = blessed.run_data.facts
    path = facts.get("profile_path")
    return str(path) if path and Path(path).is_file() else str((facts.get("identity") or {}).get("profile", "annie"))


@contextlib.contextmanager
def _locked(history: Path) -> Iterator[IO[str]]:
    """Lock the history directory. The gate's process inherits the lock, so that it may outlive this process."""
    path = history / records.LOCK
    try:
        lock = path.open("a+")
    except OSError as error:
        raise UsageError(f"--history {history}: cannot be written ({error.strerror}); name another") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        who = lock.read(100).strip()
        lock.close()
        raise UsageError(
            f"--history {history}: another nightly run is active{f' ({who})' if who else ''}; wait for it to end"
        ) from None
    with lock:
        with contextlib.suppress(OSError):  # the holder's name is optional; a full disk must not prevent the lock
            lock.truncate(0)
            lock.write(f"pid {os.getpid()}, since {_now():%Y-%m-%d %H:%M} UTC")
            lock.flush()
        yield lock


def _now() -> datetime:
    return datetime.now(UTC)


def _check_room(history: Path, blessed: baselines.Baseline) -> None:
    need = _ROOM + 3 * (blessed.run_data.dir / FILE).stat().st_size
    free = shutil.disk_usage(history).free
    if free < need:
        raise OSError(
            errno.ENOSPC, f"the disk is full: {free / 1e6:.1f} MB are free and a night may need {need / 1e6:.0f} MB"
        )


def _night(options: Options, blessed: baselines.Baseline, profile: Profile, lock: IO[str]) -> Result:
    began = time.monotonic()
    notes = _cut_off(options.history)
    name = records.next_name(options.history, f"{_now():%Y-%m-%dT%H-%M-%S}")
    run_dir = (options.history / name).resolve()
    started = _now().isoformat(timespec="seconds")
    options.say(f"nightly {name}: profile {profile.name}, {', '.join(map(shown_url, options.base_urls))}")
    status, output = _gate(options, profile, run_dir, lock)
    try:
        verdict: RunVerdict | None = verdict_json.load(run_dir / verdict_json.FILE)
        cause = ""
    except UsageError:
        verdict, cause = None, _last_word(output, status)
    with contextlib.suppress(OSError):
        if run_dir.is_dir():
            (run_dir / "gate.log").write_text(output, encoding="utf-8", errors="backslashreplace")
    alarms: list[str] = []
    gate = changed = ""
    timings: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    found: list[drift.Drift] = []
    if verdict is None:
        alarms.append(cause)
    else:
        if verdict.verdict == "ERROR":
            alarms.append("ERROR")
        elif verdict.verdict != "PASS":
            gate = verdict.verdict
        if replicas_differ(verdict.replicas):
            alarms.append("replicas differ")
        if verdict.verdict != "ERROR":
            timings, intervals, timing_notes = _quiet(options, profile, run_dir, verdict)
            notes += timing_notes
        options.say(f"comparison with {options.baseline} and earlier nights")
        nights = records.read(options.history).nights
        compared = against(blessed, run_dir, earlier.judgements(nights, str(blessed.info["id"])))
        verdict = with_regression(verdict, compared)
        verdict_json.write(run_dir / verdict_json.FILE, verdict)
        if compared.verdict in ("FAIL", "ERROR", "REFUSED"):
            alarms.append(f"regression {compared.verdict}")
        loaded = {row.name: row.now for row in compared.timings if not row.judged}
        timings = {**loaded, **timings}
        _note(run_dir, name, started, began, verdict.verdict, timings, intervals, "")
        nights = records.read(options.history).nights
        changed = next((each.reason for each in drift.resets(nights) if nights[each.at].name == name), "")
        found = [each for each in drift.drifts(nights) if not each.over]
        alarms += [f"drift in {each.series}" for each in found]
    result = Result(
        name=name,
        run_dir=run_dir,
        verdict=verdict,
        alarms=tuple(alarms),
        drifts=tuple(found),
        notes=tuple(notes),
        timings=timings,
        intervals=intervals,
        seconds=time.monotonic() - began,
        cause=cause,
        gate=gate,
        changed=changed,
    )
    _note(run_dir, name, started, began, result.verdict_word, timings, intervals, cause)
    return result


def replicas_differ(found: Mapping[str, Any]) -> bool:
    """Whether replicas differ significantly, at an error rate that holds over all nights.

    A replica that fails a gate on its own answers is no evidence, because the counts of a night vary.
    """
    pairs = [float(row["adjusted"]) for row in found.get("gates", ()) if row["adjusted"] is not None]
    return bool(found.get("structure")) or any(HORIZON * p <= ALPHA for p in pairs)


def _cut_off(history: Path) -> list[str]:
    """Notes about the last nights if they are incomplete, for example because the machine was switched off."""
    found = records.read(history)
    latest = max((records.number_of(night.name) or 0 for night in found.nights if night.ended), default=0)
    notes = [(name, f"is left out: {why}") for name, why in found.skipped]
    notes += [
        (night.name, "was cut off after its gate, before the comparison: its counts are kept")
        for night in found.nights
        if not night.ended
    ]
    return [f"{name} {what}" for name, what in sorted(notes) if (records.number_of(name) or 0) > latest]


def _gate(options: Options, profile: Profile, run_dir: Path, lock: IO[str]) -> tuple[int, str]:
    """Run the gate in a separate pytest process; returns exit status and output."""
    command = [sys.executable, "-m", "pytest", "-p", "annie-eval"]
    command += [f"-pno:{name}" for name in ("cacheprovider", "xdist", "anyio", "syrupy")]
    # The pytest configuration of the current directory must not change the gate.
    command += ["-c", os.devnull, f"--rootdir={GATE_TESTS}", f"--confcutdir={GATE_TESTS}"]
    command += [str(GATE_TESTS / "perf"), str(GATE_TESTS / "behavior")]
    for url in options.base_urls:
        command += ["--base-url", url]
    command += ["--profile", str(profile.path.resolve()), "--run-dir", str(run_dir)]
    for flag, value in (
        ("--served-model", options.served_model),
        ("--api-key-env", options.api_key_env),
        ("--hardware", options.hardware),
        ("--concurrency", options.concurrency),
    ):
        if value is not None:
            command += [flag, str(value)]
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")}

    def stop(number: int, frame: object) -> None:
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    for one, handler in before.items():
        if handler is not signal.SIG_IGN:  # with nohup a closed terminal does not end the night
            signal.signal(one, stop)
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
        pass_fds=[lock.fileno()],
    )
    output: list[str] = []
    readers = [
        # pytest's own lines on stdout are the report, of which the night keeps the verdict.
        threading.Thread(target=_pass_on, args=(process.stdout, output, options.say, "plan: "), daemon=True),
        threading.Thread(target=_pass_on, args=(process.stderr, output, options.say, ""), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return process.wait(), "".join(output)
    except (KeyboardInterrupt, Stopped) as error:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise Stopped(str(error) or "stopped by Ctrl-C") from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _pass_on(pipe: IO[str], output: list[str], say: Callable[[str], None], start: str) -> None:
    """Read the gate's output to its end, and print its lines of progress at once: those that begin with `start`."""
    for line in pipe:
        output.append(line)
        if line.strip() and line.startswith(start) and not line.startswith("ERROR:"):  # the paragraph has the error
            say(line.rstrip())


def _last_word(output: str, status: int) -> str:
    """Why the gate has no verdict, from its output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "error:", "E   "))] or lines[-1:]
    return (errors[0] if errors else "it printed nothing").removeprefix("ERROR: ") + f" (exit status {status})"


def _quiet(
    options: Options, profile: Profile, run_dir: Path, verdict: RunVerdict
) -> tuple[dict[str, float], dict[str, tuple[float, float]], list[str]]:
    """Measurements on the idle server after the gate: timings, if the gate measured none, and determinism.

    Without `--hardware` the limits are not known, but the timings are stored and compared.

    Returns:
        Medians and intervals by row, and notes.
    """
    served, base_url = str(verdict.target["served_model"]), str(verdict.target["base_url"])
    notes = []
    if not any(row.get("median") is not None for row in verdict.timings):
        from annie_eval import timing
        from annie_eval.serving import machine

        options.say("timing: TTFT and decode rate on the idle server")
        try:
            plan = timing.plan_for(
                profile,
                _TIMED,
                base_url=base_url,
                served_model=served,
                api_key_env=options.api_key_env,
                gpus=machine.local_gpus(),
                cores=machine.local_cores(),
                output=run_dir / TIMINGS,
            )
            timing.run(replace(plan, quiet_wait=min(plan.quiet_wait, 5.0)), _timing_lines(options.say))
        except Exception as error:  # a night is valid without timings
            notes.append(f"timings could not be measured: {type(error).__name__}: {error}")
    measured = measurements(run_dir / TIMINGS)
    key = os.environ.get(options.api_key_env) if options.api_key_env else None
    store = Store(run_dir)
    try:
        store.set_meta(steadiness=determinism.probe(profile, store, base_url, served, key))
    finally:
        store.close()
    from annie_eval.stats import medians

    # A row's own interval can be that of a fit at one prompt length, and not of this median.
    taken = {row: values for row in _TIMED if len(values := measured.get(row, ())) >= speed.LEAST_N}
    intervals = {row: medians.median_interval(values) for row, values in taken.items()}
    return {row: medians.median(values) for row, values in taken.items()}, intervals, notes


def _timing_lines(say: Callable[[str], None]) -> Callable[[Mapping[str, Any]], None]:
    """Say events of the timing process: the start and end of each row, and the count every `_TIMING_LINE` s."""
    pending: list[str] = []
    told = time.monotonic()

    def event(found: Mapping[str, Any]) -> None:
        nonlocal pending, told
        if found["event"] == "row":
            say(f"timing: {found['name']} measured, n {found['n']}")
        elif found["event"] == "progress":
            started = [name for name in found["pending"] if name not in pending]
            if started or (found["pending"] and time.monotonic() - told >= _TIMING_LINE):
                told = time.monotonic()
                say(f"timing: {', '.join(found['pending'])}: {found['requests']} measurements so far")
            pending = list(found["pending"])

    return event


def _note(
    run_dir: Path,
    name: str,
    started: str,
    began: float,
    verdict: str,
    timings: Mapping[str, float],
    intervals: Mapping[str, tuple[float, float]],
    cause: str,
) -> None:
    """Write the result of the night beside the run, even if the gate never started a run."""
    run_dir.mkdir(exist_ok=True)
    values: dict[str, Any] = {"format": 1, "name": name, "started": started, "seconds": time.monotonic() - began}
    values |= {"verdict": verdict, "timings": timings, "intervals": intervals, "cause": cause}
    records.write_json(run_dir / records.NOTE, values)


def words_of(error: OSError | sqlite3.Error) -> str:
    """The text of a write error."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)

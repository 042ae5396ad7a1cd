"""Runs one night: gate, timings, comparison with the baseline, drift. Keeps it in the history directory.

Nothing is run twice. A lock keeps two nights apart, a running number keeps them in order whatever the clock says, and
a night that was cut off is left behind as it was: the next one says so and goes on.
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
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from annie_eval.regression.compare_runs import against, with_regression
from annie_eval.regression.run_data import TIMINGS, measurements
from annie_eval.resources import GATE_TESTS
from annie_eval.run import verdict_json
from annie_eval.run.store import FILE, Store
from annie_eval.serving.spec import split_url
from annie_eval.stats.nights import HORIZON

GATE_ALONE = 3
"""Exit status of a night on which the gate does not PASS and nothing shows that the server changed."""
_ROOM = 16 * 1024 * 1024  # bytes that a night may need beside three times its baseline's size
_TIMED = ("ttft_short", "decode")
_STOP = 2.0  # seconds that a stopped gate has for its own end; what was answered is kept in any case


@dataclass(frozen=True, slots=True)
class Options:
    """What `annie-eval nightly` was told; see its --help."""

    base_urls: tuple[str, ...]
    baseline: str
    history: Path
    runs: Path
    profile: str | None = None
    served_model: str | None = None
    api_key_env: str | None = None
    hardware: str | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished night.

    Attributes:
        alarms: what is proven or broken: worse than the baseline, drift, replicas that differ, nothing judged.
        gate: what the gate said, where that is not PASS and no alarm by itself; else "".
        cause: why nothing was judged, or "".
    """

    name: str
    run_dir: Path
    verdict: RunVerdict | None
    alarms: tuple[str, ...]
    drifts: tuple[drift.Drift, ...] = ()
    notes: tuple[str, ...] = ()
    timings: Mapping[str, float] | None = None
    seconds: float = 0.0
    cause: str = ""
    gate: str = ""

    @property
    def verdict_word(self) -> str:
        """What the night comes to: PASS, FAIL or ERROR; INCONCLUSIVE where the gate alone says so."""
        if not self.alarms:
            return self.gate or "PASS"
        return "ERROR" if self.verdict is None or self.verdict.verdict == "ERROR" else "FAIL"

    @property
    def status(self) -> int:
        """The exit status: 0 well, 1 for an alarm, `GATE_ALONE` for a gate that does not hold without one."""
        return 1 if self.alarms else GATE_ALONE if self.gate else 0


class Stopped(Exception):
    """A signal asked for an end."""


def run(options: Options) -> Result:
    """Run one night.

    Raises:
        UsageError: no such baseline or profile, or another night is going on: nothing was run.
        Stopped: by SIGTERM or Ctrl-C; what was answered is kept.
        OSError, sqlite3.Error: the disk does not take what is to be written.
    """
    blessed = baselines.load(options.baseline, options.runs / baselines.DIR, options.runs)
    profile = load(options.profile or _profile_of(blessed))
    _check(options, profile)
    try:
        options.history.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--history {options.history}: cannot be made ({error.strerror}); name another") from error
    with _locked(options.history) as lock:
        _check_room(options.history, blessed)
        return _night(options, blessed, profile, lock)


def _check(options: Options, profile: Profile) -> None:
    """What can be known to be wrong without a server. That it is down is no mistake of the caller, and a night."""
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
    """The profile that the baseline was made with, by the file it was read from, else by its name."""
    facts = blessed.run_data.facts
    path = facts.get("profile_path")
    return str(path) if path and Path(path).is_file() else str((facts.get("identity") or {}).get("profile", "annie"))


@contextlib.contextmanager
def _locked(history: Path) -> Iterator[IO[str]]:
    """Hold the history directory; the gate's process inherits the lock, so that it outlives ours."""
    path = history / ".lock"
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
            f"--history {history}: another nightly run is going on{f' ({who})' if who else ''}; wait for it to end"
        ) from None
    with lock:
        with contextlib.suppress(OSError):  # who holds it is a courtesy; a full disk must not forbid the lock
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
    gate = ""
    timings: dict[str, float] = {}
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
            timings, timing_notes = _quiet(options, profile, run_dir, verdict)
            notes += timing_notes
        nights = records.read(options.history).nights
        compared = against(blessed, run_dir, earlier.judgements(nights, str(blessed.info["id"])))
        verdict = with_regression(verdict, compared)
        verdict_json.write(run_dir / verdict_json.FILE, verdict)
        if compared.verdict in ("FAIL", "ERROR", "REFUSED"):
            alarms.append(f"regression {compared.verdict}")
        loaded = {row.name: row.now for row in compared.timings if not row.judged}
        timings = {**loaded, **timings}
        _note(run_dir, name, started, began, verdict.verdict, timings, "")
        nights = records.read(options.history).nights
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
        seconds=time.monotonic() - began,
        cause=cause,
        gate=gate,
    )
    _note(run_dir, name, started, began, result.verdict_word, timings, cause)
    return result


def replicas_differ(found: Mapping[str, Any]) -> bool:
    """Whether servers that should be alike are proven not to be, at an error rate that holds over all nights.

    A gate that one of them fails on its own answers proves nothing: a night's counts vary.
    """
    pairs = [float(row["adjusted"]) for row in found.get("gates", ()) if row["adjusted"] is not None]
    return bool(found.get("structure")) or any(HORIZON * p <= ALPHA for p in pairs)


def _cut_off(history: Path) -> list[str]:
    """What to say of the last nights, if they never came to their end: the machine may have been switched off."""
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
    """Exit status and output of the gate, as a pytest process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "annie-eval"]
    command += [f"-pno:{name}" for name in ("cacheprovider", "xdist", "anyio", "syrupy")]
    # The same gate whatever project's directory this is: its pytest configuration plays no part.
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
        if handler is not signal.SIG_IGN:  # under nohup a closed terminal is no end
            signal.signal(one, stop)
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
        pass_fds=[lock.fileno()],
    )
    try:
        output, _ = process.communicate()
        return process.returncode, output
    except (KeyboardInterrupt, Stopped) as error:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise Stopped(str(error) or "stopped by Ctrl-C") from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _last_word(output: str, status: int) -> str:
    """Why the gate came to no verdict, out of what it printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "error:", "E   "))] or lines[-1:]
    return (errors[0] if errors else "it printed nothing").removeprefix("ERROR: ") + f" (exit status {status})"


def _quiet(
    options: Options, profile: Profile, run_dir: Path, verdict: RunVerdict
) -> tuple[dict[str, float], list[str]]:
    """What is asked of the server alone, after the gate: timings, where the gate took none, and whether it is steady.

    Without `--hardware` nobody knows the limits; the timings are still worth keeping and comparing.
    """
    served, base_url = str(verdict.target["served_model"]), str(verdict.target["base_url"])
    notes = []
    if not any(row.get("median") is not None for row in verdict.timings):
        from annie_eval import timing
        from annie_eval.serving import machine

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
            timing.run(replace(plan, quiet_wait=min(plan.quiet_wait, 5.0)), lambda event: None)
        except Exception as error:  # a night without timings is still a night
            notes.append(f"timings could not be taken: {type(error).__name__}: {error}")
    measured = measurements(run_dir / TIMINGS)
    key = os.environ.get(options.api_key_env) if options.api_key_env else None
    store = Store(run_dir)
    try:
        store.set_meta(steadiness=determinism.probe(profile, store, base_url, served, key))
    finally:
        store.close()
    from annie_eval.stats import medians

    taken = {row: medians.median(values) for row, values in measured.items() if len(values) >= speed.LEAST_N}
    return {row: taken[row] for row in _TIMED if row in taken}, notes


def _note(
    run_dir: Path, name: str, started: str, began: float, verdict: str, timings: Mapping[str, float], cause: str
) -> None:
    """What the night came to, beside the run: also where the gate never got as far as a run."""
    run_dir.mkdir(exist_ok=True)
    values: dict[str, Any] = {"format": 1, "name": name, "started": started, "seconds": time.monotonic() - began}
    records.write_json(run_dir / records.NOTE, {**values, "verdict": verdict, "timings": timings, "cause": cause})


def words_of(error: OSError | sqlite3.Error) -> str:
    """A failure to write, in words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)

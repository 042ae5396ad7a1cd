"""Creates, finds and locks run directories."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from annie_eval.errors import UsageError
from annie_eval.gates.repeats import Repeats
from annie_eval.profile.types import Profile
from annie_eval.run.store import FILE

RUNS = Path("runs")


def run_dir(name: str) -> Path:
    """A run by its directory, or by its name in runs/. Raises UsageError if there is none.

    A directory that holds no run does not hide the run of that name.
    """
    places = Path(name).expanduser(), RUNS / name
    found = [path for path in places if (path / FILE).is_file()] or [path for path in places if path.is_dir()]
    if not found:
        raise UsageError(f"{name}: no such run; name a directory, or one that annie-eval runs lists")
    return found[0]


def resume_command(run_dir: Path, facts: Mapping[str, Any]) -> str:
    """The command that continues a run, with the target, profile and hardware that its file holds.

    Args:
        facts: the run's `Store.all_meta`.
    """
    from annie_eval.profile.load import builtin_names
    from annie_eval.serving.spec import shown_url

    identity = facts.get("identity") or {}
    target, profile, hardware = (str(identity.get(key) or "") for key in ("target", "profile", "hardware"))
    words = ["annie-eval", "gate"]
    if target.startswith(("http://", "https://")):
        words += [word for url in target.split() for word in ("--base-url", shown_url(url))]
    else:
        words += ["--model-dir", target]
    words += ["--profile", profile if profile in builtin_names() else str(facts.get("profile_path") or profile)]
    words += ["--hardware", hardware] if hardware else []
    return shlex.join([*words, "--run-dir", str(run_dir), "--resume"])


_LOOKED_AT = 20  # number of newest runs to search


def took(folder: Path, identity: Mapping[str, Any], *, but: Path) -> dict[str, float]:
    """Seconds of each stage of the newest finished run in a folder with this identity; {} if there is none.

    Args:
        but: a run to ignore.
    """
    from annie_eval.run.store import FILE, Store

    for path in sorted((path for path in folder.glob("*") if path.name != but.name), reverse=True)[:_LOOKED_AT]:
        if not (path / FILE).is_file():
            continue
        try:
            store = Store(path)
        except UsageError:
            continue
        try:
            facts = store.all_meta()
        except (UsageError, sqlite3.Error):
            continue
        finally:
            store.close()
        if facts.get("identity") == identity and facts.get("took"):
            return {str(stage): float(seconds) for stage, seconds in facts["took"].items()}
    return {}


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The command-line options of a run. If `run_dir` is None, a new directory is made under `runs_root`."""

    runs_root: Path
    run_dir: Path | None = None
    resume: bool = False
    concurrency: int | None = None
    hardware: str | None = None
    repeats: Repeats = field(default_factory=Repeats)
    fail_fast: bool = False


def make_run_dir(profile: Profile, options: RunOptions) -> tuple[Path, bool]:
    """The run's directory, and whether it continues an earlier run."""
    path = options.run_dir
    if path is None:
        if options.resume:
            raise UsageError("--resume needs --run-dir DIR: name the run to continue")
        stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
        path = options.runs_root / f"{stamp}-{profile.name}-{secrets.token_hex(2)}"
        _make(path, "the directory for runs")
        return path.resolve(), False
    if path.exists() and not path.is_dir():
        raise UsageError(f"--run-dir {path}: not a directory; name a new or an empty one")
    if (path / FILE).exists():
        if not options.resume:
            raise UsageError(f"--run-dir {path}: holds a run already; add --resume to continue it, or name another")
        return path.resolve(), True
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"--run-dir {path}: not empty and no run; name a new or an empty directory")
    # If a run was killed before its file was created, --resume starts it.
    _make(path, f"--run-dir {path}")
    return path.resolve(), False


def make_series_dir(path: Path | None, name: str, what: str, *, resume: bool) -> Path:
    """The directory of several runs: the one that was named, or a new one in runs/ with this name.

    Args:
        what: the command's name, for the new directory's.

    Raises:
        UsageError: it cannot be made, or holds something that is not to be resumed.
    """
    if path is None:
        if resume:
            raise UsageError("--resume needs --run-dir DIR: name the directory to go on with")
        path = RUNS / time.strftime(f"%Y-%m-%dT%H-%M-%S-{name}-{what}")
    elif path.exists() and not path.is_dir():
        raise UsageError(f"--run-dir {path}: not a directory; name a new or an empty one")
    elif path.exists() and any(path.iterdir()) and not resume:
        raise UsageError(f"--run-dir {path}: not empty; add --resume to go on with it, or name another")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--run-dir {path}: cannot be made ({error.strerror}); name a directory that you may write"
        ) from None
    return path


def _make(path: Path, what: str) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / "lock"
        probe.touch()
    except OSError as error:
        raise UsageError(
            f"{what}: cannot be written ({error.strerror} at {error.filename}); name a directory that you may write"
        ) from None


def lock(path: Path) -> IO[str]:
    """Lock the directory while this process lives."""
    file = (path / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"--run-dir {path}: another run is using it; wait for it or name another") from None
    return file


def is_locked(path: Path, name: str = "lock") -> bool:
    """Whether a process has locked the directory: its run is in progress."""
    try:
        # Not blocked by a FIFO of that name, in a directory that somebody else made.
        file = os.open(path / name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False

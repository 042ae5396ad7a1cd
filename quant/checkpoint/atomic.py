"""Writes directories atomically: a directory appears complete or not at all.

A checkpoint is built in a hidden directory beside its target (`.NAME.partial-PID`), which holds the marker file
INCOMPLETE. At the end it is flushed to disk, the marker is removed, and the directory is renamed. A kill at any moment
leaves the old directory, the new one, or a partial one that its name and its marker identify. The next build removes
partial directories of dead processes.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from quant.errors import UsageError

#: A directory that holds this file is incomplete. `preflight` refuses it.
INCOMPLETE = "INCOMPLETE"
#: A directory that holds this file failed the checks of the command that made it; the file says why.
REFUSED = "REFUSED"


def partial_path(target: Path) -> Path:
    """Where this process builds `target`: a sibling, so that the rename stays on one file system."""
    return target.parent / f".{target.name}.partial-{os.getpid()}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove_leftovers(target: Path) -> None:
    """Remove partial directories of killed builds of `target`; those of running builds are kept."""
    for leftover in target.parent.glob(f".{target.name}.partial-*"):
        pid = leftover.name.rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_free(target: Path, *, replace: bool = False) -> None:
    """Raise UsageError if `target` cannot be built; called before anything slow starts."""
    if target.exists() and not replace and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists already; name another --out, or remove it first")
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise UsageError(f"{parent} is not a directory, so {target} cannot be made")
    if not os.access(parent, os.W_OK):
        raise UsageError(f"no permission to write in {parent}, so {target} cannot be made")


def check_outside(target: Path, source: Path, option: str = "--out") -> None:
    """Raise UsageError if `target` is inside the checkpoint directory `source`, which would change `source`."""
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{option} {target} lies inside {source}, which must hold nothing else; name a directory elsewhere"
        )


def refused_path(target: Path) -> Path:
    """Directory for a build of `target` that failed its checks: `NAME.refused`, with a number if that exists."""
    path, number = target.with_name(f"{target.name}.refused"), 2
    while path.exists():
        path, number = target.with_name(f"{target.name}.refused-{number}"), number + 1
    return path


def _keep_refused(partial: Path, refused: Path, error: Exception) -> None:
    (partial / REFUSED).write_text(f"{error}\n")
    (partial / INCOMPLETE).unlink(missing_ok=True)
    _flush(partial)
    partial.rename(refused)


@contextlib.contextmanager
def atomic_directory(target: Path, *, replace: bool = False, refused: Path | None = None) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends without an exception.

    If the block raises, the directory is moved to `refused`, with the reason in the file REFUSED. It is removed
    without `refused`, and after an interrupt or an error of disk or memory.

    Raises UsageError if `target` exists and is not empty, unless `replace` is set. The old directory is then kept
    until the new one is complete.
    """
    target = target.absolute()
    check_free(target, replace=replace)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    partial = partial_path(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    marker = partial / INCOMPLETE
    marker.write_text("This directory is being built, or its build was killed. It is not a checkpoint.\n")
    _flush(partial)
    try:
        yield partial
    except BaseException as error:
        if refused is not None and isinstance(error, Exception) and not isinstance(error, OSError | MemoryError):
            _keep_refused(partial, refused, error)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    umask = os.umask(0)
    os.umask(umask)
    for path in partial.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~umask)  # some writers make 0600 files, which a server of another user cannot read
            _flush(path)
    marker.unlink()
    _flush(partial)
    if target.exists():
        old = target.parent / f".{target.name}.partial-{os.getpid()}.old"
        target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(target)
    _flush(target.parent)

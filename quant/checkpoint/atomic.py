"""Writes directories atomically: complete, or not there.

A checkpoint is built in a hidden sibling (`.NAME.partial-PID`) that carries the marker file INCOMPLETE, flushed to
disk, freed of the marker and renamed. So a kill at any moment leaves the old directory, the new one, or a leftover
whose name and marker both say that it is not a checkpoint. The leftovers of dead processes go with the next build.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from quant.errors import UsageError

#: A directory that holds this file is no checkpoint, whatever else it holds. `preflight` refuses it.
INCOMPLETE = "INCOMPLETE"
#: A directory that holds this file was refused by the checks of the command that made it; the file says why.
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
    """Remove what killed builds of `target` left behind; builds that still run are let be."""
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
    """Raise UsageError where `target` cannot be built: called before anything slow starts."""
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
    """Raise UsageError where `target` would lie in the checkpoint `source`, which would then be another one."""
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            f"{option} {target} lies inside {source}, which must hold nothing else; name a directory elsewhere"
        )


def refused_path(target: Path) -> Path:
    """Where a refused build of `target` is set aside: `NAME.refused`, or with a number where that is taken."""
    path, number = target.with_name(f"{target.name}.refused"), 2
    while path.exists():
        path, number = target.with_name(f"{target.name}.refused-{number}"), number + 1
    return path


def _set_aside(partial: Path, aside: Path, error: Exception) -> None:
    (partial / REFUSED).write_text(f"{error}\n")
    (partial / INCOMPLETE).unlink(missing_ok=True)
    _flush(partial)
    partial.rename(aside)


@contextlib.contextmanager
def atomic_directory(target: Path, *, replace: bool = False, aside: Path | None = None) -> Iterator[Path]:
    """Yield an empty directory that becomes `target` when the block ends without an exception.

    After an exception other than an interrupt or an error of disk or memory it becomes `aside`, with the reason in the
    file REFUSED; without `aside` it is removed.

    Raises UsageError when `target` exists and is not empty, unless `replace` is set; the old directory then stays
    until the new one is whole.
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
        if aside is not None and isinstance(error, Exception) and not isinstance(error, OSError | MemoryError):
            _set_aside(partial, aside, error)
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

"""Saves and loads the state of a training run, so that it can be resumed after an interruption."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import IO, Any, cast

from quant.errors import UsageError
from quant.training.distributed import World

IDENTITY = "identity.json"
STATE = "state.pt"
TEACHER = "teacher.safetensors"


def directory_for(out: Path) -> Path:
    """Directory of the state of a run that makes `out`."""
    return out.absolute().parent / f".{out.name}.training"


class TrainingState:
    """The directory `.NAME.training` beside `out`; it is removed when the checkpoint is done.

    Args:
        identity: what must not change between a run and its continuation: recipe, data, model, teacher.
        resume: continue an existing state; without it, an existing state is an error.

    Raises:
        UsageError: there is an interrupted run and `resume` is not set, or its identity differs.
    """

    def __init__(self, out: Path, identity: dict[str, Any], *, resume: bool, world: World | None = None) -> None:
        self.directory = directory_for(out)
        world = world or World()
        refusal = None
        if world.first:
            try:
                self._claim(identity, resume)
            except UsageError as error:
                refusal = str(error)
        if (refusal := world.broadcast(refusal)) is not None:
            raise UsageError(refusal)

    def _claim(self, identity: dict[str, Any], resume: bool) -> None:
        identity = json.loads(json.dumps(identity))
        path = self.directory / IDENTITY
        if path.exists():
            before = _read_identity(path)
            if not resume:
                raise UsageError(
                    f"{self.directory} holds an interrupted run; continue it with --resume, or remove that directory"
                )
            for key in identity:
                if before.get(key) != identity[key]:
                    raise UsageError(
                        f"--resume: {key} differs from the start of the run in {self.directory}; use the same, "
                        "or remove that directory and start again"
                    )
        else:
            # Without an identity the directory is left from an interrupted removal.
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(path, json.dumps(identity, indent=1).encode())

    @property
    def teacher(self) -> Path:
        """Path of the teacher's stored answers."""
        return self.directory / TEACHER

    def load(self) -> dict[str, Any] | None:
        """The newest state, with tensors on the CPU; None if there is none yet."""
        import pickle

        import torch

        path = self.directory / STATE
        if not path.exists():
            return None
        try:
            # Memory-mapped: several processes read their shards of it.
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise _damaged(path, error) from None
        return found

    def save(self, content: dict[str, Any]) -> None:
        """Replace the state atomically: after a kill there is the old one or the new one."""
        import torch

        partial = self.directory / f"{STATE}.partial"
        try:
            with _Stream(partial) as stream:
                torch.save(content, cast(IO[bytes], stream))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        os.replace(partial, self.directory / STATE)

    def remove(self) -> None:
        """Remove the state when the checkpoint is done. The rest of an interrupted removal is not a valid state."""
        (self.directory / IDENTITY).unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class _Stream:
    """A file for `torch.save` that raises the original error for a full disk; torch would raise "unexpected pos"."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._error: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self._error = error
            raise

    def flush(self) -> None:
        self._file.flush()

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        try:
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
        if self._error is not None and error is not None:
            raise self._error


def _damaged(path: Path, error: Exception) -> UsageError:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return UsageError(f"{path}: is damaged ({first[:120]}); remove {path.parent} and start again")


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise _damaged(path, error) from None
    return found


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)

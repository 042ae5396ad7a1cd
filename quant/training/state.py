"""What an interrupted training run needs to go on: written whole or not at all, beside the checkpoint to be."""

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
    """Where the state of a run that makes `out` lies."""
    return out.absolute().parent / f".{out.name}.training"


class TrainingState:
    """The directory `.NAME.training` beside `out`; it goes when the checkpoint is done.

    Args:
        identity: what must be the same for a run to be continued: recipe, data, model, teacher.
        resume: continue what is there; without it, something there is an error.

    Raises:
        UsageError: there is an interrupted run and `resume` is not set, or it was another run.
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
        if (refusal := world.told(refusal)) is not None:
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
                        f"--resume: {key} is not what it was when the run in {self.directory} began; give the same, "
                        "or remove that directory and start again"
                    )
        else:
            # Without an identity what lies there is the rest of a removal that was killed: nobody's state.
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(path, json.dumps(identity, indent=1).encode())

    @property
    def teacher(self) -> Path:
        """Where the teacher's answers are kept."""
        return self.directory / TEACHER

    def load(self) -> dict[str, Any] | None:
        """The newest state, tensors on the CPU; None before the first was written."""
        import pickle

        import torch

        path = self.directory / STATE
        if not path.exists():
            return None
        try:
            # Mapped, not read: several processes may take their parts of it.
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise _damaged(path, error) from None
        return found

    def save(self, content: dict[str, Any]) -> None:
        """Replace the state; a kill leaves the old one or the new one."""
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
        """The checkpoint is done; nothing is left to continue. What a kill leaves of it is no state any more."""
        (self.directory / IDENTITY).unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)


class _Stream:
    """A file to `torch.save` into, which tells of a full disk as "unexpected pos": here the file's own error comes."""

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

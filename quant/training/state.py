"""What an interrupted training run needs to go on: written whole or not at all, beside the checkpoint to be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from quant.errors import UsageError

IDENTITY = "identity.json"
STATE = "state.pt"
TEACHER = "teacher.safetensors"


class TrainingState:
    """The directory `.NAME.training` beside `out`; it goes when the checkpoint is done.

    Args:
        identity: what must be the same for a run to be continued: recipe, data, model, teacher.
        resume: continue what is there; without it, something there is an error.

    Raises:
        UsageError: there is an interrupted run and `resume` is not set, or it was another run.
    """

    def __init__(self, out: Path, identity: dict[str, Any], *, resume: bool) -> None:
        self.directory = out.absolute().parent / f".{out.name}.training"
        identity = json.loads(json.dumps(identity))
        path = self.directory / IDENTITY
        if path.exists():
            before = json.loads(path.read_text())
            if not resume:
                raise UsageError(
                    f"{self.directory} holds an interrupted run; continue it with --resume, or remove that directory"
                )
            for key in identity:
                if before.get(key) != identity[key]:
                    raise UsageError(
                        f"--resume: {key} is not what it was when the run in {self.directory} began; give the same, "
                        "or remove that directory and start anew"
                    )
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            _write(path, json.dumps(identity, indent=1).encode())

    @property
    def teacher(self) -> Path:
        """Where the teacher's answers are kept."""
        return self.directory / TEACHER

    def load(self) -> dict[str, Any] | None:
        """The newest state, tensors on the CPU; None before the first was written."""
        import torch

        path = self.directory / STATE
        if not path.exists():
            return None
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return found

    def save(self, content: dict[str, Any]) -> None:
        """Replace the state; a kill leaves the old one or the new one."""
        import torch

        partial = self.directory / f"{STATE}.partial"
        try:
            torch.save(content, partial)
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        os.replace(partial, self.directory / STATE)

    def remove(self) -> None:
        """The checkpoint is done; nothing is left to continue."""
        shutil.rmtree(self.directory, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)

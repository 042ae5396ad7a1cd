"""Reads untrusted files (of a checkpoint or profile): only regular files, up to a maximum size.

Reading a pipe or a device might never end, and a very large file would exhaust memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from annie_eval.errors import UsageError
from annie_eval.text import shortened
from annie_eval.untrusted.limits import MAX_DEPTH, MAX_JSON


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file for reading; yields the file and its size in bytes.

    Raises UsageError, also for read errors.
    """
    shown = shortened(str(path), 300)
    try:
        # Non-blocking, because opening a pipe without a writer would wait forever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{shown}: is not a regular file; copy the file itself there")
            yield file, status.st_size
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror})") from None
    except ValueError:  # for an impossible path
        raise UsageError(f"{shown}: cannot be read (its name holds what no file name can)") from None


def exists(path: Path) -> bool:
    """Whether there is anything of that name, however odd the name is."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether there is a regular file of that name; False for impossible names."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def read_bytes(path: Path, most: int = MAX_JSON) -> bytes:
    """The bytes of a regular file of at most `most` bytes. Raises UsageError."""
    with opened(path) as (file, size):
        data = file.read(most + 1)
    if len(data) > most:
        raise UsageError(f"{path}: has {size} bytes, more than the {most} that are read; copy the file again")
    return data


def json_value(data: bytes | str, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """JSON of at most `MAX_DEPTH` levels. Raises ValueError.

    Args:
        hook: what becomes of each object; see `json.loads`.
    """
    try:
        value = json.loads(data, object_hook=hook)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    text = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:  # UTF-16 and UTF-32 have these bytes, too
        return value
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [each for one in level if isinstance(one, dict | list) for each in _within(one)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _within(one: dict[str, Any] | list[Any]) -> list[Any]:
    return [each for each in (one.values() if isinstance(one, dict) else one) if isinstance(each, dict | list)]


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that must contain an object. Raises UsageError."""
    data = read_bytes(path)
    try:
        value = json_value(data)
    except ValueError as error:
        what = error.msg if isinstance(error, json.JSONDecodeError) else shortened(str(error), 100)
        where = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError(f"{path}: {where}not JSON ({what}); copy the file again") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}: holds {type(value).__name__}, not an object; copy the file again")
    return value


def read_header(path: Path, *, whole: bool = True) -> tuple[dict[str, dict[str, Any]], int]:
    """The header of a safetensors file, tensor name -> `dtype`, `shape`, `data_offsets`; and where the data begin.

    Format: https://huggingface.co/docs/safetensors (eight bytes of little-endian length, then that much JSON).

    Args:
        whole: also check that the data are complete.

    Raises:
        UsageError: not safetensors, truncated, padded, or with a header of more than `MAX_JSON` bytes.
    """
    broken = UsageError(f"{path}: its header is not that of a safetensors file; copy it again")
    with opened(path) as (file, size):
        start = file.read(8)
        if start == b"version ":
            raise UsageError(f"{path}: a Git LFS pointer, not the weights; run `git lfs pull` there")
        length = int.from_bytes(start, "little")
        if size < 8 or length > min(size, MAX_JSON):
            raise UsageError(f"{path}: no safetensors file, or cut off within its header; copy it again")
        data = file.read(length)
    try:
        header = json_value(data)
    except ValueError:
        raise broken from None
    if not isinstance(header, dict):
        raise broken
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if not all(map(_is_tensor, tensors.values())):
        raise broken
    end = max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if whole and 8 + length + end != size:
        raise UsageError(
            f"{path}: cut off or padded ({size} bytes, its header says {8 + length + end}); copy it again"
        )
    return tensors, 8 + length


def _is_tensor(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        return False
    return all(type(one) is int and one >= 0 for one in (*shape, *offsets)) and offsets[0] <= offsets[1]

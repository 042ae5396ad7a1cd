"""Reads untrusted files: only regular files, up to a maximum size and nesting depth."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any

from quant.checkpoint.safetensors_file import BadFile

LARGEST_JSON = 16 << 20
"""Maximum bytes of a config. One that lists its layers has a few hundred thousand."""
LARGEST_COMPANION = 96 << 20
"""Maximum bytes of a tokenizer or of `quant_run.json`."""
DEEPEST = 100
"""Maximum nesting of objects and lists. Functions that walk them later are recursive."""


def opened(path: Path) -> BufferedReader:
    """A regular file, open for reading. Raises BadFile."""
    try:
        # Non-blocking, because opening a pipe without a writer would otherwise wait forever.
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise BadFile(f"cannot be read ({error.strerror})") from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise BadFile("is no regular file")
    return stream


def read_bytes(path: Path, most: int = LARGEST_JSON) -> bytes:
    """The bytes of a regular file. Raises BadFile where it has more than `most`."""
    with opened(path) as stream:
        data = stream.read(most + 1)
        if len(data) > most:
            size = os.fstat(stream.fileno()).st_size
            raise BadFile(f"has {size:,} bytes, and no such file has more than {most:,}")
    return data


def read_json(
    path: Path,
    most: int = LARGEST_JSON,
    *,
    constant: Callable[[str], Any] | None = None,
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """A JSON file. Raises BadFile; for `constant` and `pairs` see `json.loads`."""
    try:
        value = json.loads(read_bytes(path, most), parse_constant=constant, object_pairs_hook=pairs)
    except BadFile:
        raise
    except (ValueError, RecursionError) as error:
        raise BadFile(f"is not readable as JSON ({error})") from None
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [each for one in level for each in _within(one)]
        if not level:
            return value
    raise BadFile(f"is nested more than {DEEPEST} deep")


def _within(one: Any) -> list[Any]:
    """The objects and lists right within an object or a list."""
    parts = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return [each for each in parts if isinstance(each, dict | list)]


def digest(path: Path) -> str:
    """SHA-256 of a regular file of any size. Raises BadFile."""
    with opened(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two regular files have the same bytes; False if one cannot be read."""
    try:
        return one.stat().st_size == other.stat().st_size and digest(one) == digest(other)
    except (BadFile, OSError):
        return False

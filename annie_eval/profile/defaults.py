"""Reads defaults of command-line options from `[tool.annie-eval]` in pyproject.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from annie_eval.errors import UsageError
from annie_eval.untrusted.regular_files import read_bytes

TABLE: Final = "annie-eval"


def read(file: Path) -> dict[str, Any]:
    """The table's values by key; its paths are relative to the file. {} if there is no such table.

    Raises:
        UsageError: not TOML, a key that is unknown, or a value of the wrong type.
    """
    try:
        document = tomllib.loads(read_bytes(file).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: cannot be read as TOML ({error}); correct it") from error
    table = document.get("tool", {}).get(TABLE, {})
    if not isinstance(table, Mapping):
        raise UsageError(f"{file}: tool.{TABLE} must be a table; write [tool.{TABLE}]")
    values = {}
    for key, value in table.items():
        if key not in _KEYS:
            raise UsageError(f"{file}: [tool.{TABLE}] has no key {key!r}; it takes {', '.join(_KEYS)}")
        if "\0" in str(value):
            raise UsageError(f"{file}: [tool.{TABLE}] {key} holds a NUL character; write it without")
        wanted, convert = _KEYS[key]
        converted = convert(value, file.parent)
        if converted is None:
            raise UsageError(f"{file}: [tool.{TABLE}] {key} is {value!r}; it must be {wanted}")
        values[key] = converted
    return values


def find(start: Path) -> dict[str, Any]:
    """The values of the nearest pyproject.toml in a directory or above it; {} if there is none. Raises as `read`."""
    file = next((path for at in (start, *start.parents) if (path := at / "pyproject.toml").is_file()), None)
    return {} if file is None else read(file)


def _text(value: object, _: Path) -> str | None:
    return value if isinstance(value, str) and value else None


def _urls(value: object, _: Path) -> list[str] | None:
    urls = [value] if isinstance(value, str) else value
    good = isinstance(urls, list) and urls and all(isinstance(url, str) and url for url in urls)
    return list(urls) if good and isinstance(urls, list) else None


def _path(value: object, folder: Path) -> Path | None:
    return folder / Path(value).expanduser() if isinstance(value, str) and value else None


def _profile(value: object, folder: Path) -> str | None:
    """A file, if one of that name exists, else the name of a shipped profile."""
    path = _path(value, folder)
    return None if path is None else str(path) if path.is_file() or path.suffix == ".toml" else str(value)


def _count(value: object, _: Path) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


_KEYS: Final[Mapping[str, tuple[str, Callable[[object, Path], Any]]]] = {
    "profile": ("a profile's name or file", _profile),
    "base-url": ("a URL or a list of URLs", _urls),
    "served-model": ("a model's name", _text),
    "run-dir": ("a directory", _path),
    "concurrency": ("a whole number above 0", _count),
    "hardware": ("a name of the hardware table", _text),
    "vllm-python": ("a Python interpreter's path", _path),
}

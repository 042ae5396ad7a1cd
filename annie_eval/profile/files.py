"""Reads profile files (TOML, JSON, JSON Lines) strictly, and reports the place of every mistake."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.mistakes import Mistakes
from annie_eval.profile.schema import joined, quoted
from annie_eval.untrusted.regular_files import read_bytes


class _Broken(ValueError):
    """JSON that Python's `json` accepts but this module refuses."""


def read_toml(path: Path, where: str) -> dict[str, Any]:
    """A TOML file as JSON-like data.

    Args:
        where: beginning of messages, such as `profile annie.toml`.

    Raises:
        UsageError: missing, empty or not UTF-8; a syntax error, with its line; a date, NaN or infinity, which do not
            exist in JSON.
    """
    text = read_text(path, where)
    if not text.strip():
        raise UsageError(f"{where}: is empty; it needs system_prompt, scenarios and [gates.NAME] tables")
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is not valid TOML: {_one_line(error)}") from None
    for field, value in _leaves(data, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{where}: {field} is {value}, but must be a finite number")
        if not isinstance(value, str | int | float | bool):
            raise UsageError(f"{where}: {field} is a date or time, but must be a string; put it in quotes")
    return data


def read_json(path: Path, where: str) -> Any:
    """Read a JSON file. Raises UsageError like `read_toml`, and for duplicate keys."""
    text = read_text(path, where)
    if not text.strip():
        raise UsageError(f"{where}: is empty")
    try:
        return _strict_json(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}:{error.lineno}:{error.colno}: is broken JSON: {error.msg}") from None
    except _Broken as error:
        raise UsageError(f"{where}: {error}") from None


def read_json_lines(path: Path, where: str, mistakes: Mistakes | None = None) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON Lines file with their line numbers, counted from 1. Blank lines are skipped.

    Raises:
        UsageError: missing, empty or not UTF-8; a line that is broken JSON, with line and column, has a duplicate key,
            or is not an object. With `mistakes` these errors are recorded there.
    """
    mistakes = mistakes or Mistakes()
    objects: list[tuple[int, dict[str, Any]]] = []
    # Only a line feed ends a line, because JSON strings may contain U+2028 and similar characters.
    for number, line in enumerate(read_text(path, where).split("\n"), 1):
        if not line.strip():
            continue
        with mistakes.one():
            objects.append((number, _json_object(line, f"{where}:{number}")))
    if not objects and not mistakes.found:
        raise UsageError(f"{where}: is empty; write one scenario per line")
    return objects


def _json_object(line: str, where: str) -> dict[str, Any]:
    try:
        value = _strict_json(line)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{where}:{error.colno}: is broken JSON: {error.msg}; each line must be one complete JSON object"
        ) from None
    except _Broken as error:
        raise UsageError(f"{where}: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{where}: is {quoted(value)}, but each line must be one JSON object")
    return value


def read_text(path: Path, where: str) -> str:
    """The text of a regular UTF-8 file, without a byte order mark. Raises UsageError."""
    try:
        if path.is_dir():
            raise UsageError(f"{where}: is a directory; name a file in it")
        if not path.exists():
            raise UsageError(f"{where}: no such file")
        # Reading a pipe or a device might never end.
        if not path.is_file():
            raise UsageError(f"{where}: is not a regular file")
        raw = read_bytes(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}:{line}: is not UTF-8 (byte {raw[error.start]:#04x}); save it as UTF-8") from None


def _strict_json(text: str) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except (json.JSONDecodeError, _Broken):
        raise
    except RecursionError:
        raise _Broken("is nested too deeply") from None
    except ValueError as error:
        raise _Broken(f"holds a number that cannot be read: {_one_line(error)}") from None
    # json accepts a lone surrogate, but no request can contain it.
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _Broken(r"holds half of a surrogate pair (\ud800 to \udfff); write the character itself") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Broken(f"key {quoted(key)} is given twice in one object; keep one")
            seen.add(key)
    return found


def _no_constant(name: str) -> Any:
    raise _Broken(f"holds {name}, which is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Broken(f"holds {text}, which is too large")
    return value


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, joined(path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _leaves(item, f"{path}[{position}]")
    else:
        yield path, value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

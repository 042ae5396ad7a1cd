"""Reads and writes conversations of a data set: JSON lines of `messages`, `tools`, `chat_template_kwargs` and `meta`.

messages              OpenAI chat messages; `arguments` of a call are JSON text; reasoning is in
                      `reasoning_content`; a reply that is not trained on has `weight` 0 (OpenAI's fine-tuning format)
tools                 the tools that were offered, in OpenAI's format
chat_template_kwargs  {"enable_thinking": true or false}; absent if the switch was not sent
meta                  the origin: kind, thinking (on, off, unset), teacher, seed
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError

Message = dict[str, Any]
Line = dict[str, Any]


def dumps(line: Line) -> str:
    """One line of a data file, without the line break."""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Numbered:
    """A line of a file: its object, or the problem with it."""

    number: int
    line: Line | None
    problem: str = ""


def read_lines(path: Path) -> Iterator[Numbered]:
    """Read all lines of a data file that are not blank.

    Raises:
        UsageError: the file cannot be read, is not UTF-8, is empty, or has no line with a JSON object.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a file of JSON Lines") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{number}: not UTF-8; save the file as UTF-8") from None
    found = [_read(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not found:
        raise UsageError(f"{path}: is empty; write one conversation per line")
    if all(one.line is None for one in found):
        raise UsageError(f"{path}: no line is a JSON object; name a file of JSON Lines")
    return iter(found)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _read(number: int, text: str) -> Numbered:
    try:
        line = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Numbered(number, None, f"not JSON ({error})")
    if not isinstance(line, dict):
        return Numbered(number, None, f"is a JSON {type(line).__name__}, not an object")
    return Numbered(number, line)


def users(messages: Sequence[Message]) -> list[str]:
    """The user messages, in order."""
    return [one["content"] for one in messages if one.get("role") == "user" and isinstance(one.get("content"), str)]


def calls(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Every tool call of a conversation."""
    return [call for one in messages for call in one.get("tool_calls") or []]

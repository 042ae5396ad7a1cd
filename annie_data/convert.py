"""`annie-data convert FILE`: converts published data formats to this project's JSON Lines.

Reads ShareGPT, prompt and completion, Alpaca and OpenAI messages, from JSON Lines, one JSON array, Parquet or a
directory of `datasets`. Each call gets an id and its arguments as text, and each result the id of its call.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from annie_data.conversation import Line, Message
from annie_data.generate import write_lines
from annie_eval.errors import UsageError
from quant import errors as quant_errors
from quant.quantize.data_files import as_messages, rows

_SHAPES = {"conversations": "ShareGPT", "prompt": "prompt and completion", "instruction": "Alpaca"}


def run(arguments: argparse.Namespace) -> int:
    """Convert a file; returns 0 if every row was written.

    Raises:
        UsageError: a file cannot be read or written, --out exists, or a row has an unknown format.
    """
    path: Path = arguments.file
    out: Path = arguments.out
    if out.exists():
        raise UsageError(f"{out} exists already; name another --out, or remove it first")
    try:
        lines, shapes = converted(path)
    except quant_errors.UsageError as error:
        raise UsageError(str(error)) from None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_lines(out, lines)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a file that can be written") from error
    print(f"wrote {out}: {len(lines)} conversations ({', '.join(f'{n} {shape}' for shape, n in shapes.items())})")
    print(f"next: annie-data validate {out}")
    return 0


def converted(path: Path) -> tuple[list[Line], Counter[str]]:
    """Every row as a line of a data file, and the number of rows per format.

    Raises:
        quant.errors.UsageError: the file cannot be read, or a row is broken.
        UsageError: a row has an unknown format, or there is no row.
    """
    lines: list[Line] = []
    shapes: Counter[str] = Counter()
    for number, row in rows(path, "auto"):
        where = f"{path}:{number}"
        line = as_messages(row, where, "auto")
        messages = line.get("messages") if isinstance(line, dict) else None
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise UsageError(
                f"{where}: no conversation; a row has messages, conversations (ShareGPT), prompt and completion, or"
                " instruction and output (Alpaca)"
            )
        shapes[
            _SHAPES.get(next((key for key in _SHAPES if key in row and "messages" not in row), ""), "messages")
        ] += 1
        lines.append({**line, "messages": _with_ids(messages, where)})
    if not lines:
        raise UsageError(f"{path}: is empty; name a file with a conversation")
    return lines, shapes


def _with_ids(messages: Sequence[Message], where: str) -> list[Message]:
    """The messages with an id for every call, arguments as JSON text, and each result assigned to the oldest open
    call.
    """
    open_calls: list[str] = []
    ids = count(1)
    found: list[Message] = []
    for at, message in enumerate(messages):
        one = dict(message)
        if one.get("tool_calls"):
            try:
                one["tool_calls"] = [_call(call, f"call_{next(ids)}") for call in one["tool_calls"]]
            except (TypeError, KeyError, AttributeError):
                raise UsageError(
                    f"{where}: messages.{at}.tool_calls: needs function with name and arguments"
                ) from None
            open_calls += [call["id"] for call in one["tool_calls"]]
        if one.get("role") == "tool":
            if "tool_call_id" not in one and not open_calls:
                raise UsageError(f"{where}: messages.{at}: a tool's result without a call before it; remove the row")
            one.setdefault("tool_call_id", open_calls[0] if open_calls else None)
            open_calls = [each for each in open_calls if each != one["tool_call_id"]]
        found.append(one)
    return found


def _call(call: dict[str, Any], fresh: str) -> dict[str, Any]:
    function = dict(call["function"])
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return {
        **call,
        "id": call.get("id") or fresh,
        "type": "function",
        "function": {**function, "arguments": arguments},
    }

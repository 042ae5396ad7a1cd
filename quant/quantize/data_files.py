"""Reads the rows of a data file: JSON Lines, a JSON array, Parquet, a `datasets` directory.

`rows` returns each row with its number for error messages. `as_messages` converts the usual published formats to
`{"messages": [...], "tools": [...]}`: ShareGPT (`conversations` of `from` and `value`), prompt and completion, Alpaca
(`instruction`, `input`, `output`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from quant.errors import UsageError

Format = Literal["messages", "auto"]
#: Names of roles in ShareGPT and in formats derived from it.
_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant",
    "bard": "assistant", "assistant": "assistant", "model": "assistant", "system": "system", "tool": "tool",
    "observation": "tool", "function_response": "tool", "function_call": "function_call",
}  # fmt: skip
_AUTO = "give --format auto to read it"


def rows(path: Path, shape: Format) -> Iterator[tuple[int, Any]]:
    """Each row with its number from 1: the line in JSON Lines, the row in other files.

    Raises UsageError for a file that cannot be read and, without `auto`, for all formats except JSON Lines.
    """
    if path.is_dir():
        yield from enumerate(_directory(path, shape), 1)
        return
    if path.suffix == ".parquet" or _starts(path, b"PAR1"):
        if shape != "auto":
            raise UsageError(f"{path}: is a parquet file; {_AUTO}")
        yield from enumerate(_parquet(path), 1)
        return
    text = read_text(path)
    if text.lstrip()[:1] == "[" and (path.suffix == ".json" or _is_array(text)):
        if shape != "auto":
            raise UsageError(f"{path}: is one JSON array, not JSON Lines; {_AUTO}")
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: not JSON ({error}); fix the file") from None
        yield from enumerate(content, 1)
        return
    # str.splitlines would also break at U+2028, which JSON strings may hold
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}:{number}: not JSON ({error}); fix or remove the line") from None


def _is_array(text: str) -> bool:
    """Whether a file that begins with a bracket is one array over several lines, and not one array per line."""
    first = text.lstrip().partition("\n")[0].strip()
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return text.rstrip()[-1:] == "]"
    return first.startswith("[{") and text.strip() == first


def read_text(path: Path) -> str:
    """The file's text. Raises UsageError if it does not exist or is not UTF-8."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; --calib and --data need JSON Lines or a .txt file") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from None


def _starts(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except OSError:
        return False


def _parquet(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError(f"{path}: is Parquet, which pyarrow reads: pip install pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except (ArrowException, OSError) as error:
        raise UsageError(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from None


def _directory(path: Path, shape: Format) -> Iterator[Any]:
    saved = (path / "dataset_dict.json").is_file() or (path / "state.json").is_file()
    files = sorted(file for file in path.rglob("*") if file.suffix in {".parquet", ".jsonl"} and file.is_file())
    if not saved and not files:
        raise UsageError(f"{path}: is a directory without a data set; give a file, or one of `datasets`' directories")
    if shape != "auto":
        raise UsageError(f"{path}: is a directory of `datasets`; {_AUTO}")
    if not saved:
        train = [file for file in files if "train" in file.name] or files
        for file in train:
            yield from (row for _, row in rows(file, shape))
        return
    try:
        import datasets
    except ImportError:
        raise UsageError(f"{path}: is a directory of `datasets`, which reads it: pip install datasets") from None
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: datasets cannot load it ({str(error).splitlines()[0]})") from None
    if isinstance(found, datasets.DatasetDict):
        found = found["train"] if "train" in found else next(iter(found.values()))
    yield from found


def as_messages(row: Any, where: str, shape: Format) -> Any:
    """Convert a row of a known format to `messages` or `text`; other rows are returned unchanged.

    Raises UsageError for a known format if `shape` is "messages", and for a malformed row.
    """
    if not isinstance(row, dict) or "messages" in row or isinstance(row.get("text"), str):
        return _plain(row)
    name = next((key for key in ("conversations", "prompt", "instruction") if row.get(key) is not None), None)
    if name is None:
        return row
    if shape != "auto":
        kind = {"conversations": "ShareGPT", "prompt": "prompt and completion", "instruction": "Alpaca"}[name]
        raise UsageError(f"{where}: has neither text nor messages, but {name} ({kind}); {_AUTO}")
    shared = {key: _parsed(row[key]) for key in ("tools", "chat_template_kwargs") if row.get(key)}
    system = [{"role": "system", "content": row["system"]}] if isinstance(row.get("system"), str) else []
    system = [] if system and not system[0]["content"].strip() else system
    make = {"conversations": _sharegpt, "prompt": _prompt, "instruction": _alpaca}[name]
    return {"messages": [*system, *make(row, where)], **shared}


def _plain(row: Any) -> Any:
    """Remove the nulls that Parquet and Arrow add for every key that another row has."""
    if not isinstance(row, dict) or not isinstance(row.get("messages"), list):
        return row
    messages = [
        {key: value for key, value in message.items() if value is not None or key == "content"}
        if isinstance(message, dict)
        else message
        for message in row["messages"]
    ]
    return {**row, "messages": messages, **({"tools": _parsed(row["tools"])} if row.get("tools") else {})}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _sharegpt(row: dict[str, Any], where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    turns = _parsed(row["conversations"])
    for index, turn in enumerate(turns if isinstance(turns, list) else [None]):
        who = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        value = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        role = _ROLES.get(str(who).lower())
        if role is None or not isinstance(value, str):
            raise UsageError(f"{where}: conversations.{index}: needs from (human, gpt, system, …) and value")
        if role == "function_call":
            calls = _parsed(value)
            calls = calls if isinstance(calls, list) else [calls]
            if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
                raise UsageError(
                    f"{where}: conversations.{index}: a function_call must be JSON with name and arguments"
                )
            functions = [{"name": call["name"], "arguments": call.get("arguments", {})} for call in calls]
            made = [{"type": "function", "function": function} for function in functions]
            found.append({"role": "assistant", "content": None, "tool_calls": made})
        else:
            found.append({"role": role, "content": value})
    return found


def _prompt(row: dict[str, Any], where: str) -> list[dict[str, Any]]:
    answer = next((key for key in ("completion", "response", "output", "chosen") if row.get(key) is not None), None)
    if answer is None:
        raise UsageError(f"{where}: has a prompt and no completion; write one")
    found: list[dict[str, Any]] = []
    for value, role in ((row["prompt"], "user"), (row[answer], "assistant")):
        if isinstance(value, str):
            found.append({"role": role, "content": value})
        elif isinstance(value, list) and all(isinstance(message, dict) for message in value):
            found += _plain({"messages": value})["messages"]
        else:
            raise UsageError(
                f"{where}: {'prompt' if role == 'user' else answer} is neither text nor a list of messages"
            )
    return found


def _alpaca(row: dict[str, Any], where: str) -> list[dict[str, Any]]:
    answer = next((key for key in ("output", "response", "completion") if isinstance(row.get(key), str)), None)
    if answer is None or not isinstance(row["instruction"], str):
        raise UsageError(f"{where}: has an instruction and no output; write one")
    more = row.get("input")
    asked = row["instruction"] + (f"\n\n{more}" if isinstance(more, str) and more.strip() else "")
    found: list[dict[str, Any]] = []
    for pair in row.get("history") or []:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise UsageError(f"{where}: history must be pairs of question and answer")
        found += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return [*found, {"role": "user", "content": asked}, {"role": "assistant", "content": row[answer]}]

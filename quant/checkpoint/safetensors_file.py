"""Reads and writes safetensors files: the header, chosen tensors, and copies with renamed or additional tensors.

The format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian header length N, N bytes of JSON
{"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}, then the data. Checking a 10 GB
checkpoint must not map 10 GB, and must not trust the file, so the header is checked here before anything is read.
"""

import json
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes per element of each dtype that a checkpoint may hold.
WIDTH = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip
MAX_HEADER = 100_000_000
_CHUNK = 16 << 20


class BadFile(ValueError):
    """A file that is not safetensors or is damaged; the message says where."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor's header entry: safetensors dtype, shape, byte range in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the data."""
        return self.end - self.begin


@dataclass(frozen=True)
class Header:
    """All tensors of one file, with absolute offsets."""

    path: Path
    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadFile(f"the header names {key} twice")
        found[key] = value
    return found


def read_header(path: Path) -> Header:
    """Read and check the header of `path`. Raises BadFile if the file is damaged, truncated or not safetensors."""
    size = path.stat().st_size
    if size < 8:
        raise BadFile(f"has only {size} bytes, so it is no safetensors file")
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > min(MAX_HEADER, size - 8):
            raise BadFile(
                f"claims a header of {length} bytes, but has {size} bytes in all: cut short, or no safetensors"
            )
        raw = stream.read(length)
    try:
        content = json.loads(raw, object_pairs_hook=_no_duplicates)
    except BadFile:
        raise
    except (ValueError, RecursionError) as error:
        raise BadFile(f"its header is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise BadFile("its header is not a JSON object")
    metadata = content.pop("__metadata__", {})
    start = 8 + length
    tensors = {name: _entry(name, entry, start) for name, entry in content.items()}
    position = start
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if info.begin != position:
            raise BadFile(f"the data of {name} starts at byte {info.begin}, expected {position}: overlap or hole")
        position = info.end
    if position != size:
        word = "cut short" if size < position else "longer than its header says"
        raise BadFile(f"is {word}: {size} bytes, but the header needs {position}")
    return Header(path, tensors, metadata if isinstance(metadata, dict) else {})


def _entry(name: str, entry: Any, start: int) -> TensorInfo:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        integers = all(isinstance(n, int) and n >= 0 for n in (*shape, begin, end))
        fits = integers and end - begin == math.prod(shape) * WIDTH[dtype]
    except (KeyError, TypeError, ValueError):
        raise BadFile(f"the header entry of {name} is broken: {str(entry)[:120]}") from None
    if not fits:
        raise BadFile(
            f"the header entry of {name} contradicts itself: {dtype} {list(shape)} in bytes {begin} to {end}"
        )
    return TensorInfo(dtype, shape, start + begin, start + end)


def e4m3_values() -> NDArray[np.float32]:
    """Value of each of the 256 E4M3 codes (float8_e4m3fn: no infinity, NaN at 0x7F and 0xFF)."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    value = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    value[(code & 127) == 127] = np.nan
    return np.where(code & 128, -value, value).astype(np.float32)


def read_raw(path: Path, info: TensorInfo, limit: int | None = None) -> bytes:
    """The first `limit` bytes (None: all) of a tensor."""
    with path.open("rb") as stream:
        stream.seek(info.begin)
        return stream.read(info.bytes if limit is None else min(limit, info.bytes))


def to_float(raw: bytes, dtype: str) -> NDArray[np.float32]:
    """Decode bytes of a floating dtype to float32, flat. Raises BadFile for other dtypes."""
    if dtype == "F32":
        return np.frombuffer(raw, "<f4").astype(np.float32)
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return np.frombuffer(raw, "<f2").astype(np.float32)
    if dtype == "F64":
        return np.frombuffer(raw, "<f8").astype(np.float32)
    if dtype == "F8_E4M3":
        return e4m3_values()[np.frombuffer(raw, np.uint8)]
    raise BadFile(f"has dtype {dtype}, which is no scale's")


def rewrite(
    source: Path, target: Path, rename: Callable[[str], str], extra: Mapping[str, TensorInfo] | None = None
) -> None:
    """Copy `source` to `target` with new tensor names, and add `extra` tensors whose bytes are in `source`.

    Copies in pieces, so that memory does not grow with the file.
    """
    header = read_header(source)
    entries = [(rename(name), info) for name, info in header.tensors.items()] + list((extra or {}).items())
    # wide dtypes first, so that every tensor is aligned
    entries.sort(key=lambda entry: (-WIDTH[entry[1].dtype], entry[0]))
    content: dict[str, Any] = {"__metadata__": header.metadata or {"format": "pt"}}
    position = 0
    for name, info in entries:
        if name in content:
            raise BadFile(f"two tensors would be called {name}")
        content[name] = {"dtype": info.dtype, "shape": info.shape, "data_offsets": [position, position + info.bytes]}
        position += info.bytes
    raw = json.dumps(content, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.write(struct.pack("<Q", len(raw)) + raw)
        for _, info in entries:
            reader.seek(info.begin)
            left = info.bytes
            while left:
                chunk = reader.read(min(left, _CHUNK))
                if not chunk:
                    raise BadFile("ended before its last tensor")
                writer.write(chunk)
                left -= len(chunk)

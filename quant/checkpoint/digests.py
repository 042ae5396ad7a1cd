"""Digests of tensors and of JSON files. Large tensors are sampled; the layout of JSON does not matter."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from quant.checkpoint.safetensors_file import BadFile
from quant.checkpoint.untrusted import LARGEST_COMPANION, digest, read_json
from quant.checkpoint.view import Tensor, view

_WHOLE = 1 << 20
_WINDOW = 1 << 16


def tensor_digest(tensor: Tensor, *, complete: bool = False) -> str:
    """Sixteen hexadecimal digits over dtype, shape and data; of tensors over 1 MB only start, middle and end.

    With `complete` all of the data is read, whatever its size.
    """
    digest = hashlib.sha256(f"{tensor.info.dtype}{list(tensor.info.shape)}".encode())
    size = tensor.info.bytes
    with tensor.path.open("rb") as stream:
        if complete or size <= _WHOLE:
            stream.seek(tensor.info.begin)
            digest.update(stream.read(size))
        else:
            for start in (0, size // 2, size - _WINDOW):
                stream.seek(tensor.info.begin + start)
                digest.update(stream.read(_WINDOW))
    return digest.hexdigest()[:16]


def describe_tensors(directory: Path) -> dict[str, str]:
    """Digest of every tensor of a checkpoint, for the provenance. Block scales are read completely: they are small."""
    found, _ = view(directory)
    return {name: tensor_digest(tensor, complete=is_scale(name)) for name, tensor in found.tensors.items()}


def is_scale(name: str) -> bool:
    """Whether a tensor's name is that of block scales."""
    return name.endswith(".weight_scale")


def json_digest(path: Path) -> str:
    """SHA-256 of the content of a JSON file, whatever its layout; of the bytes if it is not JSON. Raises BadFile."""
    try:
        content = read_json(path, LARGEST_COMPANION)
    except BadFile:
        return digest(path)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

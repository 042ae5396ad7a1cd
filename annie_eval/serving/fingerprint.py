"""Computes the fingerprint of a target, which must be equal for two runs to be comparable."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annie_eval.serving.checkpoint import INDEX, Checkpoint
from annie_eval.serving.native import flag_name
from annie_eval.untrusted.limits import MAX_JSON
from annie_eval.untrusted.regular_files import is_file, opened, read_bytes, read_object

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

_BLOCK = 64 * 1024  # bytes
_BLOCKS = 32  # number of blocks read of every weight file
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "merges.txt", "tokenizer_config.json")
_KERNEL = re.compile(r"Using (\w*Kernel\w*) for (\w[\w .-]*\w)")
_ATTENTION = re.compile(r"Using (\w+) attention backend")


def of_files(checkpoint: Checkpoint, arguments: Sequence[str]) -> dict[str, Any]:
    """Hashes of a checkpoint's files, hexadecimal SHA-256; None for a missing file.

    `weights` covers every header, every file size and 32 blocks of 64 KiB spread evenly over each file: this takes
    milliseconds, and any training changes some of these blocks.
    """
    path = checkpoint.path
    return {
        "config": _file(path / "config.json"),
        "weights": _weights(checkpoint),
        "chat_template": _template(path, arguments),
        "tokenizer": _files(path, _TOKENIZER),
        "generation_config": _file(path / "generation_config.json"),
        "quantization": checkpoint.algorithm,
        "quantized_layers": _layers(checkpoint.quantization),
    }


def written(directory: Path) -> list[list[Any]]:
    """[name, bytes, mtime and ctime in ns] of each weight file of a directory."""
    files = sorted(directory.glob("*.safetensors"))
    return [[file.name, (now := file.stat()).st_size, now.st_mtime_ns, now.st_ctime_ns] for file in files]


def of_profile(profile: Profile) -> dict[str, Any]:
    """The part that the profile sets: parsers, template variables, sampling."""
    serving = profile.serving
    return {
        "profile": profile.name,
        "profile_digest": profile.digest,
        "tool_parser": serving.tool_parser,
        "reasoning_parser": serving.reasoning_parser,
        "chat_template_kwargs": dict(serving.chat_template_kwargs),
        "max_model_len": serving.max_model_len,
        "sampling": json.loads(json.dumps(asdict(profile.sampling), default=dict)),
    }


def of_log(log: str) -> dict[str, Any]:
    """vLLM's kernels from its log: `kernels` as `name for what`, and the attention backend."""
    kernels = sorted({f"{name} for {what}" for name, what in _KERNEL.findall(log)})
    backends = sorted(set(_ATTENTION.findall(log)))
    return {"kernels": kernels, "attention_backend": ", ".join(backends) or None}


def stable_arguments(arguments: Sequence[str]) -> list[str]:
    """Server arguments without those that differ between all runs."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if argument.startswith("-"):
            skip = flag_name(argument) in ("served-model-name", "port", "host", "model")
        if not skip:
            kept.append(argument)
    return kept


def _file(path: Path) -> str | None:
    return hashlib.sha256(read_bytes(path)).hexdigest() if is_file(path) else None


def _files(path: Path, names: Sequence[str]) -> str | None:
    found = [f"{name} {_file(path / name)}" for name in names if (path / name).is_file()]
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else None


def _weights(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256()
    index = _file(checkpoint.path / INDEX)
    digest.update(f"{index}\n".encode())
    for file in checkpoint.weights:
        with opened(file) as (stream, size):
            digest.update(f"{file.name} {size}\n".encode())
            header = min(int.from_bytes(stream.read(8), "little"), MAX_JSON)
            digest.update(stream.read(header))
            start, room = 8 + header, max(0, size - 8 - header - _BLOCK)
            for block in range(_BLOCKS if room else 1):
                stream.seek(start + room * block // max(1, _BLOCKS - 1))
                digest.update(stream.read(_BLOCK))
    return digest.hexdigest()


def _template(path: Path, arguments: Sequence[str]) -> str | None:
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == "--chat-template":
            given = value if equals else next(iter(arguments[index + 1 :]), "")
            # vLLM takes a file or the template itself.
            return _file(Path(given)) or hashlib.sha256(given.encode()).hexdigest()
    # The hash is over the text, not the file, because exporters store it in different files.
    if (path / "chat_template.jinja").is_file():
        return _file(path / "chat_template.jinja")
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = read_object(path / name).get("chat_template") if (path / name).is_file() else None
        if template is not None:
            text = template if isinstance(template, str) else json.dumps(template)
            return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return None


def _layers(quantization: Mapping[str, Any]) -> dict[str, Any]:
    """Summary of the quantised layers: counts by algorithm, if layers are listed, and excluded layers."""
    listed = quantization.get("quantized_layers")
    layers: dict[str, Any] = {}
    if isinstance(listed, dict):
        for entry in listed.values():
            name = str(entry.get("quant_algo")) if isinstance(entry, dict) else str(entry)
            layers[name] = layers.get(name, 0) + 1
    for key in ("ignore", "exclude_modules", "modules_to_not_convert"):
        if isinstance(quantization.get(key), list):
            layers["excluded"] = sorted(str(name) for name in quantization[key])
    for key in ("kv_cache_quant_algo", "kv_cache_scheme", "group_size"):
        if quantization.get(key) is not None:
            layers[key] = quantization[key]
    return layers

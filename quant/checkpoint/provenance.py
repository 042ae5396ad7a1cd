"""`quant_run.json`, the provenance of a checkpoint: how it was made, and digests of its files.

One JSON object in the checkpoint directory:

    schema      1
    kind        "ptq", "qat", "export", "default-model", …
    recipe      the complete recipe, with all settings applied
    data        {path: {"bytes", "sha256"}} of every data file read
    source      {"path", "files"}: the checkpoint it was made from
    versions    of Python and of the libraries used
    device      where it ran
    seconds     per phase
    peak_bytes  {"host", "device"}: peak memory
    quality     KL divergence from the reference and top-1 agreement, before and after
    files       {name: {"bytes", "sha256", and of JSON "json_sha256"}} of every other file
    tensors     {name: digest}

`files` and `tensors` make a half-copied or edited directory visible: `preflight` compares them.
"""

import hashlib
import json
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from quant.checkpoint.atomic import INCOMPLETE, REFUSED
from quant.checkpoint.digests import describe_tensors, json_digest
from quant.checkpoint.safetensors_file import BadFile
from quant.checkpoint.untrusted import LARGEST_COMPANION, read_json
from quant.errors import UsageError

PROVENANCE = "quant_run.json"
PRINTED = 1.0  # seconds; the end of a shorter phase is not printed
LIBRARIES = ("torch", "transformers", "nvidia-modelopt", "peft", "accelerate", "safetensors", "gguf")


_ahead: dict[tuple[str, int, int], Future[str]] = {}
"""Digests that are being computed in the background, by path, size and modification time."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal."""
    found = _ahead.get(_key(path))
    return _digest(path) if found is None else found.result()


def digest_ahead(paths: Iterable[Path]) -> None:
    """Start to flush complete files to disk and to compute their SHA-256 in the background."""
    pool = ThreadPoolExecutor(4)
    for path in paths:
        _ahead[_key(path)] = pool.submit(_digest, path, flush=True)
    pool.shutdown(wait=False)


def _key(path: Path) -> tuple[str, int, int]:
    found = path.stat()
    return str(path.absolute()), found.st_size, found.st_mtime_ns


def _digest(path: Path, *, flush: bool = False) -> str:
    with path.open("rb") as stream:
        if flush:
            os.fsync(stream.fileno())
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_file(path: Path) -> dict[str, Any]:
    """Size in bytes and SHA-256 of one file; for JSON also the SHA-256 of its content, independent of layout."""
    found: dict[str, Any] = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
    if path.suffix == ".json":
        found["json_sha256"] = json_digest(path)
    return found


def describe_data(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a data file, or of all files of a directory together."""
    if not path.is_dir():
        return describe_file(path)
    files = describe_files(path)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return {"bytes": sum(entry["bytes"] for entry in files.values()), "sha256": digest}


def describe_files(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file in a checkpoint except the provenance, by relative name."""
    return {
        str(path.relative_to(directory)): describe_file(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in {PROVENANCE, INCOMPLETE, REFUSED}
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries in LIBRARIES that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_host_bytes() -> int:
    """Peak resident memory of this process so far, in bytes."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


@dataclass
class Provenance:
    """The record of one run, filled while it runs."""

    kind: str
    record: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, does: str = "") -> Iterator[None]:
        """Time a phase, and print what it does and at its end how long it took; phases of the same name add up.

        On a terminal the second line replaces the first. Without `does` nothing is printed at the beginning: a phase
        that checks input ends in one line if it refuses it.
        """
        terminal, first = sys.stderr.isatty(), os.environ.get("RANK", "0") == "0"
        width = shutil.get_terminal_size().columns - 1 if terminal else None
        begun = f"{name}: {does}"[:width] if does else ""

        def say(line: str, end: str = "\n") -> None:
            if first:
                print(line, end=end, file=sys.stderr, flush=True)

        if begun:
            say(begun, end="" if terminal else "\n")
        start, whole = time.perf_counter(), False
        try:
            yield
            whole = True
        finally:
            took = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + took
            if terminal and begun and not whole:
                say("")  # the error stands on a line of its own
        ended = f"{name}: {took:.0f} s" if took >= PRINTED else ""
        if terminal:
            say(f"\r{ended:{len(begun)}}", end="\n" if ended else "\r")
        elif ended:
            say(ended)

    def write(self, directory: Path) -> None:
        """Write `quant_run.json` as the last file of a finished checkpoint."""
        peak = {"host": peak_host_bytes()}
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            peak["device"] = torch.cuda.max_memory_allocated()
        content = {
            "schema": 1,
            "kind": self.kind,
            "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **self.record,
            "versions": versions(),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "peak_bytes": peak,
            "files": describe_files(directory),
            "tensors": describe_tensors(directory),
        }
        (directory / PROVENANCE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_provenance(directory: Path) -> dict[str, Any] | None:
    """The provenance of a checkpoint, or None if it has none. Raises UsageError if the file is not JSON."""
    path = directory / PROVENANCE
    if not path.exists():
        return None
    try:
        content = read_json(path, LARGEST_COMPANION)
    except BadFile as error:
        raise UsageError(f"{path} {error}; make the checkpoint again or remove the file") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a JSON object; make the checkpoint again or remove the file")
    return content


def changed_files(directory: Path, provenance: dict[str, Any], *, largest: int | None = None) -> list[str]:
    """Differences from the provenance's `files`: one sentence per file; an empty list if there is none.

    Sizes are always compared, contents only for files of up to `largest` bytes (None: for all).
    """
    wrong = []
    for name, expected in (provenance.get("files") or {}).items():
        path = directory / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif (size := path.stat().st_size) != expected["bytes"]:
            wrong.append(f"{name} has {size} bytes, but had {expected['bytes']} when it was written")
        elif (largest is None or size <= largest) and file_digest(path) != expected["sha256"]:
            wrong.append(f"{name} has other content than when it was written")
    return wrong

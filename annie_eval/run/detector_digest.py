"""Computes a digest of the judging code. A run stores it, so that only runs judged by the same code are compared."""

from __future__ import annotations

import hashlib
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("detectors/**/*", "wire/**/*.py", "text.py", "run/judge.py")


def digest(root: Path = _ROOT, patterns: tuple[str, ...] = _CODE) -> str:
    """SHA-256 in hex of the files with judging code, by their paths below `root`.

    Raises:
        FileNotFoundError: a pattern matches no file, so judging code would be missing in the digest.
    """
    found = hashlib.sha256()
    for pattern in patterns:
        files = [path for path in sorted(root.glob(pattern)) if path.is_file() and path.suffix != ".pyc"]
        if not files:
            raise FileNotFoundError(f"{root}: no file matches {pattern!r}; name the files that judge")
        for path in files:
            found.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return found.hexdigest()

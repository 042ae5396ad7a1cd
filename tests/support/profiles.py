"""Makes profiles for tests from shipped ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

from annie_eval.profile.load import load


def text_of(name: str) -> str:
    """The TOML text of a shipped profile with absolute paths of its files, so that it can be put anywhere."""
    path: Path = load(name).path
    text = path.read_text()
    for file in re.findall(r'"([^"]+\.(?:jsonl|json))"', text):
        text = text.replace(f'"{file}"', json.dumps(str((path.parent / file).resolve())))
    return text

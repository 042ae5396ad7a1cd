"""Profiles of one's own, made from shipped ones."""

from __future__ import annotations

import json
import re
from pathlib import Path

from annie_eval.profile.load import load


def text_of(name: str) -> str:
    """The TOML text of a shipped profile; files that it names by their whole path, so that it may stand anywhere."""
    path: Path = load(name).path
    text = path.read_text()
    for file in re.findall(r'"([^"]+\.(?:jsonl|json))"', text):
        text = text.replace(f'"{file}"', json.dumps(str((path.parent / file).resolve())))
    return text

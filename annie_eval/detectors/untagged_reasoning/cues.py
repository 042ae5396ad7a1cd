"""Reads the cues of untagged reasoning from cues.toml: the patterns, and where each is searched."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Where = Literal["opening", "start", "inside"]


@dataclass(frozen=True, slots=True)
class Cue:
    """One cue; cues.toml documents its fields. `pattern` is one regular expression, `language` that of its words.

    Cues of other languages than English share their names, and so their weights.
    """

    name: str
    shows: str
    where: Where
    hints: tuple[str, ...]
    pattern: str
    language: str = "en"
    also: tuple[str, ...] = ()


_STORED: Mapping[str, Any] = tomllib.loads(Path(__file__).with_name("cues.toml").read_text(encoding="utf-8"))
_PART = re.compile(r"\{([a-z_]+)\}")

LEAD_INS = rf"(?:{'|'.join(_STORED['lead_ins'])})[\s,.…!:，。、—-]{{1,5}}"


def _whole(pattern: str) -> str:
    """The pattern with its parts put in; parts may have parts."""
    while match := _PART.search(pattern):
        pattern = pattern[: match.start()] + _STORED["parts"][match.group(1)] + pattern[match.end() :]
    return pattern


ENGLISH: tuple[Cue, ...] = tuple(
    Cue(
        name=row["name"],
        shows=row["shows"],
        where=row["where"],
        hints=tuple(row.get("hints", ())),
        pattern=_whole("|".join(row["any"])),
        also=tuple(row.get("also", ())),
    )
    for row in _STORED["cue"]
)

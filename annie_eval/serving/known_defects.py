"""Known defects of vLLM (known_defects.toml) that a server may have, by its version, arguments and model."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from annie_eval.serving.native import argument_groups, flag_name

_FILE = Path(__file__).with_name("known_defects.toml")


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect; known_defects.toml says what each field is."""

    url: str
    topics: tuple[str, ...]
    since: str
    seen: str
    effect: str
    way_round: str
    fixed: str | None = None
    arguments: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    hybrid: bool = False
    quantized: str | None = None
    gpu: bool = False

    def __str__(self) -> str:
        return f"{self.effect}; {self.way_round} ({self.url}, reported for {self.since} to {self.seen})"


@cache
def defects() -> tuple[Defect, ...]:
    """All of the file."""
    rows: list[dict[str, Any]] = tomllib.loads(_FILE.read_text("utf-8"))["defect"]
    for row in rows:
        row.update({name: tuple(value) for name, value in row.items() if isinstance(value, list)})
    return tuple(Defect(**row) for row in rows)


def matching(
    version: str | None, arguments: Sequence[str], config: Mapping[str, Any], algorithm: str | None, *, cpu: bool
) -> tuple[Defect, ...]:
    """The defects that this server may have; none where its version is not known.

    Args:
        version: of vLLM, such as `0.32.0`.
        arguments: of the server.
        config: config.json of the model.
        algorithm: of its quantisation.
    """
    running = _numbers(version or "")
    if not running:
        return ()
    given: dict[str, str] = {}
    for group in argument_groups(arguments):
        flag, _, value = group[0].partition("=")
        name = flag_name(flag)
        given[name] = "off" if flag.startswith("--no-") else value or " ".join(group[1:])
    return tuple(
        one
        for one in defects()
        if running >= _numbers(one.since)
        and (one.fixed is None or running < _numbers(one.fixed))
        and all(_is_given(each, given) for each in one.arguments)
        and not any(_is_given(each, given) for each in one.without)
        and (not one.hybrid or is_hybrid(config))
        and (one.quantized is None or (algorithm or "").upper().startswith(one.quantized))
        and not (one.gpu and cpu)
    )


def is_hybrid(config: Mapping[str, Any]) -> bool:
    """Whether a model has recurrent layers beside attention (Qwen3-Next, Qwen3.5, Mamba hybrids)."""
    text = config.get("text_config", config)
    kinds = text.get("layer_types") if isinstance(text, Mapping) else None
    return isinstance(kinds, list) and any(kind in ("linear_attention", "mamba") for kind in kinds)


def _is_given(wanted: str, given: Mapping[str, str]) -> bool:
    flag, _, values = wanted.partition("=")
    found = given.get(flag_name(flag))
    return found is not None and found != "off" and (not values or found in values.split("|"))


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(each) for each in match.group().split(".")) if match else ()

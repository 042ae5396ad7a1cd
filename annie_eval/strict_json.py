"""JSON as RFC 8259 has it: no NaN, no key twice in one object."""

from __future__ import annotations

import json
from typing import Any


def strict_json(text: str) -> Any:
    """JSON as RFC 8259 has it. Raises ValueError on anything else, NaN and duplicate keys included."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, each in pairs:
        if key in value:
            raise ValueError(f"key {key!a} twice in one object")
        value[key] = each
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")

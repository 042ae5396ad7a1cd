"""Parses JSON strictly by RFC 8259 (no NaN, no duplicate keys), and tells which values are counts."""

from __future__ import annotations

import json
from typing import Any, TypeGuard

from annie_eval.untrusted.limits import MAX_COUNT


def strict_json(text: str) -> Any:
    """Parse JSON by RFC 8259. Raises ValueError for anything else, including NaN and duplicate keys."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def is_count(value: Any) -> TypeGuard[int]:
    """Whether a JSON value is a whole number from 0 to `limits.MAX_COUNT`; `true` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key!a} twice in one object")
            seen.add(key)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)

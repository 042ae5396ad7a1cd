"""Kinds of tests that run only when `-m` asks for them: they cost time, or say something else than the gates do."""

from __future__ import annotations

import re
from typing import Final

PROBE: Final = "probe"
SNAPSHOT: Final = "snapshot"
ON_DEMAND: Final = (PROBE, SNAPSHOT)


def asks_for(expression: str, mark: str) -> bool:
    """Whether a marker expression, as `-m` takes it, names a mark and selects tests that have it and no other.

    `probe` and `probe or gate` ask for probes; `not slow`, `not probe` and "" do not.
    """
    if not re.search(rf"\b{mark}\b", expression):
        return False
    from _pytest.mark.expression import Expression

    def matches(name: str, /, **arguments: object) -> bool:
        return name == mark

    try:
        return Expression.compile(expression).evaluate(matches)
    except SyntaxError:
        return False  # pytest itself says what is wrong with it

"""Loads probes and snapshots, which run only if `-m` selects them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from annie_eval.errors import UsageError

if TYPE_CHECKING:
    import pytest

PROBE: Final = "probe"
SNAPSHOT: Final = "snapshot"
ON_DEMAND: Final = (PROBE, SNAPSHOT)
# The library that they need, and the plugin that runs them.
_NEEDS: Mapping[str, tuple[str, str]] = {
    PROBE: ("hypothesis", "annie_eval.plugin.probes"),
    SNAPSHOT: ("syrupy", "annie_eval.plugin.snapshots"),
}


def asks_for(expression: str, mark: str) -> bool:
    """Whether a marker expression, as `-m` takes it, names a mark and selects tests that have it and no other.

    `probe` and `probe or gate` select probes; `not slow`, `not probe` and "" do not.
    """
    if not re.search(rf"\b{mark}\b", expression):
        return False
    from _pytest.mark.expression import Expression

    def matches(name: str, /, **arguments: object) -> bool:
        return name == mark

    try:
        return Expression.compile(expression).evaluate(matches)
    except SyntaxError:
        return False  # pytest reports what is wrong with it


def wanted(config: pytest.Config) -> list[str]:
    """The marks of probes and snapshots that this session's `-m` selects.

    Raises:
        UsageError: a library that is needed is not installed.
    """
    found = [mark for mark in ON_DEMAND if asks_for(config.option.markexpr, mark)]
    if found:
        from importlib.util import find_spec

        for mark in found:
            library = _NEEDS[mark][0]
            if find_spec(library) is None:
                raise UsageError(f"-m {mark}: needs {library}, which is not installed; pip install {library}")
    return found


def load(config: pytest.Config, marks: list[str]) -> None:
    """Load the plugins that run them."""
    for mark in marks:
        config.pluginmanager.import_plugin(_NEEDS[mark][1])


def ignores(config: pytest.Config, file: Path, tests: Path) -> bool:
    """Whether a file contains probes or snapshots that are not selected."""
    mark = file.stem.removeprefix("test_").removesuffix("s")
    if mark not in ON_DEMAND or file.parent != tests:
        return False
    return not asks_for(config.option.markexpr, mark)

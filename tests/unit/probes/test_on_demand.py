"""Probes and snapshots run only if a marker expression selects them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from annie_eval.errors import UsageError
from annie_eval.plugin import on_demand


@pytest.mark.parametrize(
    ("expression", "asks"),
    [
        ("probe", True),
        ("probe or gate", True),
        ("gate or (probe and not slow)", True),
        ('gate(name="x") or probe', True),
        ("", False),
        ("not slow", False),
        ("not probe", False),
        ("probe and gate", False),
        ("probes", False),
        ("probe and", False),
        ("snapshot", False),
    ],
)
def test_an_expression_asks_for_what_it_would_select(expression: str, asks: bool) -> None:
    assert on_demand.asks_for(expression, on_demand.PROBE) is asks


def config(expression: str) -> Any:
    return SimpleNamespace(option=SimpleNamespace(markexpr=expression))


def test_a_file_is_ignored_unless_it_is_asked_for() -> None:
    tests = Path("/p/tests/behavior")
    ours = tests / "test_probes.py"
    assert not on_demand.ignores(config("probe"), ours, tests)
    assert on_demand.ignores(config("snapshot"), ours, tests)
    assert not on_demand.ignores(config(""), tests / "test_brevity.py", tests)
    assert not on_demand.ignores(config(""), Path("/elsewhere/test_probes.py"), tests)


def test_a_missing_library_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^-m snapshot: needs syrupy, which is not installed; pip install syrupy$"):
        on_demand.wanted(cast("pytest.Config", config("snapshot")))
    assert on_demand.wanted(cast("pytest.Config", config("not snapshot"))) == []

"""Rows of `annie-eval matrix`: the samples of one scenario count as one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.cli import matrix


@pytest.mark.parametrize(("streamed", "better", "p"), [(False, 4, 1 / 16), (True, 8, 1 / 16)])
def test_streamed_twins_count_once(monkeypatch: pytest.MonkeyPatch, streamed: bool, better: int, p: float) -> None:
    ways = ("stream", "unstreamed") if streamed else ("unstreamed",)
    keys = [f"scenario-{number}.{way}.off" for number in range(4) for way in ways]
    found = {"own": dict.fromkeys(keys, False), "firm": dict.fromkeys(keys, True)}
    monkeypatch.setattr(matrix, "_outcomes", found.__getitem__)
    verdicts: dict[str, Any] = {name: SimpleNamespace(verdict="FAIL", gates=(), run_dir=name) for name in found}
    own, firm = matrix.prompt_results(verdicts)
    assert own.p is None
    assert (firm.better, firm.worse, firm.p) == (better, 0, pytest.approx(p))

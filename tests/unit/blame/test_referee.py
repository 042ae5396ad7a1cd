"""What the referee makes of log-probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from annie_eval.blame.referee import UNLIKELY, ask, opinion

SOUND, ODD = [-0.1, -3.0, -0.01], [-0.1, UNLIKELY - 1, -0.01]


@pytest.mark.parametrize(
    ("model", "cleared"),
    [
        ([SOUND] * 10, "server"),
        ([SOUND] * 9 + [ODD], "server"),
        ([SOUND] * 5 + [ODD] * 5, None),
        ([SOUND] * 4 + [ODD] * 6, "weights"),
        ([ODD] * 10, "weights"),
    ],
)
def test_most_answers_decide(model: list[list[float]], cleared: str | None) -> None:
    found = opinion([{"id": str(n), "model": row, "reference": ODD} for n, row in enumerate(model)])
    assert found.cleared == cleared
    odd = sum(row is ODD for row in model)
    assert f"in {odd} of 10 answers that missed (reference: 10)" in found.words


def test_sampled_answers_and_answers_without_ids_get_no_opinion(tmp_path: Path) -> None:
    assert ask([], tmp_path, tmp_path, tmp_path, 0.7).cleared is None
    assert "no token ids" in ask([], tmp_path, tmp_path, tmp_path, 0.0).words

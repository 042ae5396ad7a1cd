"""Quantising must not cost what the model knows, or how it reasons."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("factual")
def test_facts_are_right(judged: Judged) -> None:
    """The answer states the fact; naming it only to deny it does not count."""
    assert not judged.findings


@pytest.mark.gate("reasoning")
def test_small_reasoning_problems_are_solved(judged: Judged) -> None:
    """The number or word that is finally stated is the right one."""
    assert not judged.findings

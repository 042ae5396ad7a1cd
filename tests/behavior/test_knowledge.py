"""Gates `factual` and `reasoning`: quantising must not damage knowledge or reasoning."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("factual")
def test_facts_are_right(judged: Judged) -> None:
    """The answer states the fact; mentioning it in a negation does not count."""
    assert not judged.findings


@pytest.mark.gate("reasoning")
def test_small_reasoning_problems_are_solved(judged: Judged) -> None:
    """The final number or word of the answer is correct."""
    assert not judged.findings

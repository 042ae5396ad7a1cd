"""Spoken answers are short, and they end."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("brevity")
def test_answers_are_one_to_three_finished_sentences(judged: Judged) -> None:
    """Neither silence nor a lecture, neither cut off nor caught in a loop."""
    assert not judged.findings

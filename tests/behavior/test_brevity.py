"""Gate `brevity`: spoken answers are short and complete."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("brevity")
def test_answers_are_one_to_three_finished_sentences(judged: Judged) -> None:
    """Not empty, not too long, not cut off, and without loops."""
    assert not judged.findings

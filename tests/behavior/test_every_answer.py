"""Gate `every_answer`: no answer of the run, whatever its scenario, leaks thinking or has broken text."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("every_answer")
def test_no_answer_leaks_or_breaks(judged: Judged) -> None:
    """No thinking, tag or special token in speech or in a call, and no loops. By default no miss is allowed.

    Also no call written as text, no markdown and no empty answer, unless another gate judges the sample for that.
    """
    assert not judged.findings

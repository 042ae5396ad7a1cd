"""No answer of the run leaks thinking or breaks off, whichever gate its scenario belongs to."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("every_answer")
def test_no_answer_leaks_or_breaks(judged: Judged) -> None:
    """No thinking, tag or special token in speech or in a call, and no text that runs in circles: none is tolerated.

    Nor a call written as text, markdown or silence, except where another gate judges just that, with its tolerance.
    """
    assert not judged.findings

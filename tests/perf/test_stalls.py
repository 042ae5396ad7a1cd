"""Gate `stalls`: no gap between two tokens is long enough to interrupt speech."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("stalls")
def test_an_answer_does_not_stall_between_tokens(timing: TimingResult) -> None:
    """The 95th percentile of the gaps within an answer, and the share of answers with an audible gap."""
    assert timing.verdict == "PASS", timing.summary

"""A short question is answered before the silence is noticed."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_short")
def test_the_first_token_of_a_short_answer_comes_in_time(timing: TimingResult) -> None:
    """Median TTFT of a cold, short question; 120 ms at most on the box that the study was made for."""
    assert timing.verdict == "PASS", timing.summary

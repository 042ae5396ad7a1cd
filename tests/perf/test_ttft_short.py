"""Gate `ttft_short`: the answer to a short question starts quickly."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_short")
def test_the_first_token_of_a_short_answer_comes_in_time(timing: TimingResult) -> None:
    """Median TTFT of a cold, short question; on a DGX Spark at most 120 ms."""
    assert timing.verdict == "PASS", timing.summary

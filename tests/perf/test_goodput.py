"""Several people can talk to it at once."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("goodput")
def test_concurrent_requests_keep_both_limits(timing: TimingResult) -> None:
    """Goodput: the share of requests, of several at once, that are within the TTFT and the decode limit."""
    assert timing.verdict == "PASS", timing.summary

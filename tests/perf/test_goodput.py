"""Gate `goodput`: with several requests at once, most are within the latency limits."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("goodput")
def test_concurrent_requests_keep_both_limits(timing: TimingResult) -> None:
    """Goodput: the share of concurrent requests that are within the TTFT limit and the decode limit."""
    assert timing.verdict == "PASS", timing.summary

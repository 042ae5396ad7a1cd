"""Gate `ttft_warm`: with a cached prompt, the TTFT hardly depends on the length of the context."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_warm")
def test_warm_ttft_is_the_same_at_every_context(timing: TimingResult) -> None:
    """Slope over the context lengths, and ratio of longest to shortest, are both within inaudible limits."""
    assert timing.verdict == "PASS", timing.summary

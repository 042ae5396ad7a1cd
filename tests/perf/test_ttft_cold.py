"""Gate `ttft_cold`: the TTFT of prompts that are not cached grows linearly with their length, within a limit."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_cold")
def test_cold_ttft_grows_linearly_with_the_prompt_and_within_budget(timing: TimingResult) -> None:
    """Milliseconds per 1000 prompt tokens within the limit; the quadratic share at the longest prompt within its
    limits.
    """
    assert timing.verdict == "PASS", timing.summary

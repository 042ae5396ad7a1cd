"""The TTFT of a long prompt that the server has never seen grows linearly with its length, within a budget."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_cold")
def test_cold_ttft_grows_linearly_with_the_prompt_and_within_budget(timing: TimingResult) -> None:
    """Milliseconds per 1000 prompt tokens within the budget; at the longest no quadratic excess, and no lack."""
    assert timing.verdict == "PASS", timing.summary

"""A tool can be started soon after it was asked for."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("tool_call")
def test_a_complete_tool_call_comes_in_time(timing: TimingResult) -> None:
    """Median time to a call with a name and whole arguments; an answer without one counts as never."""
    assert timing.verdict == "PASS", timing.summary

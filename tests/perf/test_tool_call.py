"""Gate `tool_call`: a complete tool call arrives in time."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("tool_call")
def test_a_complete_tool_call_comes_in_time(timing: TimingResult) -> None:
    """Median time to a call with a name and complete arguments; an answer without a call counts as infinite."""
    assert timing.verdict == "PASS", timing.summary

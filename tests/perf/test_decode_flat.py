"""Gate `decode_flat`: the decode rate hardly falls with the length of the context."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("decode_flat")
def test_decode_rate_holds_at_long_contexts(timing: TimingResult) -> None:
    """Decode rate at the longest context divided by that at the shortest."""
    assert timing.verdict == "PASS", timing.summary

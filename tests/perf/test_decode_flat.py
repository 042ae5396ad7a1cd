"""A long conversation is answered at the speed of a short one."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("decode_flat")
def test_decode_rate_holds_at_long_contexts(timing: TimingResult) -> None:
    """Decode rate at the longest context over that at the shortest."""
    assert timing.verdict == "PASS", timing.summary

"""Gate `decode`: the decode rate is high enough for speech."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("decode")
def test_tokens_come_fast_enough_to_be_spoken(timing: TimingResult) -> None:
    """Median decode rate of one stream; on a DGX Spark at least 25 tok/s."""
    assert timing.verdict == "PASS", timing.summary

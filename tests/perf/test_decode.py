"""Tokens come at least as fast as speech needs them."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("decode")
def test_tokens_come_fast_enough_to_be_spoken(timing: TimingResult) -> None:
    """Median decode rate of one stream; 25 tok/s at least on the box that the study was made for."""
    assert timing.verdict == "PASS", timing.summary

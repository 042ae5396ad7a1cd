"""A long conversation that the server remembers starts as fast as a short one."""

import pytest

from annie_eval.timing import TimingResult


@pytest.mark.perf("ttft_warm")
def test_warm_ttft_is_the_same_at_every_context(timing: TimingResult) -> None:
    """Equivalence: slope over the contexts and ratio of longest to shortest both within bounds that nobody hears."""
    assert timing.verdict == "PASS", timing.summary

"""All gates of a profile that have no test file of their own."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("*")
def test_the_sample_passes_the_gate(judged: Judged) -> None:
    """None of the gate's detectors finds anything."""
    assert not judged.findings

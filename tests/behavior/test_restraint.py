"""When no tool is needed, none is called."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("restraint")
def test_small_talk_is_answered_without_a_tool(judged: Judged) -> None:
    """No call, no call written out as text, and something is said."""
    assert not judged.findings

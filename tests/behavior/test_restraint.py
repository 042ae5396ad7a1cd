"""Gate `restraint`: if no tool is needed, none is called."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("restraint")
def test_small_talk_is_answered_without_a_tool(judged: Judged) -> None:
    """No call, no call written as text, and a spoken answer."""
    assert not judged.findings

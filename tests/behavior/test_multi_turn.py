"""Gate `multi_turn`: every reply in a conversation of several turns is good."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("multi_turn")
def test_every_turn_of_a_conversation_is_good(judged: Judged) -> None:
    """Tool results are used, corrections are followed, and no reply leaks thinking, is empty or has markdown."""
    assert not judged.findings

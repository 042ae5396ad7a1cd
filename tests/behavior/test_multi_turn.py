"""Every turn of a conversation of several turns is good."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("multi_turn")
def test_every_turn_of_a_conversation_is_good(judged: Judged) -> None:
    """Tool results are used, corrections are heard, and no turn leaks, falls silent or speaks markdown."""
    assert not judged.findings

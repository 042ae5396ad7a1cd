"""Gate `tool_calling`: if a tool is needed, the right call is made."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("tool_calling")
def test_the_right_tool_is_called_with_valid_arguments(judged: Judged) -> None:
    """A declared tool, unique ids, the right number of calls, a matching finish_reason, and no call written as text.

    Arguments are strict JSON, valid by the tool's schema, and have the values that the user asked for.
    """
    assert not judged.findings

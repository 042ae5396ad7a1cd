"""When a tool is needed, the right call arrives."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("tool_calling")
def test_the_right_tool_is_called_with_valid_arguments(judged: Judged) -> None:
    """A declared tool, unique ids, arguments that are strict JSON and valid under the tool's schema, the values that

    the user asked for, as many calls as wanted, a finish_reason that fits, and no call lost as text.
    """
    assert not judged.findings

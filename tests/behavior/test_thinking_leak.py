"""Nothing of the model's thinking may be heard."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("thinking_leak")
def test_no_thinking_reaches_the_listener(judged: Judged) -> None:
    """Streamed or not, thinking on, off or unset, after tool results, and when cut off by max_tokens:

    no thinking tag or special token in what is spoken or in a tool's arguments, no reasoning in prose, none repeated
    from the reasoning channel, none at all with thinking off, and no answer trapped among it.
    """
    assert not judged.findings

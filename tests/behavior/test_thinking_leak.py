"""Gate `thinking_leak`: no part of the model's thinking is spoken."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("thinking_leak")
def test_no_thinking_reaches_the_listener(judged: Judged) -> None:
    """No thinking tag or special token in spoken text or call arguments, and no reasoning in prose.

    No text is repeated from the reasoning channel, the channel is empty with thinking off, and no answer is only
    there. Samples are streamed or not, with thinking on, off or unset, after tool results, and cut off by max_tokens.
    """
    assert not judged.findings

"""The server keeps the protocol, for every sample of the run, whatever the model said."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("wire_integrity")
def test_the_stream_is_well_formed(judged: Judged) -> None:
    """Deltas in order, one finish_reason, one id and name for each call, usage, nothing after `[DONE]`,

    no template token in any channel, and the same answer streamed and unstreamed where the tokens are the same.
    """
    assert not judged.findings

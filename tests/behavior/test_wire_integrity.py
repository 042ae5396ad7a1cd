"""Gate `wire_integrity`: for every sample of the run, the server follows the API protocol."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("wire_integrity")
def test_the_stream_is_well_formed(judged: Judged) -> None:
    """Deltas in order, one finish_reason, one id and name for each call, usage, nothing after `[DONE]`.

    No template token in any channel; and for the same tokens, the same answer streamed and unstreamed.
    """
    assert not judged.findings

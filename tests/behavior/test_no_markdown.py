"""Gate `no_markdown`: answers that are read aloud are plain speech."""

import pytest

from annie_eval.run.reader import Judged


@pytest.mark.gate("no_markdown")
def test_what_is_spoken_holds_no_markdown(judged: Judged) -> None:
    """No emphasis, heading, list, table, code, link or emoji, even if the user asks for a format."""
    assert not judged.findings

"""Snapshots: the structure of answers (not their words) is the same as recorded.

Runs with `-m snapshot`; `--snapshot-update` records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

pytestmark = pytest.mark.snapshot


def test_answers_are_of_the_kind_that_was_recorded(signature: str, recorded: SnapshotAssertion) -> None:
    """Channels, tools and the shape of their arguments, finish_reason, sentences, language, markdown, leaks."""
    assert signature == recorded

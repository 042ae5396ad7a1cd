"""What every timing gate reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from annie_eval.timing import Row


@pytest.fixture
def timing(timing: Mapping[str, Any]) -> Row:
    """The row that was measured for this test's gate, out of the run's store."""
    return Row.from_dict(timing)

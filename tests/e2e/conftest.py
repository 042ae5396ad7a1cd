"""Fixtures of the end-to-end tests: unset CI variables, because pytest prints more in CI."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def not_in_ci() -> Iterator[None]:
    """Child processes see no CI: there, pytest's short summary repeats whole messages."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CI", "BUILD_NUMBER"):
            patch.delenv(name, raising=False)
        yield

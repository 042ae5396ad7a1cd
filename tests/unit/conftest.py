"""Fixtures of all unit tests. pytest also reads this file for the gate, so nothing slow is imported here."""

from __future__ import annotations

_PROFILE = "shared-machine"


def pytest_pycollect_makemodule() -> None:
    """Before a module of tests is imported: an example that takes long is no failure on a machine that is shared."""
    from hypothesis import settings

    if settings.default.deadline is not None:
        settings.register_profile(_PROFILE, deadline=None)
        settings.load_profile(_PROFILE)

"""What all unit tests share."""

from __future__ import annotations

from hypothesis import settings

# An example that takes long is no failure: these machines are shared, and a deadline would be a timed test.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")

"""Handles mistakes in a profile: raises the first one, or collects all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annie_eval.errors import UsageError


class Mistakes:
    """Receives the mistakes that checks find.

    Args:
        keep: continue after a mistake and collect all in `found`; otherwise the first one is raised.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep, self.found = keep, list[str]()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A context for one check. A UsageError is recorded if mistakes are kept, else raised."""
        try:
            yield
        except UsageError as error:
            if not self.keep:
                raise
            if str(error) not in self.found:
                self.found.append(str(error))

"""What to do with a mistake in a profile: raise the first one, or keep all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annie_eval.errors import UsageError


class Mistakes:
    """Takes what each check of a profile finds.

    Args:
        keep: go on behind a mistake, so that `found` has all of them; else the first one is raised.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep, self.found = keep, list[str]()

    @contextmanager
    def one(self) -> Iterator[None]:
        """One check, which raises UsageError. Raises it again unless mistakes are kept."""
        try:
            yield
        except UsageError as error:
            if not self.keep:
                raise
            if str(error) not in self.found:
                self.found.append(str(error))

"""The one order of verdicts. docs/statistics.md gives the reason for it.

What is already lost cannot be saved by what broke (FAIL before ERROR), what broke is no evidence (ERROR before
INCONCLUSIVE), and only what is left may PASS. A comparison that was refused comes before all of them: nothing was
compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from annie_eval.profile.types import Verdict

ComparisonVerdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR", "REFUSED"]
SEVERITY: tuple[ComparisonVerdict, ...] = ("REFUSED", "FAIL", "ERROR", "INCONCLUSIVE", "PASS")

AnyVerdict = TypeVar("AnyVerdict", Verdict, ComparisonVerdict)


def worst(verdicts: Iterable[AnyVerdict]) -> AnyVerdict | None:
    """The first in `SEVERITY` of the verdicts that are there; None for none at all."""
    return min(verdicts, key=SEVERITY.index, default=None)

"""Defines the order of verdicts. docs/statistics.md gives the reasons.

Broken samples cannot turn a failure into a pass (FAIL before ERROR). They are no evidence (ERROR before INCONCLUSIVE).
PASS comes last. A refused comparison comes before all of them, because nothing was compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeVar

from annie_eval.profile.types import Verdict

ComparisonVerdict = Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR", "REFUSED"]
SEVERITY: tuple[ComparisonVerdict, ...] = ("REFUSED", "FAIL", "ERROR", "INCONCLUSIVE", "PASS")

AnyVerdict = TypeVar("AnyVerdict", Verdict, ComparisonVerdict)


def worst(verdicts: Iterable[AnyVerdict]) -> AnyVerdict | None:
    """The worst of some verdicts by `SEVERITY`; None if there are none."""
    return min(verdicts, key=SEVERITY.index, default=None)

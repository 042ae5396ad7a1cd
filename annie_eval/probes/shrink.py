"""Finds a short part of a sequence that still fails: delta debugging, many candidates at a time. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

_T = TypeVar("_T")


class OutOfBudget(Exception):
    """No more candidates may be tried."""


def shrink(
    items: Sequence[_T],
    still_fail: Callable[[list[tuple[_T, ...]]], list[bool]],
    *,
    least: int = 1,
) -> tuple[_T, ...]:
    """Remove items until no single one can be removed: ddmin by complements (Zeller & Hildebrandt 2002, IEEE TSE 28).

    All candidates of one round are tried together. If several chunks can be removed, removing all of them is tried
    first.

    Args:
        items: a sequence that fails.
        still_fail: returns for each candidate whether it fails. May raise OutOfBudget, which ends the search.
        least: the length at which to stop; with 0 the empty sequence is tried as well.
    """
    best = tuple(items)
    if least == 0 and best and still_fail([()])[0]:
        return ()
    parts = 2
    while len(best) > max(least, 1):
        parts = min(parts, len(best))
        edges = [len(best) * n // parts for n in range(parts + 1)]
        spans = [range(a, b) for a, b in pairwise(edges)]
        rests = [_without(best, span) for span in spans]
        fails = still_fail(rests)
        goes = [span for span, fail in zip(spans, fails, strict=True) if fail]
        if not goes:
            if parts == len(best):
                break
            parts *= 2
            continue
        together = _without(best, [place for span in goes for place in span])
        if len(goes) > 1 and len(together) >= max(least, 1) and still_fail([together])[0]:
            best, parts = together, max(2, parts - len(goes))
        else:
            best, parts = rests[spans.index(goes[0])], max(2, parts - 1)
    return best


def _without(items: tuple[_T, ...], places: Sequence[int]) -> tuple[_T, ...]:
    gone = set(places)
    return tuple(item for place, item in enumerate(items) if place not in gone)

"""Reads the judgements of earlier nights that are comparable with tonight."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from annie_eval.errors import UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.nightly import drift
from annie_eval.nightly.records import Night
from annie_eval.regression.compare import Judgements
from annie_eval.run.store import Store


def judgements(nights: Sequence[Night], baseline: str) -> list[Judgements]:
    """The judgements of all nights before the last one that were compared with the same baseline, oldest first.

    The last night is tonight. These are left out: nights before a known change (`drift.resets`), nights that could not
    be compared, nights that were judged by other detectors, and runs that can no longer be read.

    Args:
        baseline: the id of the blessed baseline.
    """
    if not nights:
        return []
    since = max((reset.at for reset in drift.resets(nights)), default=0)
    _, digest = _read(nights[-1])
    found = []
    for night in nights[since:-1]:
        if night.baseline == baseline and night.regression not in (None, "REFUSED"):
            judged, by = _read(night)
            if judged and by == digest:
                found.append(judged)
    return found


def _read(night: Night) -> tuple[Judgements, object]:
    """The judgements of a night, and the digest of its detectors; empty if the night has no run."""
    try:
        store = Store(night.path)
        try:
            found: dict[str, dict[str, Judgement]] = {}
            for each in store.judgements():
                found.setdefault(each.gate, {})[each.sample] = each
            return found, store.meta("detector_digest")
        finally:
            store.close()
    except (UsageError, sqlite3.Error, ValueError, KeyError, TypeError):
        return {}, None

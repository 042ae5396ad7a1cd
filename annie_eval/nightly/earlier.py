"""The earlier nights that say something of tonight's server: what each sample came to, out of their runs."""

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
    """Of every night before the last one, oldest first, that was compared with the same baseline.

    The last night is tonight. Left out are nights before something changed that is known (`drift.resets`), nights that
    could not be compared, nights that other detectors judged, and runs that cannot be read any more.

    Args:
        baseline: the id of the blessing.
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
    """The judgements of a night, and the digest of the detectors that made them; nothing where it has no run."""
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

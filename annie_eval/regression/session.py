"""The comparison as a part of one run: refused as early as it can be, made when the run is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.gates import RunVerdict, worst
from annie_eval.profile_types import Profile, Verdict
from annie_eval.regression import baseline as baselines
from annie_eval.regression import facts, snapshot, steady
from annie_eval.regression.compare import compare
from annie_eval.regression.evidence import read
from annie_eval.regression.result import Regression
from annie_eval.report import json as json_report
from annie_eval.store import Store


class Comparison:
    """One run against one baseline.

    Raises:
        UsageError: no such baseline, or one of another profile: nothing could be compared.
    """

    def __init__(self, wanted: str, runs: Path, profile: Profile | None) -> None:
        self.wanted = wanted
        self.baseline = baselines.load(wanted, runs / baselines.DIR, runs)
        if profile is None:
            return
        before = self.baseline.evidence
        digests = (before.facts.get("identity") or {}).get("digest"), profile.digest
        if found := facts.of_profiles(before.snapshot, snapshot.snapshot(profile), digests):
            raise UsageError(self._refusal(found))

    def _refusal(self, found: list[str]) -> str:
        return (
            f"--baseline {self.wanted}: REFUSED, nothing to compare: {'; '.join(found)}; "
            "bless a run of what is deployed now, or mend it"
        )

    def check(self, fingerprint: Mapping[str, Any]) -> None:
        """Hold a target's fingerprint against the baseline's, before anything is asked.

        Raises:
            UsageError: it differs in what makes a comparison meaningless.
        """
        known = facts.between(self.baseline.evidence.fingerprint, fingerprint)
        if known.refused:
            raise UsageError(self._refusal(list(known.refused)))

    def of(self, run_dir: Path) -> Regression:
        """What the finished run in `run_dir` says. Raises UsageError for a run that cannot be read."""
        return compare(self.baseline.evidence, read(run_dir), baseline=self.baseline.info, noise=self.baseline.noise)

    def finish(self, run_dir: Path, verdict: RunVerdict) -> RunVerdict:
        """Compare, and put the result into the run's verdict and its file."""
        verdict = with_regression(verdict, self.of(run_dir))
        json_report.write(run_dir / json_report.FILE, verdict)
        return verdict


def with_regression(verdict: RunVerdict, found: Regression) -> RunVerdict:
    """A verdict that takes the comparison in. A refused one says nothing of the model, and changes nothing."""
    both: list[Verdict] = [verdict.verdict]
    if found.verdict != "REFUSED":
        both.append(found.verdict)
    return replace(verdict, verdict=worst(both) or verdict.verdict, regression=found.as_dict())


def note_steadiness(profile: Profile, run_dir: Path, base_url: str, model: str, api_key: str | None) -> None:
    """Ask the quiet server whether it answers one question in one way, and keep that with the run."""
    store = Store(run_dir)
    try:
        store.set_meta(steadiness=steady.probe(profile, base_url, model, api_key))
    finally:
        store.close()

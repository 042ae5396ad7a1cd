"""Compares a run with a baseline: checks early whether that is possible, and compares at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annie_eval.errors import UsageError
from annie_eval.gates.decide import RunVerdict
from annie_eval.gates.verdicts import worst
from annie_eval.profile import diff
from annie_eval.profile.types import Profile, Verdict
from annie_eval.regression import baseline as baselines
from annie_eval.regression import determinism, rejudge
from annie_eval.regression.compare import Judgements, compare_run_data
from annie_eval.regression.result import Regression
from annie_eval.regression.run_data import read
from annie_eval.run import verdict_json
from annie_eval.serving import fingerprint_diff

if TYPE_CHECKING:
    from annie_eval.run.lifecycle import Run


def against(baseline: baselines.Baseline, run_dir: Path, earlier: Sequence[Judgements] | None = None) -> Regression:
    """Compare a finished run with a baseline; both are judged by the current detectors.

    Args:
        earlier: the judgements of earlier nights, for a nightly run; see `compare_gates`.

    Raises:
        UsageError: the run cannot be read.
    """
    before, now = baseline.run_data, read(run_dir)
    notes: list[str] = []
    if before.facts.get("detector_digest") != now.facts.get("detector_digest"):
        (before, first), (now, second) = rejudge.by_todays(before), rejudge.by_todays(now)
        notes = [note for note in (first, second) if note]
    found = compare_run_data(before, now, baseline=baseline.info, noise=baseline.noise, earlier=earlier)
    return replace(found, notes=(*found.notes, *notes))


def check_profile(wanted: str, baseline: baselines.Baseline, profile: Profile) -> None:
    """Refuse a profile that asks or judges otherwise than that of the baseline.

    Raises:
        UsageError: the difference makes a comparison meaningless.
    """
    before = baseline.run_data
    digests = (before.facts.get("identity") or {}).get("digest"), profile.digest
    if found := fingerprint_diff.of_profiles(before.snapshot, diff.snapshot(profile), digests):
        raise UsageError(_refusal(wanted, found))


def _refusal(wanted: str, found: Sequence[str]) -> str:
    return (
        f"--baseline {wanted}: REFUSED, nothing to compare: {'; '.join(found)}; "
        "bless a run of what is deployed now, or fix it"
    )


class Comparison:
    """One run against one baseline.

    Raises:
        UsageError: no such baseline, or a baseline of another profile, which is not comparable.
    """

    def __init__(self, wanted: str, runs: Path, profile: Profile) -> None:
        self.wanted, self._profile = wanted, profile
        self.baseline = baselines.load(wanted, runs / baselines.DIR, runs)
        check_profile(wanted, self.baseline, profile)

    def check(self, fingerprint: Mapping[str, Any]) -> None:
        """Compare a target's fingerprint with the baseline's, before any request is sent.

        Raises:
            UsageError: the difference makes a comparison meaningless.
        """
        known = fingerprint_diff.between(self.baseline.run_data.fingerprint, fingerprint)
        if known.refused:
            raise UsageError(_refusal(self.wanted, known.refused))

    def of(self, run_dir: Path) -> Regression:
        return against(self.baseline, run_dir)

    def finish(self, run: Run, verdict: RunVerdict) -> RunVerdict:
        """Run the determinism test on the idle server, compare, and add the result to the run's verdict."""
        assert run.target is not None
        target, key = run.target, run.spec.api_key()
        run.progress.enter("comparison")
        run.progress.begin_step("comparison: asking the idle server a few questions several times")
        found = determinism.probe(self._profile, run.store, target.base_url, target.served_model, key)
        run.store.set_meta(steadiness=found)
        run.progress.begin_step("comparison: with the baseline, then the report")
        verdict = with_regression(verdict, self.of(run.dir))
        run.store.set_meta(verdict=verdict.verdict)
        verdict_json.write(run.dir / verdict_json.FILE, verdict)
        return verdict


def with_regression(verdict: RunVerdict, found: Regression) -> RunVerdict:
    """The verdict with the comparison. A refused comparison does not change the verdict."""
    both: list[Verdict] = [verdict.verdict]
    if found.verdict != "REFUSED":
        both.append(found.verdict)
    return replace(verdict, verdict=worst(both) or verdict.verdict, regression=found.as_dict())

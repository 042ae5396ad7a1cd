"""Judges a run's stored answers again with the current detectors.

A baseline may be older than the detectors, and a corrected detector would then look like a change of the model. So
both runs are judged by the same detectors, from the stored bytes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.regression.run_data import RunData, twin_of
from annie_eval.run.detector_digest import digest
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.store import Store
from annie_eval.wire.sample import Sample


def by_todays(run: RunData) -> tuple[RunData, str]:
    """The run judged by the current detectors, and a note; the run itself and "" if they have judged it already."""
    if run.facts.get("detector_digest") == digest():
        return run, ""
    try:
        profile = _profile(run)
    except UsageError as error:
        return run, f"{run.name} was judged by other detectors than today's, and cannot be judged again: {error}"
    judged = _again(run, profile)
    changed = sum(
        judged[gate][key].passed != of[key].passed
        for gate, of in run.judgements.items()
        for key in of
        if gate in judged
    )
    note = f"{run.name} was judged by other detectors; today's change {changed} of its judgements"
    return replace(run, judgements={**run.judgements, **judged}), note


def _profile(run: RunData) -> Profile:
    """The profile of a run, if it is unchanged."""
    path = run.facts.get("profile_path")
    if not path or not Path(str(path)).is_file():
        raise UsageError(f"its profile is not there any more ({path})")
    profile = load(Path(str(path)))
    if profile.digest != (run.facts.get("identity") or {}).get("digest"):
        raise UsageError(f"its profile {path} has changed since")
    return profile


def _again(run: RunData, profile: Profile) -> dict[str, dict[str, Judgement]]:
    catalogue = Catalogue(profile)
    store = Store(run.dir)
    samples: dict[str, Sample] = {}
    try:
        for stored in store.samples():
            if stored.error is None and stored.key in catalogue:
                samples[stored.key] = catalogue.load(stored)
    except ExchangeError as error:
        raise UsageError(f"{run.dir}: an answer cannot be read again ({error}); run again") from error
    finally:
        store.close()
    found: dict[str, dict[str, Judgement]] = {}
    for name, of in run.judgements.items():
        if name not in profile.gates:
            continue
        gate = profile.gates[name]
        found[name] = {}
        for key, before in of.items():
            if key not in samples:
                found[name][key] = before
                continue
            twin = twin_of(key) or ""
            unstreamed = samples.get(twin) if samples[key].variant.stream and twin in of else None
            found[name][key] = judge(gate, samples[key], unstreamed=unstreamed)
    return found

"""Detectors of faults in answers: each module has one pure function, `find(sample)`, that returns findings.

Importing this package is cheap: a detector and the libraries it needs are imported when it first runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from annie_eval.profile.types import DETECTORS

if TYPE_CHECKING:
    from annie_eval.detectors.finding import Finding
    from annie_eval.wire.sample import Sample


def detect(name: str, sample: Sample) -> tuple[Finding, ...]:
    """What the detector `name` finds in a sample; empty when nothing is wrong.

    Raises:
        KeyError: there is no such detector; the message names those that there are.
    """
    if name not in DETECTORS:
        raise KeyError(f'there is no detector "{name}"; choose from {", ".join(DETECTORS)}')
    findings: tuple[Finding, ...] = import_module(f"annie_eval.detectors.{name}").find(sample)
    return findings

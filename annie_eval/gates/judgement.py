"""The type of a judgement: what one gate found in one sample."""

from __future__ import annotations

from dataclasses import dataclass

from annie_eval.detectors.finding import Finding


@dataclass(frozen=True, slots=True)
class Judgement:
    """A gate's judgement of one sample: a pass if nothing was found and nothing broke."""

    gate: str
    sample: str
    findings: tuple[Finding, ...] = ()
    error: str | None = None

    @property
    def passed(self) -> bool:
        return self.error is None and not self.findings

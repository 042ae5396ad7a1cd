"""Properties for pytest's --junitxml: gate, sample and reason of each test; verdict of the suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annie_eval.report.phrases import headline, interval_of, needs_of
from annie_eval.text import printable

if TYPE_CHECKING:
    from annie_eval.gates.decide import RunVerdict
    from annie_eval.gates.judgement import Judgement

Properties = list[tuple[str, str]]


def case_properties(judgement: Judgement) -> Properties:
    """Return gate and sample; one `reason` for each finding; `error` if the sample broke."""
    pairs = [("gate", judgement.gate), ("sample", judgement.sample)]
    if judgement.error is not None:
        pairs.append(("error", judgement.error))
    for finding in judgement.findings:
        excerpt = f": {finding.excerpt}" if finding.excerpt else ""
        pairs.append(("reason", f"{finding.detector}: {finding.reason}{excerpt}"))
    return [(name, printable(value)) for name, value in pairs]


def suite_properties(verdict: RunVerdict) -> Properties:
    """Return the verdict and its headline, then each gate and timing row as `gate.NAME` and `timing.NAME`."""
    pairs = [("verdict", verdict.verdict), ("summary", headline(verdict)), ("run", verdict.run_dir)]
    if verdict.regression:
        pairs.append(("regression", str(verdict.regression["headline"])))
    for gate in verdict.gates:
        measured = f"{gate.passed}/{gate.n} passed, needs {needs_of(gate)}, interval {interval_of(gate)}"
        broke = f", {gate.errors} broke" if gate.errors else ""
        pairs.append((f"gate.{gate.name}", f"{gate.verdict}: {measured}{broke}"))
    for row in verdict.timings:
        pairs.append((f"timing.{row['name']}", f"{row['verdict']}: {row.get('detail') or row.get('median')}"))
    return [(printable(name), printable(value)) for name, value in pairs]

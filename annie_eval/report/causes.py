"""Finds one cause behind all misses of the failed gates: how the server was started, not what the model can do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import GateResult, RunVerdict, scenario_of

_FEW = 2  # scenarios with the cause that are needed: a single one may be chance


def cause_of(verdict: RunVerdict) -> str | None:
    """Return the cause and what to do, in one line; None if there is none, or if a comparison says what changed.

    A sample counts once, even if it misses several gates.
    """
    failed = [gate for gate in verdict.gates if gate.verdict == "FAIL"]
    missed = {miss.sample for gate in failed for miss in gate.misses}
    if verdict.regression or len({scenario_of(sample) for sample in missed}) < _FEW:
        return None
    found: defaultdict[str, list[Finding]] = defaultdict(list)
    for gate in verdict.gates:
        for miss in gate.misses:
            if miss.sample in missed:
                found[miss.sample] += miss.findings
    for shows, cause in _CAUSES:
        if all(shows(sample, findings) for sample, findings in found.items()):
            # If a parser is active, it reads most calls. A call that it left as text is then the model's mistake.
            if shows is _call_as_text and any(map(_mostly_called, failed)):
                continue
            return f"one cause: all {len(found)} samples that missed a failed gate {cause}"
    return None


def _mostly_called(gate: GateResult) -> bool:
    called = any(finding.detector == "tool_calls" for miss in gate.misses for finding in miss.findings)
    return called and gate.passed > len(gate.misses)


def _call_as_text(sample: str, findings: Sequence[Finding]) -> bool:
    text = any(each.reason.startswith("dropped call:") for each in findings)
    return text and not any(each.channel == "tool_calls" for each in findings)


def _thinks(findings: Sequence[Finding]) -> bool:
    return any(each.detector == "thinking" and each.channel in ("content", "reasoning") for each in findings)


def _thinks_when_unset(sample: str, findings: Sequence[Finding]) -> bool:
    return sample.split(".")[2:3] == ["unset"] and _thinks(findings)


def _thinks_when_off(sample: str, findings: Sequence[Finding]) -> bool:
    return any(each.reason == "reasoning although thinking is off" for each in findings)


_CAUSES: tuple[tuple[Callable[[str, Sequence[Finding]], bool], str], ...] = (
    (
        _call_as_text,
        "have a tool call as text and none over its channel: the server has no tool parser for this chat template;"
        " start it with --enable-auto-tool-choice and the --tool-call-parser of this model",
    ),
    (
        _thinks_when_unset,
        "were sent without a switch for thinking, and the model thinks: this chat template's default is thinking;"
        " switch it off in the template, or start the server with the --reasoning-parser of this model",
    ),
    (
        _thinks_when_off,
        "think although thinking is off: the chat template does not know the switch (serving.thinking_kwarg)",
    ),
)

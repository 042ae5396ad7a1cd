"""Samples that JSON describes, for tables of texts and what a detector finds in them.

A line has `detector` and `replies`: for each reply the arguments of `make_sample.reply`, with `calls` as lists of
name, arguments and id, and `expect` as an object. Optional: `thinking`, `language`, `tools`, `limits`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.profile.types import AnswerExpectation, CallExpectation, Expect, Limits
from annie_eval.wire.sample import Exchange, Sample
from tests.support.make_sample import TOOLS, call, reply, sample


def _expect(described: Mapping[str, Any]) -> Expect:
    fields = dict(described)
    if fields.get("calls") is not None:
        fields["calls"] = tuple(CallExpectation(*each) for each in fields["calls"])
    if answer := fields.get("answer"):
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in answer.items()}
        fields["answer"] = AnswerExpectation(**lists)
    return Expect(**fields | {"topic": tuple(fields.get("topic", ()))})


def _reply(described: Mapping[str, Any]) -> Exchange:
    fields = {"content": None, **described}
    calls = [call(name, arguments, id=given) for name, arguments, given in fields.pop("calls", ())]
    return reply(**fields | {"calls": calls, "expect": _expect(fields.get("expect", {}))})


def sample_from(described: Mapping[str, Any]) -> Sample:
    """The sample that a line describes."""
    return sample(
        *map(_reply, described["replies"]),
        thinking=described.get("thinking", "off"),
        language=described.get("language", "en"),
        tools=described.get("tools", TOOLS),
        limits=Limits(**described.get("limits", {})),
    )


def as_json(findings: tuple[Finding, ...]) -> list[list[Any]]:
    """Reason, excerpt, channel, index of the reply and span of each finding."""
    return [[f.reason, f.excerpt, f.channel, f.exchange, f.span and list(f.span)] for f in findings]

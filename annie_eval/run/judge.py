"""Turns stored bytes into samples and judges them: parses responses and runs detectors. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from annie_eval.detectors import detect
from annie_eval.detectors.finding import Finding
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.types import CallExpectation, Expect, Gate, Profile, Scenario, Turn, Variant, sample_key
from annie_eval.run.store import StoredExchange, StoredSample
from annie_eval.wire import parse
from annie_eval.wire.conversation import Request, is_last, next_request
from annie_eval.wire.sample import Exchange, Sample

_OF_CALL_TEXT = ("markdown", "degeneration")


class Catalogue:
    """Maps sample keys to scenarios and variants, for the profile's own samples and for ad-hoc ones."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._by_key: dict[str, tuple[Scenario, Variant]] = {
            sample_key(scenario.id, variant): (scenario, variant)
            for scenario in profile.scenarios
            for variant in scenario.variants
        }
        self._tools: dict[str, dict[str, Any]] = {}

    def add(self, key: str, ask: Mapping[str, Any]) -> None:
        """Add an ad-hoc sample from its JSON in the store, which `annie_eval.run.reader.Asker` writes.

        With `scenario` it is that scenario of the profile with another first prompt and history. With `tool_objects`
        these are offered instead of the profile's tools, and each may be called once.
        """
        if objects := ask.get("tool_objects"):
            self._tools[key] = {tool["function"]["name"]: tool for tool in objects}
        may = tuple(CallExpectation(name, optional=True) for name in self._tools.get(key, ()))
        scenario = Scenario(
            id=key,
            category="ask",
            turns=(Turn(user=ask["prompt"], expect=Expect(calls=may or None)),),
            history=tuple(ask["history"]),
            tools=None if ask["tools"] is None else tuple(ask["tools"]),
            max_tokens=ask["max_tokens"],
        )
        if ask.get("scenario") is not None:
            scripted = next(one for one in self.profile.scenarios if one.id == ask["scenario"])
            first, *rest = scripted.turns
            turns = (replace(first, user=ask["prompt"]), *rest)
            scenario = replace(scripted, id=key, turns=turns, history=tuple(ask["history"]))
        self._by_key[key] = (scenario, Variant(ask["stream"], ask["thinking"], ask.get("repeat", 1)))

    def _profile_of(self, key: str) -> Profile:
        return replace(self.profile, tools=self._tools[key]) if key in self._tools else self.profile

    def __contains__(self, key: str) -> bool:
        try:
            self[key]
        except KeyError:
            return False
        return True

    def __getitem__(self, key: str) -> tuple[Scenario, Variant]:
        """Scenario and variant of a key, also of further repeats. Raises KeyError for an unknown key."""
        if key not in self._by_key:
            first, _, repeat = key.rpartition(".")
            if not repeat.isdecimal() or first not in self._by_key:
                raise KeyError(key)
            scenario, variant = self._by_key[first]
            self._by_key[key] = (scenario, replace(variant, repeat=int(repeat)))
        return self._by_key[key]

    def twin(self, key: str) -> str | None:
        """The key of the same scenario sent the other way (streamed or unstreamed); None if the profile has none."""
        scenario, variant = self[key]
        other = sample_key(scenario.id, Variant(not variant.stream, variant.thinking, variant.repeat))
        return other if other in self else None

    def sample(self, key: str, exchanges: Sequence[Exchange]) -> Sample:
        scenario, variant = self[key]
        tools = self._profile_of(key).tools
        names = list(tools) if scenario.tools is None else scenario.tools
        schemas = {name: tools[name]["function"].get("parameters", {}) for name in names}
        return Sample(key, scenario, variant, tuple(exchanges), schemas, self.profile.limits, self.profile.speech)

    def exchange(self, key: str, raw: StoredExchange) -> Exchange:
        """One exchange with its channels and its expectation. Raises ExchangeError if its body cannot be parsed."""
        scenario, _ = self[key]
        step = scenario.turns[raw.turn]
        return Exchange(
            raw.request,
            raw.status,
            raw.headers,
            raw.body,
            raw.reads,
            parse.parse(raw.body, streamed=bool(raw.request.get("stream"))),
            step.then if raw.round else step.expect,
            raw.turn,
            raw.round,
        )

    def load(self, stored: StoredSample) -> Sample:
        """A finished sample from the store. Raises ExchangeError as `exchange` does."""
        return self.sample(stored.key, [self.exchange(stored.key, raw) for raw in stored.exchanges])

    def next_request(self, key: str, done: Sequence[Exchange], *, model: str, token_ids: bool) -> Request | None:
        """The next request of a sample, or None. See `annie_eval.wire.conversation.next_request`."""
        scenario, variant = self[key]
        return next_request(self._profile_of(key), scenario, variant, done, model=model, token_ids=token_ids)

    def is_last(self, key: str, request: Request) -> bool:
        """Whether nothing follows this request. See `annie_eval.wire.conversation.is_last`."""
        return is_last(self[key][0], request)


def judge(
    gate: Gate,
    sample: Sample,
    *,
    unstreamed: Sample | None = None,
    derendered: Sequence[Finding] = (),
    found: dict[str, tuple[Finding, ...]] | None = None,
) -> Judgement:
    """Judge a sample by a gate's detectors.

    An exception of a detector is a bug; the judgement is then an ERROR, never a pass.

    Args:
        unstreamed: the same scenario sent unstreamed, for comparison (detector `wire`).
        derendered: differences when the server's parsers parse the sample's tokens again (detector `wire`).
        found: cache of findings by detector, shared by the gates of a sample.
    """
    names = gate.detectors_for(sample.scenario.category)
    findings: list[Finding] = list(derendered) if "wire" in names else []
    found = {} if found is None else found
    for name in names:
        try:
            if name not in found:
                found[name] = detect(name, sample)
            findings += _not_told_elsewhere(gate, sample, found[name])
            if name == "wire" and unstreamed is not None:
                from annie_eval.detectors.parity import compare_transports

                findings += compare_transports(sample, unstreamed)
        except Exception as error:
            broke = f"detector {name} could not run: {type(error).__name__}: {error}"
            return Judgement(gate.name, sample.key, tuple(findings), broke)
    return Judgement(gate.name, sample.key, tuple(findings))


def _not_told_elsewhere(gate: Gate, sample: Sample, findings: Sequence[Finding]) -> Sequence[Finding]:
    """Findings without those about the text of a call, if another gate judges dropped calls.

    JSON in speech, or a call written twice, is the same failure, which the other gate counts. A leak is not.
    """
    if "dropped_calls" not in gate.elsewhere or "dropped_calls" in gate.detectors_for(sample.scenario.category):
        return findings
    if not any(finding.detector in _OF_CALL_TEXT for finding in findings):
        return findings
    dropped = {finding.exchange for finding in detect("dropped_calls", sample)}
    return [one for one in findings if one.detector not in _OF_CALL_TEXT or one.exchange not in dropped]

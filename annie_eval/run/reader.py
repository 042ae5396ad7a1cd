"""Reads a run for tests: judged samples, gate results, the endpoint; and sends further questions.

Everything is read from the run's store, so that it is the same in the owner process and in any xdist worker. Reading
waits until the sample is answered, or until all samples of a gate are.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from annie_eval.detectors.finding import Finding
from annie_eval.errors import FromOutside, NotAsked
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.repeats import Repeats, key_of_round, own_repeats
from annie_eval.profile.types import DETECTORS, Profile, Thinking
from annie_eval.run.store import Store, dump
from annie_eval.wire.sample import Sample

if TYPE_CHECKING:
    import openai

    from annie_eval.gates.decide import GateResult
    from annie_eval.gates.server_state import ProbeResult

_T = TypeVar("_T")
_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.05  # seconds between reads of the store


class SampleBroken(FromOutside):
    """There is nothing to judge, because the exchange, the server or the run broke."""


@dataclass(frozen=True)
class Judged:
    """A sample and its findings."""

    judgement: Judgement
    load: Callable[[], Sample] = field(repr=False, compare=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.judgement.findings

    @property
    def sample(self) -> Sample:
        """The sample, parsed from the bytes in the store."""
        return self.load()


@dataclass(frozen=True)
class EndpointInfo:
    """The server under test."""

    base_url: str
    served_model: str
    kind: str
    fingerprint: Mapping[str, Any]
    api_key: str | None = field(repr=False, default=None)

    @property
    def client(self) -> openai.OpenAI:
        """An OpenAI client for the server, for requests that `ask` cannot make. Its answers are not recorded."""
        import openai

        return openai.OpenAI(
            base_url=self.base_url,
            api_key=self.api_key or "none",
            max_retries=0,
            # Without proxy and netrc of the environment, because the key is only for this server.
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )


class Reader:
    """Reads a run while it is running."""

    def __init__(self, profile: Profile, run_dir: Path, repeats: Repeats | None = None) -> None:
        self.profile, self.repeats = profile, repeats or Repeats()
        self._own = own_repeats(profile)
        self.store = Store(run_dir)
        self._parent = os.getppid()

    def _wait(self, look: Callable[[], _T | None]) -> _T:
        pause = _FIRST_WAIT
        while True:
            found = look()
            if found is not None:
                return found
            state = self.store.state()
            if state == "finished" or state.startswith(("failed", "ended")):
                found = look()
                if found is not None:
                    return found
                if state.startswith("ended"):
                    raise NotAsked(f"not asked: {state.removeprefix('ended: ')} (--fail-fast)")
                raise SampleBroken(f"the run ended before this was answered ({state})")
            # The parent of a worker is the owner. The owner itself continues without its parent, such as a closed
            # shell.
            if os.getppid() != self._parent and self.store.meta("owner") != os.getpid():
                raise SampleBroken("the process that owns the run is gone")
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_WAIT)

    def judgement(self, gate: str, key: str) -> Judgement:
        """Wait for a gate's judgement of a sample; of repeats, the first that broke or missed.

        Raises:
            SampleBroken: the run broke before the judgement.
            NotAsked: the run ended early.
        """
        if not self.repeats.asked or gate not in self.profile.gates:  # an ad-hoc question has no repeats
            return self._wait(lambda: self.store.judgement(gate, key))
        judged = self._repeated(gate, key)
        bad = next((one for one in judged if one.error is not None), None)
        return bad or next((one for one in judged if one.findings), judged[0])

    def _repeated(self, gate: str, key: str) -> list[Judgement]:
        """Wait for the judgements of all repeats of a sample.

        Raises:
            NotAsked: the run ended early, and the existing judgements are passes.
        """
        asked = [key_of_round(key, self._own, round_) for round_ in range(1, self.repeats.most + 1)]

        def judged() -> list[Judgement]:
            return [one for key in asked if (one := self.store.judgement(gate, key)) is not None]

        def all_there() -> list[Judgement] | None:
            if self.repeats.adaptive:
                return judged() if (self.store.meta("rounds") or {}).get("over") else None
            return found if len(found := judged()) == len(asked) else None

        try:
            return self._wait(all_there)
        except NotAsked:
            if not all(one.passed for one in judged()):
                return judged()
            raise

    def tally(self, gate: str, key: str) -> str:
        """`2 of 5 repeats missed: `, or "" without repeats."""
        if not self.repeats.asked:
            return ""
        judged = self._repeated(gate, key)
        return f"{sum(bool(one.findings) for one in judged)} of {len(judged)} repeats missed: "

    def judged(self, gate: str, key: str) -> Judged:
        """Wait for a judged sample. Raises SampleBroken if the sample is an ERROR."""
        judgement = self.judgement(gate, key)
        if judgement.error is not None:
            raise SampleBroken(judgement.error)
        return Judged(judgement, lambda: self._load(judgement.sample))

    def sample(self, key: str) -> Sample:
        """Wait for a sample, independent of gates. Raises SampleBroken if it is an ERROR."""
        stored = self._wait(lambda: self.store.sample(key))
        if stored.error is not None:
            raise SampleBroken(stored.error)
        return self._load(key)

    def _load(self, key: str) -> Sample:
        from annie_eval.run.judge import Catalogue

        catalogue = Catalogue(self.profile)
        for _, wanted, ask in self.store.wanted():
            if wanted == key and ask is not None:
                catalogue.add(key, ask)
        stored = self.store.sample(key)
        assert stored is not None, "judged samples are in the store"
        return catalogue.load(stored)

    def gate_result(self, gate: str) -> GateResult:
        """Wait until all selected samples of a gate are judged or the run ended early; returns the gate's result."""
        from annie_eval.run.verdict import gate_result

        with suppress(NotAsked):
            self._wait(lambda: True if self.store.open_judgements(gate) == 0 else None)
        return gate_result(self.profile, self.store, gate)

    def explain(self, judgement: Judgement, result: GateResult) -> str:
        """Why a test failed, for its report."""
        from annie_eval.text import printable

        counts = f"{result.passed}/{result.n}, needs {result.required}"
        more = "" if result.detail in ("", counts) else f" ({result.detail})"
        lines = [f"gate {result.name}: {result.verdict}, {counts}{more}"]
        for finding in judgement.findings:
            where = f" in {finding.channel}" if finding.channel else ""
            lines.append(printable(f"{finding.detector}: {finding.reason}{where}"))
            if finding.excerpt:
                lines.append(f"    {printable(finding.excerpt)}")
        lines.append(f"see: annie-eval show {self.store.run_dir} {judgement.sample}")
        return "\n".join(lines)

    def timing(self, name: str) -> Mapping[str, Any]:
        """Wait for the row of a timing gate."""
        return self._wait(lambda: next((row for row in self.store.timing("row") if row["name"] == name), None))

    def state_probe(self, name: str) -> ProbeResult:
        """Wait for the result of a probe of the server's state. Raises SampleBroken if it broke."""
        from annie_eval.gates.server_state import ProbeResult

        row = self._wait(lambda: next((row for row in self.store.timing("state") if row["probe"] == name), None))
        found = ProbeResult.from_dict(row)
        if found.verdict == "ERROR":
            raise SampleBroken(found.error)
        return found

    def endpoint(self, api_key: str | None) -> EndpointInfo:
        facts = self._wait(lambda: self.store.meta("target"))
        return EndpointInfo(
            facts["base_url"], facts["served_model"], facts["kind"], self.store.meta("fingerprint", {}), api_key
        )


class Asker:
    """Sends one more sample through the run's sampler, and waits for its judgement."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __call__(
        self,
        prompt: str,
        *,
        history: Sequence[Mapping[str, Any]] = (),
        tools: Sequence[str] | None = None,
        stream: bool = True,
        thinking: Thinking = "off",
        max_tokens: int | None = None,
        detectors: Sequence[str] = DETECTORS,
        repeat: int = 1,
    ) -> Judged:
        """Send a question, and judge the reply.

        The same question with the same arguments is sent only once per run; increase `repeat` for another sample.

        Args:
            prompt: what the user says.
            history: messages before it, in OpenAI's format.
            tools: names of the profile's tools to offer; None offers all of them.
            max_tokens: None takes the profile's.
            detectors: names from `annie_eval.detectors`; by default all, as `annie-eval check` and `wire`.

        Raises:
            SampleBroken: there is no answer to judge.
        """
        ask = {
            "prompt": prompt,
            "history": list(history),
            "tools": None if tools is None else list(tools),
            "stream": stream,
            "thinking": thinking,
            "max_tokens": max_tokens,
            "detectors": list(detectors),
            "repeat": repeat,
        }
        key = f"ask-{hashlib.sha256(dump(ask).encode()).hexdigest()[:12]}"
        self._reader.store.ask(key, ask)
        return self._reader.judged(f"ask:{key}", key)

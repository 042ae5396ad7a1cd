"""Measures changes on real servers: each configuration is a run in the search's directory, which can be resumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from annie_eval.blame import referee
from annie_eval.blame.evidence import Outcomes
from annie_eval.blame.factors import Factor, changed
from annie_eval.blame.search import AGAIN, Opinion
from annie_eval.errors import TargetError
from annie_eval.gates.decide import RunVerdict
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Gate, Profile
from annie_eval.run import verdict_json
from annie_eval.run.directory import RunOptions
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.lifecycle import Run
from annie_eval.run.store import FILE, Store
from annie_eval.serving import TargetSpec
from annie_eval.strict_json import strict_json
from annie_eval.wire import model_text
from annie_eval.wire.sample import Exchange, Sample

_LOOK = 0.05  # seconds between checks whether a chunk is answered
_TEXTS = "model_texts"  # stored with a run: by sample, the model's text of each exchange; None if unknown


@dataclass(slots=True)
class Servers:
    """Starts a server for each configuration.

    Attributes:
        directory: directory of the search.
        gate: the gate that is searched, once it is known.
        reference: the BF16 checkpoint, for the referee.
        referees: whether the referee is used.
    """

    spec: TargetSpec
    profile: Profile
    directory: Path
    concurrency: int | None
    progress: Callable[[str], None]
    gate: Gate | None = None
    reference: Path | None = None
    referees: bool = False

    def served(self, name: str, gates: Sequence[Gate]) -> RunVerdict:
        """The verdict on the unchanged server for all samples of the gates. Raises TargetError if none starts."""
        keys = [
            key for gate in gates for scenario in self.profile.gate_scenarios(gate) for key in scenario.sample_keys()
        ]
        self._run(name, (), gates, [list(dict.fromkeys(keys))], lambda store: True)
        return verdict_json.load(self.directory / name / verdict_json.FILE)

    def ask(
        self,
        name: str,
        factors: Sequence[Factor],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Outcomes], bool],
    ) -> Outcomes:
        """See `blame.search.Bench`. A finished run is read, and no server is started for it."""
        assert self.gate is not None
        self._run(name, factors, [self.gate], chunks, lambda store: enough(self._outcomes(store)))
        return self.outcomes(self.directory / name)

    def outcomes(self, run: Path) -> Outcomes:
        """Whether each sample of a run passed the gate."""
        with self._store(run) as store:
            return self._outcomes(store)

    def _outcomes(self, store: Store) -> dict[str, bool | None]:
        assert self.gate is not None
        return {one.sample: None if one.error is not None else one.passed for one in store.judgements(self.gate.name)}

    @contextmanager
    def _store(self, run: Path) -> Iterator[Store]:
        store = Store(run)
        try:
            yield store
        finally:
            store.close()

    def _run(
        self,
        name: str,
        factors: Sequence[Factor],
        gates: Sequence[Gate],
        chunks: Sequence[Sequence[str]],
        enough: Callable[[Store], bool],
    ) -> None:
        """Run one configuration, chunk by chunk, unless its run is finished."""
        directory = self.directory / name
        begun = (directory / FILE).exists()
        if begun:
            with self._store(directory) as store:
                if store.state() == "finished":
                    return
        spec, profile = changed(self.spec, self.profile, factors)
        keys = {key for chunk in chunks for key in chunk}
        wanted = {
            gate.name: [k for one in profile.gate_scenarios(gate) for k in one.sample_keys() if k in keys]
            for gate in gates
        }
        run = Run(profile, spec, RunOptions(self.directory, directory, begun, self.concurrency))
        try:
            run.open(self.progress)
            run.wait_ready()
            run.store.select(wanted, [], chunks[0])
            run.start()
            asked: set[str] = set()
            for number, chunk in enumerate(chunks):
                if number:
                    run.store.select_more({}, chunk)
                asked |= set(chunk)
                _wait(run.store, {(gate, key) for gate, of in wanted.items() for key in of if key in asked})
                if enough(run.store):
                    break
            if name == AGAIN:
                self._keep_texts(run)
            run.finish()
        finally:
            run.close()

    def _keep_texts(self, run: Run) -> None:
        """Store the model's text of the samples that missed. This needs the running server, for its tokenizer."""
        target = run.target
        assert target is not None
        client = Client(
            target.base_url.removesuffix("/v1"),
            api_key=self.spec.api_key(),
            timeout=self.profile.traffic.request_timeout,
        )
        samples = self._missed(run.store)

        async def texts() -> dict[str, list[str | None]]:
            return {
                sample.key: [await _text(client, target.served_model, one) for one in sample.exchanges]
                for sample in samples
            }

        run.store.set_meta(**{_TEXTS: asyncio.run(texts())})

    def reparsed(self) -> Outcomes | str:
        """As `blame.search.Bench` says."""
        assert self.gate is not None
        serving = self.profile.serving
        if serving.tool_parser not in model_text.KNOWN:
            known = ", ".join(sorted(filter(None, model_text.KNOWN)))
            return f"our parsers can replace {known}, but not {serving.tool_parser}"
        with self._store(self.directory / AGAIN) as store:
            outcomes = self._outcomes(store)
            texts: Mapping[str, Sequence[str | None]] = store.meta(_TEXTS, {})
            if any(text is None for of_sample in texts.values() for text in of_sample):
                return "the server does not return token ids and their text (vLLM's return_token_ids and /detokenize)"
            for sample in self._missed(store):
                ours = _read_again(sample, texts[sample.key], thinks=serving.reasoning_parser is not None)
                outcomes[sample.key] = judge(self.gate, ours).passed
        return outcomes

    def referee(self) -> Opinion | None:
        """As `blame.search.Bench` says."""
        if not self.referees:
            return None
        assert self.spec.model_dir is not None
        assert self.reference is not None
        self.progress("referee: scores the same tokens with transformers")
        with self._store(self.directory / AGAIN) as store:
            missed = self._missed(store)
        return referee.ask(
            missed, self.spec.model_dir, self.reference, self.directory, self.profile.sampling.temperature
        )

    def _missed(self, store: Store) -> list[Sample]:
        catalogue = Catalogue(self.profile)
        missed = [key for key, passed in self._outcomes(store).items() if passed is False]
        return [catalogue.load(stored) for key in missed if (stored := store.sample(key)) is not None]


def _wait(store: Store, wanted: set[tuple[str, str]]) -> None:
    """Wait until all of these (gate, sample) are judged. Raises TargetError if the run failed."""
    while wanted - {(one.gate, one.sample) for one in store.judgements()}:
        if (state := store.state()).startswith("failed"):
            raise TargetError(state)
        time.sleep(_LOOK)


async def _text(client: Client, model: str, exchange: Exchange) -> str | None:
    """The model's text without the end-of-turn token; None if the server does not return it."""
    ids = exchange.answer.token_ids
    if ids is None:
        return None
    if exchange.answer.finish_reason != "length":
        ids = ids[:-1]  # vLLM returns the stop token's id, but does not pass its text to the parsers
    if not ids:
        return ""
    try:
        response = await client.post("/detokenize", {"model": model, "tokens": list(ids)})
        return str(strict_json(response.body.decode())["prompt"])
    except (TransportError, ValueError, LookupError, TypeError):
        return None


def _read_again(sample: Sample, texts: Sequence[str | None], *, thinks: bool) -> Sample:
    """The sample as our parsers read it, up to the first exchange with other calls, where the conversation ends."""
    exchanges = []
    for exchange, text in zip(sample.exchanges, texts, strict=True):
        assert text is not None
        ours = model_text.read(
            text, exchange.answer, sample.tools, thinks=thinks, thinking=sample.variant.thinking == "on"
        )
        exchanges.append(replace(exchange, answer=ours))
        if [call.name for call in ours.tool_calls] != [call.name for call in exchange.answer.tool_calls]:
            break
    return replace(sample, exchanges=tuple(exchanges))

"""The bench of real servers: each configuration is a run of its own in the search's directory, and can be resumed."""

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

_LOOK = 0.05  # seconds between looks whether a chunk is answered
_TEXTS = "model_texts"  # of a run: what the model wrote, by sample, an exchange each; None where it is not known


@dataclass(slots=True)
class Servers:
    """Starts a server for each configuration.

    Attributes:
        directory: of the search.
        gate: the one that is looked into, once it is known.
        reference: the BF16 checkpoint, for the referee.
        referees: whether one is asked.
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
        """The verdict on the server as it is, on all samples of the gates. Raises TargetError: it does not start."""
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
        """As `blame.search.Bench` says. A run that is finished is read and not served again."""
        assert self.gate is not None
        self._run(name, factors, [self.gate], chunks, lambda store: enough(self._outcomes(store)))
        return self.outcomes(name)

    def outcomes(self, name: str) -> Outcomes:
        """Whether each sample of a run passed the gate."""
        with self._store(name) as store:
            return self._outcomes(store)

    def _outcomes(self, store: Store) -> dict[str, bool | None]:
        assert self.gate is not None
        return {one.sample: None if one.error is not None else one.passed for one in store.judgements(self.gate.name)}

    @contextmanager
    def _store(self, name: str) -> Iterator[Store]:
        store = Store(self.directory / name)
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
        """One configuration, chunk by chunk; nothing where its run is finished."""
        directory = self.directory / name
        begun = (directory / FILE).exists()
        if begun:
            with self._store(name) as store:
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
        """What the model wrote in the samples that missed, while the server is there that has the tokenizer."""
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
            return f"ours read what {known} read, not {serving.tool_parser}"
        with self._store(AGAIN) as store:
            outcomes = self._outcomes(store)
            texts: Mapping[str, Sequence[str | None]] = store.meta(_TEXTS, {})
            if any(text is None for of_sample in texts.values() for text in of_sample):
                return "the server does not give token ids and their text (vLLM's return_token_ids and /detokenize)"
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
        self.progress("referee: the same tokens, by transformers")
        with self._store(AGAIN) as store:
            missed = self._missed(store)
        return referee.ask(
            missed, self.spec.model_dir, self.reference, self.directory, self.profile.sampling.temperature
        )

    def _missed(self, store: Store) -> list[Sample]:
        catalogue = Catalogue(self.profile)
        missed = [key for key, passed in self._outcomes(store).items() if passed is False]
        return [catalogue.load(stored) for key in missed if (stored := store.sample(key)) is not None]


def _wait(store: Store, wanted: set[tuple[str, str]]) -> None:
    """Until all of these are judged. Raises TargetError: the run broke off."""
    while wanted - {(one.gate, one.sample) for one in store.judgements()}:
        if (state := store.state()).startswith("failed"):
            raise TargetError(state)
        time.sleep(_LOOK)


async def _text(client: Client, model: str, exchange: Exchange) -> str | None:
    """What the model wrote, without the end of its turn; None where the server cannot say."""
    ids = exchange.answer.token_ids
    if ids is None:
        return None
    if exchange.answer.finish_reason != "length":
        ids = ids[:-1]  # vLLM counts the stop token and keeps its text from the parsers
    if not ids:
        return ""
    try:
        response = await client.post("/detokenize", {"model": model, "tokens": list(ids)})
        return str(strict_json(response.body.decode())["prompt"])
    except (TransportError, ValueError, LookupError, TypeError):
        return None


def _read_again(sample: Sample, texts: Sequence[str | None], *, thinks: bool) -> Sample:
    """The sample as our parsers read it, up to the first exchange after which the talk would have gone otherwise."""
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

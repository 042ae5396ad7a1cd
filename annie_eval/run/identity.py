"""Checks that a resumed run talks to the model that it began with.

A checkpoint is known by its files and its server by the fingerprint. A server at a URL shows no weights: another model
may stand behind the same name. It is the same one if it says that its process has not been started again. Otherwise
every answer is asked for again and must be judged as before, so that each judgement of the run is also the present
server's. Sampled answers differ by chance and cannot show that: such a run is not resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Profile
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.store import Store, StoredExchange
from annie_eval.serving import checkpoint, fingerprint
from annie_eval.serving.fingerprint_diff import identity
from annie_eval.wire.sample import Sample

_FEW = 3  # answers that may all be worded otherwise by chance


@dataclass(frozen=True, slots=True)
class Server:
    """Where the samples were sent and are sent again."""

    urls: Sequence[str]
    model: str
    api_key: str | None
    token_ids: bool
    concurrency: int


def differences(store: Store, known: Mapping[str, Any], instance: Mapping[str, Any]) -> list[str]:
    """What tells the server that is there from the one that the run began with, in words; [] if nothing does."""
    if not store.finished() and not store.timing("row"):
        return []
    before = store.meta("fingerprint")
    if not before:
        return ["it does not say which server gave its answers"]
    found = identity(before, known)
    if not any("weights" in one for one in found):
        found += _written_anew((store.meta("instance") or {}).get("weights_files"), instance.get("weights_files"))
    return found


def other_files(store: Store, profile: Profile, model_dir: Path, arguments: Sequence[str]) -> list[str]:
    """What tells a checkpoint's files from those that the run began with; known before a server is started.

    Raises:
        UsageError: it is no checkpoint any more.
    """
    before = store.meta("fingerprint") or {}
    if not store.finished() and not store.timing("row"):
        return []
    found: list[str] = []
    if "weights" in before:
        given = (*profile.serving.args, *arguments)
        now = fingerprint.of_files(checkpoint.read(model_dir, given), given)
        found = identity({name: before.get(name) for name in now}, now)
    written = (store.meta("instance") or {}).get("weights_files")
    return found or _written_anew(written, fingerprint.written(model_dir))


def _written_anew(before: Sequence[Any] | None, now: Sequence[Any] | None) -> list[str]:
    """A fingerprint reads a part of each file only: that it was written since tells the rest."""
    if before is None or now is None or before == now:
        return []
    names = sorted({str(file[0]) for file in (*before, *now) if (file in before) != (file in now)})
    return [f"the weights were written again since ({', '.join(names[:4])})"]


def is_known(store: Store, instance: Mapping[str, Any]) -> bool:
    """Whether nothing can have been exchanged behind the fingerprint: the files, or the processes, are the same."""
    return None not in instance.values() and bool(instance) and store.meta("instance") == instance


def answers_otherwise(profile: Profile, store: Store, server: Server, place_of: Callable[[str], int]) -> str | None:
    """Ask again for every answer; in words how the new ones differ, None if they do not.

    Every answer must be judged as before by each gate that judges it, some must be worded as before, and prompts must
    have the same length. An answer that breaks now shows nothing, and the run is not resumed.
    """
    catalogue = Catalogue(profile)
    keys = [key for key, error in store.finished().items() if error is None and key in catalogue]
    if keys and profile.sampling.temperature > 0:
        return (
            "it does not say when its process was started, and answers sampled at temperature"
            f" {profile.sampling.temperature:g} do not show whether it is the same"
        )
    before = {key: _load(catalogue, store, key) for key in keys}
    now = asyncio.run(_ask(profile, catalogue, keys, server, place_of))
    pairs = []
    for key, old in before.items():
        if old is None:
            continue
        new = now[key]
        if isinstance(new, Exception):
            return f"asked again, {key} breaks ({new}), so that nothing shows it to be the same"
        pairs.append((old, new))
    for old, new in pairs:
        lengths = [one.exchanges[0].answer.usage for one in (old, new)]
        tokens = [None if usage is None else usage.prompt_tokens for usage in lengths]
        if None not in tokens and tokens[0] != tokens[1]:
            makes = f"{old.key} makes a prompt of {tokens[1]} tokens, not of {tokens[0]}"
            return f"{makes}: another chat template or tokenizer"

    return _judged_otherwise(profile, pairs) or _worded_otherwise(pairs)


def refusal(run_dir: object, found: Sequence[str]) -> UsageError:
    """The error for a run that is not resumed, naming what differs."""
    return UsageError(
        f"--resume --run-dir {run_dir}: another model or server than the run began with: {'; '.join(found[:4])};"
        " start a new run"
    )


def _load(catalogue: Catalogue, store: Store, key: str) -> Sample | None:
    stored = store.sample(key)
    try:
        return None if stored is None or not stored.exchanges else catalogue.load(stored)
    except ExchangeError:
        return None


async def _ask(
    profile: Profile, catalogue: Catalogue, keys: Sequence[str], server: Server, place_of: Callable[[str], int]
) -> dict[str, Sample | Exception]:
    clients = [Client(url, api_key=server.api_key, timeout=profile.traffic.request_timeout) for url in server.urls]
    slots = asyncio.Semaphore(server.concurrency)
    found: dict[str, Sample | Exception] = {}

    async def one(key: str) -> None:
        done: list[Any] = []
        async with slots:
            try:
                while request := catalogue.next_request(key, done, model=server.model, token_ids=server.token_ids):
                    got = await clients[place_of(key)].post("/chat/completions", request.body)
                    raw = (request.turn, request.round, request.body, got.status, got.headers, got.body, got.reads)
                    done.append(catalogue.exchange(key, StoredExchange(*raw)))
                found[key] = catalogue.sample(key, done)
            except (TransportError, ExchangeError) as error:
                found[key] = error

    await asyncio.gather(*map(one, keys))
    return found


def _judged_otherwise(profile: Profile, pairs: Sequence[tuple[Sample, Sample]]) -> str | None:
    for gate in profile.gates.values():
        mine = {scenario.id for scenario in profile.gate_scenarios(gate)}
        flips = [
            (old.key, old_passed)
            for old, new in pairs
            if old.scenario.id in mine and (old_passed := judge(gate, old).passed) != judge(gate, new).passed
        ]
        if flips:
            key, passed = flips[0]
            return (
                f"asked again, {len(flips)} of {len(pairs)} answers are judged otherwise"
                f" (gate {gate.name}: {key} {'misses' if passed else 'passes'} now)"
            )
    return None


def _worded_otherwise(pairs: Sequence[tuple[Sample, Sample]]) -> str | None:
    alike = sum(_words(old) == _words(new) for old, new in pairs)
    if len(pairs) >= _FEW and not alike:
        return f"asked again, none of {len(pairs)} answers is worded as before"
    return None


def _words(sample: Sample) -> list[Any]:
    answers = [exchange.answer for exchange in sample.exchanges]
    return [(one.content, one.reasoning, [(call.name, call.arguments) for call in one.tool_calls]) for one in answers]

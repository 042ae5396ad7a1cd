"""Checks that a resumed run uses the same model and server as before.

A checkpoint is identified by its files and its server by the fingerprint. A server at a URL does not show its weights:
the same name may mean another model. It is the same server if it reports the same start time of its process. Otherwise
every answer is requested again and must get the same judgement, so that each judgement of the run also holds for the
current server. Sampled answers differ by chance, so such a run is not resumed.
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

_FEW = 3  # number of answers that may all be worded differently by chance


@dataclass(frozen=True, slots=True)
class Server:
    """The server to which samples are sent."""

    urls: Sequence[str]
    model: str
    api_key: str | None
    token_ids: bool
    concurrency: int


def differences(store: Store, known: Mapping[str, Any], instance: Mapping[str, Any]) -> list[str]:
    """Differences between the current server and that of the run, in words; [] if there is none."""
    if not store.finished() and not store.timing("row"):
        return []
    before = store.meta("fingerprint")
    if not before:
        return ["it does not say which server gave its answers"]
    found = identity(before, known)
    if not any("weights" in one for one in found):
        found += _rewritten((store.meta("instance") or {}).get("weights_files"), instance.get("weights_files"))
    return found


def other_files(store: Store, profile: Profile, model_dir: Path, arguments: Sequence[str]) -> list[str]:
    """Differences between a checkpoint's files and those of the run; known before a server is started.

    Raises:
        UsageError: it is no longer a checkpoint.
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
    return found or _rewritten(written, fingerprint.written(model_dir))


def _rewritten(before: Sequence[Any] | None, now: Sequence[Any] | None) -> list[str]:
    """Weight files with another modification time. A fingerprint reads only a part of each file."""
    if before is None or now is None or before == now:
        return []
    names = sorted({str(file[0]) for file in (*before, *now) if (file in before) != (file in now)})
    return [f"the weights were written again since ({', '.join(names[:4])})"]


def is_known(store: Store, instance: Mapping[str, Any]) -> bool:
    """Whether the server is known to be the same: the same files, or the same process."""
    return None not in instance.values() and bool(instance) and store.meta("instance") == instance


def answers_otherwise(profile: Profile, store: Store, server: Server, place_of: Callable[[str], int]) -> str | None:
    """Request every answer again; returns how the new answers differ, in words, or None.

    Every answer must get the same judgement from each of its gates, some must have the same words, and prompts must
    have the same length. If an answer breaks now, the run is not resumed.
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

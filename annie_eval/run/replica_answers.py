"""Compares the answers of a run's replicas, read from the run's store and from those below `replicas/N/`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.replicas import Answered, Shares, compare_replicas, shares
from annie_eval.profile.types import Profile
from annie_eval.run.judge import Catalogue
from annie_eval.run.store import Store, StoredSample
from annie_eval.text import is_blank
from annie_eval.wire.sample import Exchange

_PIECES = 4  # minimum number of events of a stream of some words


def folder(run_dir: Path, server: int) -> Path:
    """The directory of a server's further answers; servers are counted from 1."""
    return run_dir / "replicas" / str(server + 1)


def compared(profile: Profile, main: Store, run_dir: Path, urls: Sequence[str]) -> dict[str, Any]:
    """Compare the answers of a run's servers, read from its stores."""
    dealt = shares(profile, run_dir.name, len(urls))
    catalogue = Catalogue(profile)
    answers = _answers(catalogue, main, dealt, None)
    missing = 0
    for server in range(len(urls)):
        try:
            store = Store(folder(run_dir, server))
        except UsageError:
            missing += 1  # the samples were never sent
            continue
        try:
            found = _answers(catalogue, store, dealt, server)
            missing += len(store.wanted()) - len(found)
            answers += found
        finally:
            store.close()
    return compare_replicas(profile, urls, answers, missing)


def _answers(catalogue: Catalogue, store: Store, dealt: Shares, server: int | None) -> list[Answered]:
    """The answers in one store; in the run's own if `server` is None."""
    judgements: dict[str, list[Judgement]] = defaultdict(list)
    for one in store.judgements():
        judgements[one.sample].append(one)
    stored: Mapping[str, StoredSample] = {one.key: one for one in store.samples()}
    return [
        Answered(
            dealt[key] if server is None else server,
            key,
            server is None,
            tuple(of),
            *_shown(catalogue, stored.get(key)),
        )
        for key, of in judgements.items()
    ]


def _shown(catalogue: Catalogue, stored: StoredSample | None) -> tuple[frozenset[str], int | None]:
    """Properties of an answer, as verbs, and the length of its first prompt."""
    try:
        exchanges = () if stored is None or stored.key not in catalogue else catalogue.load(stored).exchanges
    except ExchangeError:
        exchanges = ()
    if not exchanges:
        return frozenset(), None
    usage = exchanges[0].answer.usage
    shows = frozenset(verb for exchange in exchanges for verb in _verbs(exchange))
    return shows, None if usage is None else usage.prompt_tokens


def _verbs(exchange: Exchange) -> list[str]:
    answer = exchange.answer
    told = {
        "calls a tool": bool(answer.tool_calls),
        "says anything": not is_blank(answer.content),
        "thinks in a channel of its own": not is_blank(answer.reasoning),
        "tells its usage": answer.usage is not None,
        "returns token ids": answer.token_ids is not None,
        "streams in pieces": exchange.streamed and exchange.body.count(b"data:") > _PIECES,
        f"ends with finish_reason {answer.finish_reason}": answer.finish_reason is not None,
    }
    return [verb for verb, shown in told.items() if shown]

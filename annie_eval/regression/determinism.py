"""Tests determinism: sends questions several times to an idle server. At temperature 0 the answers must be equal.

The gate's own answers cannot show this: under load the words of a correct server differ, because rounding in a batch
depends on the other requests in it. So the questions are sent one after the other, with another seed each time. Even
then an answer may differ occasionally. If more than one does, everything is sent once more, so that a server that
rewords one answer in twelve is not mistaken for one that samples.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Profile, Scenario, Variant
from annie_eval.regression.run_data import scenario_of
from annie_eval.run.store import Store
from annie_eval.wire import parse
from annie_eval.wire.conversation import next_request

QUESTIONS, TIMES = 3, 4
_LENGTH = 120  # preferred length of an answer in characters: long enough to vary, and fast
_PATIENCE = 90.0  # seconds for all of it
_DOUBT = 2  # number of differing answers that leads to a second round


class _Late(Exception):
    """The server is too slow for all questions."""


def probe(profile: Profile, store: Store, base_url: str, model: str, api_key: str | None) -> dict[str, Any] | None:
    """Send the questions; returns the number of different answers of each.

    None if the profile samples or the server broke.

    Args:
        store: store of the run: questions with answers of one or two sentences are chosen, because they are fast.
    """
    if profile.sampling.temperature > 0 or "temperature" in profile.sampling.extra:
        return None
    return asyncio.run(_probe(_open_questions(profile, _lengths(store)), profile, base_url, model, api_key))


async def _probe(
    questions: Sequence[Scenario], profile: Profile, base_url: str, model: str, api_key: str | None
) -> dict[str, Any] | None:
    client = Client(base_url, api_key=api_key, timeout=profile.traffic.request_timeout)
    end = time.monotonic() + _PATIENCE
    answers: dict[str, Counter[_Answer]] = {scenario.id: Counter() for scenario in questions}
    try:
        for seeds in (range(TIMES), range(TIMES, 2 * TIMES)):
            for scenario in questions:
                for seed in seeds:
                    if time.monotonic() > end:
                        raise _Late
                    answers[scenario.id][await _ask(client, profile, scenario, model, seed)] += 1
            if _odd(answers.values()) < _DOUBT:
                break
    except _Late:
        pass  # use the questions that were answered in time
    except (TransportError, ExchangeError):
        return None
    found = [counts for counts in answers.values() if counts]
    if not found:
        return None
    return {
        "questions": len(found),
        "asked": sum(counts.total() for counts in found),
        "distinct": [len(counts) for counts in found],
        "odd": _odd(found),
    }


_Answer = tuple[str | None, str | None, tuple[tuple[str | None, str | None], ...]]


async def _ask(client: Client, profile: Profile, scenario: Scenario, model: str, seed: int) -> _Answer:
    request = next_request(profile, scenario, Variant(stream=False), (), model=model, token_ids=False)
    assert request is not None
    response = await client.post("/chat/completions", {**request.body, "seed": seed})
    answer = parse.parse(response.body, streamed=False)
    return answer.content, answer.reasoning, tuple((call.name, call.arguments) for call in answer.tool_calls)


def _odd(answers: Iterable[Counter[_Answer]]) -> int:
    """Number of answers that differ from the most frequent answer to their question."""
    return sum(counts.total() - max(counts.values()) for counts in answers)


def _open_questions(profile: Profile, lengths: Mapping[str, int]) -> Sequence[Scenario]:
    """Questions without an expected call or fact, whose answers are closest to `_LENGTH`."""

    def rank(scenario: Scenario) -> tuple[bool, bool, bool, float]:
        expect = scenario.turns[0].expect
        length = lengths.get(scenario.id, math.inf)
        return bool(expect.calls), expect.truncated, expect.answer is not None, abs(length - _LENGTH)

    return sorted(profile.scenarios, key=rank)[:QUESTIONS]


def _lengths(store: Store) -> dict[str, int]:
    """Length in characters of each scenario's first answer in a run."""
    found: dict[str, int] = {}
    for stored in store.samples():
        if stored.error is None and stored.exchanges:
            first = stored.exchanges[0]
            content = parse.parse(first.body, streamed=bool(first.request.get("stream"))).content
            found.setdefault(scenario_of(stored.key), len(content or ""))
    return found


def trace(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    """The finding about a server that gives several answers to one question; None if it is deterministic."""
    if now is None or not _samples(now) or (before is not None and _samples(before)):
        return None
    return (
        f"the temperature was raised: {now['questions']} questions, asked {_asked(now)} times in all at temperature 0,"
        f" had {sum(now['distinct'])} different answers"
    )


def _samples(found: Mapping[str, Any]) -> bool:
    """Whether more than a third of the answers differ.

    A server that rewords 8 % of its answers by chance has so many in one of 20,000 tests, one that rewords every
    second answer in 19 of 20. Runs of earlier versions store only the number of different answers per question.
    """
    distinct: list[int] = found["distinct"]
    odd = found.get("odd", sum(distinct) - len(distinct))
    return bool(3 * odd > _asked(found))


def _asked(found: Mapping[str, Any]) -> int:
    return int(found.get("asked", TIMES * len(found["distinct"])))

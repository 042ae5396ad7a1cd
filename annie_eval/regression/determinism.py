"""Asks a quiet server one question several times: at temperature 0 the answers must be equal.

The gate's own answers cannot tell: under load even a sound server's words differ, since the rounding of a batch
depends on what else is in it. So the questions here are asked one after the other, with another seed each time. Even
so an answer may come out otherwise now and then; where more than one does, everything is asked once more, so that a
server that rewords one answer in twelve is not taken for one that samples.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval.errors import ExchangeError
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Profile, Scenario, Variant
from annie_eval.regression.run_data import scenario_of
from annie_eval.run.store import Store
from annie_eval.wire import parse
from annie_eval.wire.conversation import next_request

QUESTIONS, TIMES = 3, 4
_LENGTH = 120  # characters of an answer that is long enough to come out otherwise, and soon over
_PATIENCE = 90.0  # seconds for all of it
_DOUBT = 2  # odd answers that call for a second round


class _Late(Exception):
    """The server takes too long to be asked everything."""


def probe(profile: Profile, store: Store, base_url: str, model: str, api_key: str | None) -> dict[str, Any] | None:
    """Ask; how many different answers each question had. None where the profile samples, or the server broke.

    Args:
        store: of the run before: questions are chosen that had an answer of a sentence or two, since they cost little.
    """
    if profile.sampling.temperature > 0 or "temperature" in profile.sampling.extra:
        return None
    return asyncio.run(_probe(_open_questions(profile, _lengths(store)), profile, base_url, model, api_key))


async def _probe(
    questions: Sequence[Scenario], profile: Profile, base_url: str, model: str, api_key: str | None
) -> dict[str, Any] | None:
    client = Client(base_url, api_key=api_key, timeout=profile.traffic.request_timeout)
    end = time.monotonic() + _PATIENCE
    answers: list[Counter[_Said]] = [Counter() for _ in questions]
    try:
        for seeds in (range(TIMES), range(TIMES, 2 * TIMES)):
            for scenario, counts in zip(questions, answers, strict=True):
                for seed in seeds:
                    if time.monotonic() > end:
                        raise _Late
                    counts[await _ask(client, profile, scenario, model, seed)] += 1
            if _odd(answers) < _DOUBT:
                break
    except _Late:
        pass  # the questions that were answered in time will do
    except (TransportError, ExchangeError):
        return None
    answers = [counts for counts in answers if counts]
    if not answers:
        return None
    return {
        "questions": len(answers),
        "asked": sum(counts.total() for counts in answers),
        "distinct": [len(counts) for counts in answers],
        "odd": _odd(answers),
    }


_Said = tuple[str | None, str | None, tuple[tuple[str | None, str | None], ...]]


async def _ask(client: Client, profile: Profile, scenario: Scenario, model: str, seed: int) -> _Said:
    request = next_request(profile, scenario, Variant(stream=False), (), model=model, token_ids=False)
    assert request is not None
    response = await client.post("/chat/completions", {**request.body, "seed": seed})
    answer = parse.parse(response.body, streamed=False)
    return answer.content, answer.reasoning, tuple((call.name, call.arguments) for call in answer.tool_calls)


def _odd(answers: Sequence[Counter[_Said]]) -> int:
    """Answers that are not what their question is mostly answered with."""
    return sum(counts.total() - max(counts.values(), default=0) for counts in answers)


def _open_questions(profile: Profile, lengths: Mapping[str, int]) -> Sequence[Scenario]:
    """Those with free answers: no call wanted, no fact to state; of these the answers nearest to `_LENGTH`."""

    def rank(scenario: Scenario) -> tuple[bool, bool, bool, int]:
        expect = scenario.turns[0].expect
        length = lengths.get(scenario.id, 100 * _LENGTH)
        return bool(expect.calls), expect.truncated, expect.answer is not None, abs(length - _LENGTH)

    return sorted(profile.scenarios, key=rank)[:QUESTIONS]


def _lengths(store: Store) -> dict[str, int]:
    """Characters of each scenario's first answer in a run."""
    found: dict[str, int] = {}
    for stored in store.samples():
        if stored.error is None and stored.exchanges:
            first = stored.exchanges[0]
            content = parse.parse(first.body, streamed=bool(first.request.get("stream"))).content
            found.setdefault(scenario_of(stored.key), len(content or ""))
    return found


def trace(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    """What the probe says of a server that answers one question in several ways; None where it is steady."""
    if now is None or not _samples(now) or (before is not None and _samples(before)):
        return None
    return (
        f"the temperature was raised: {now['questions']} questions, asked {_asked(now)} times in all at temperature 0,"
        f" had {sum(now['distinct'])} different answers"
    )


def _samples(found: Mapping[str, Any]) -> bool:
    """More than a third of the answers are odd.

    A server that rewords 8 % of its answers by chance has so many in one probe of 20,000, one that rewords every
    second answer in 19 of 20. Runs of earlier versions know only how many different answers each question had.
    """
    distinct: list[int] = found["distinct"]
    odd = found.get("odd", sum(distinct) - len(distinct))
    return bool(3 * odd > _asked(found))


def _asked(found: Mapping[str, Any]) -> int:
    return int(found.get("asked", TIMES * len(found["distinct"])))

"""Does a quiet server answer one question in one way? At temperature 0 it must; a server that samples does not.

The gate's own answers cannot tell: under load even a sound server's words differ, since the rounding of a batch
depends on what else is in it. So the questions here are asked one after the other, with another seed each time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from annie_eval import wire
from annie_eval.client import Client, TransportError
from annie_eval.conversation import next_request
from annie_eval.errors import ExchangeError
from annie_eval.profile_types import Profile, Scenario
from annie_eval.regression.evidence import scenario_of
from annie_eval.sample import Variant
from annie_eval.store import Store

QUESTIONS, TIMES = 3, 4
_LENGTH = 120  # characters of an answer that is long enough to come out otherwise, and soon over
_PATIENCE = 90.0  # seconds for all of it


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
    distinct = []
    try:
        for scenario in questions:
            request = next_request(profile, scenario, Variant(stream=False), (), model=model, token_ids=False)
            assert request is not None
            answers = set()
            for seed in range(TIMES):
                if time.monotonic() > end:
                    raise _Late
                response = await client.post("/chat/completions", {**request.body, "seed": seed})
                answer = wire.parse(response.body, streamed=False)
                answers.add(
                    (answer.content, answer.reasoning, tuple((c.name, c.arguments) for c in answer.tool_calls))
                )
            distinct.append(len(answers))
    except _Late:
        pass  # the questions that were answered in time will do
    except (TransportError, ExchangeError):
        return None
    finally:
        await client.close()
    return {"questions": len(distinct), "times": TIMES, "distinct": distinct} if distinct else None


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
            content = wire.parse(first.body, streamed=bool(first.request.get("stream"))).content
            found.setdefault(scenario_of(stored.key), len(content or ""))
    return found


def trace(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str | None:
    """What the probe says of a server that answers one question in several ways; None where it is steady."""
    if now is None or not _samples(now) or (before is not None and _samples(before)):
        return None
    return (
        f"the temperature was raised: {now['questions']} questions, asked {now['times']} times each at temperature 0,"
        f" had {sum(now['distinct'])} different answers"
    )


def _samples(found: Mapping[str, Any]) -> bool:
    """More than one odd answer to each question: a cold and a cached prompt may round differently, no more."""
    distinct: list[int] = found["distinct"]
    return sum(distinct) > 2 * len(distinct)

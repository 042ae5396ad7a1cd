"""Several servers that should be alike: shares samples among them and compares their results.

Loaded only where `--base-url` is given more than once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Variant
from annie_eval.serving import fingerprint_diff
from annie_eval.stats import binomial
from annie_eval.stats.paired import fisher
from annie_eval.wire import parse
from annie_eval.wire.conversation import next_request

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

ALPHA = 0.01
"""Chance that equal servers are said to differ, over all gates of a run; it is asked every night."""


class Shares:
    """Which server answers a sample: the servers take turns along an order that is shuffled anew in each run.

    Shuffled, so that no server gets the streamed or the hard samples; anew, so that an unlucky share is not dealt out
    again every night; by a hash, so that a resumed run deals as it began.
    """

    def __init__(self, keys: Sequence[str], salt: str, servers: int) -> None:
        self._salt, self._servers = salt, servers
        order = sorted(keys, key=self._hash)
        self._places = {key: place % servers for place, key in enumerate(order)}

    def _hash(self, key: str) -> bytes:
        return hashlib.sha256(f"{self._salt}\n{key}".encode("utf-8", "backslashreplace")).digest()

    def __getitem__(self, key: str) -> int:
        """The index of the server; samples that the profile does not know go by their hash alone."""
        place = self._places.get(key)
        return int.from_bytes(self._hash(key)[:8]) % self._servers if place is None else place


def shares(profile: Profile, salt: str, servers: int) -> Shares:
    """The shares of a profile's samples in the run `salt`."""
    return Shares([key for scenario in profile.scenarios for key in scenario.sample_keys()], salt, servers)


def check_same(first: str, known: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Hold what each server says of itself against the first.

    Args:
        known: fingerprint of the first server; `others`: of the others, by URL.

    Raises:
        UsageError: one is another; names the server and the difference.
    """
    for url, said in others.items():
        differences = [
            f"{name.replace('_', ' ')} {known.get(name)} there, {said.get(name)} here"
            for name in [*known, *(name for name in said if name not in known)]
            if known.get(name) != said.get(name)
        ]
        if differences:
            known_words = fingerprint_diff.between(known, said)
            named = [*known_words.refused, *known_words.compared] or differences
            raise UsageError(
                f"--base-url {url}: is no replica of {first}: {'; '.join(named[:4])}; name servers that are alike"
            )


def check_prompts(urls: Sequence[str], model: str, profile: Profile, api_key: str | None) -> None:
    """Ask every server one short question; the prompts that their templates render must be of one length.

    Raises:
        UsageError: a server renders the same request otherwise.
    """
    lengths = asyncio.run(_prompts(urls, model, profile, api_key))
    for url, length in zip(urls, lengths, strict=True):
        if None not in (length, lengths[0]) and length != lengths[0]:
            raise UsageError(
                f"--base-url {url}: is no replica of {urls[0]}: the chat template or the tokenizer differs: the same"
                f" request makes {lengths[0]} tokens there and {length} here; name servers that are alike"
            )


async def _prompts(urls: Sequence[str], model: str, profile: Profile, api_key: str | None) -> list[int | None]:
    return await asyncio.gather(*(_prompt(url, model, profile, api_key) for url in urls))


async def _prompt(url: str, model: str, profile: Profile, api_key: str | None) -> int | None:
    """Tokens of the prompt of the profile's first scenario; None where the server does not say or breaks."""
    client = Client(url, api_key=api_key, timeout=profile.traffic.request_timeout)
    scenario = profile.scenarios[0]
    request = next_request(profile, scenario, Variant(stream=False), (), model=model, token_ids=False)
    assert request is not None
    try:
        response = await client.post("/chat/completions", request.body)
        usage = parse.parse(response.body, streamed=False).usage
        return None if usage is None else usage.prompt_tokens
    except (TransportError, ExchangeError):
        return None  # the samples will show it, with its cause
    finally:
        await client.close()


def compare(urls: Sequence[str], judgements: Sequence[Judgement], place_of: Shares) -> dict[str, Any]:
    """Whether the servers pass equally often: Fisher's exact test of each against the others, gate by gate, Holm."""
    by_sample: dict[str, list[Judgement]] = defaultdict(list)
    counts: dict[str, Counter[tuple[int, bool]]] = defaultdict(Counter)
    for judgement in judgements:
        by_sample[judgement.sample].append(judgement)
        if judgement.error is None:
            counts[judgement.gate][place_of[judgement.sample], judgement.passed] += 1
    servers = [{"base_url": url, "n": 0, "passed": 0, "broken": 0} for url in urls]
    for sample, of in by_sample.items():
        server: dict[str, Any] = servers[place_of[sample]]
        broken = any(judgement.error is not None for judgement in of)
        server["broken"] += broken
        server["n"] += not broken
        server["passed"] += all(judgement.passed for judgement in of)
    tests = []
    for gate, count in counts.items():
        for place in range(len(urls) if len(urls) > 2 else 1):
            table = _table(count, place)
            tests.append((gate, place, table, fisher(*table)))
    adjusted = binomial.holm([p for *_, p in tests])
    gates = [
        {
            "name": gate,
            "server": urls[place],
            "p": p,
            "adjusted": each,
            "verdict": "FAIL" if each <= ALPHA else "PASS",
            "detail": f"{urls[place]} {table[0]}/{table[1]}, the others {table[2]}/{table[3]}",
        }
        for (gate, place, table, p), each in zip(tests, adjusted, strict=True)
    ]
    failed = [f"{gate['name']}: {gate['detail']}" for gate in gates if gate["verdict"] == "FAIL"]
    return {
        "verdict": "FAIL" if failed else "PASS",
        "headline": _headline(servers, failed),
        "servers": servers,
        "gates": gates,
    }


def _table(count: Counter[tuple[int, bool]], place: int) -> tuple[int, int, int, int]:
    """(passed, n) of one server and (passed, n) of all others."""
    passed, missed = count[place, True], count[place, False]
    all_passed = sum(n for (_, held), n in count.items() if held)
    return passed, passed + missed, all_passed - passed, sum(count.values()) - passed - missed


def _headline(servers: Sequence[Mapping[str, Any]], failed: Sequence[str]) -> str:
    broken = [f"{each['base_url']} broke {each['broken']} of its samples" for each in servers if each["broken"]]
    if failed:
        return f"replicas differ: {'; '.join([*failed[:4], *broken])}"
    share = ", ".join(f"{each['passed']}/{each['n']}" for each in servers)
    return f"replicas: {len(servers)} servers agree ({share} samples pass)" + "".join(f"; {each}" for each in broken)

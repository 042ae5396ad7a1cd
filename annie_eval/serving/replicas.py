"""Checks that replicas serve the same model and render the same prompts.

Loaded only if `--base-url` is given more than once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.http_client import Client, TransportError
from annie_eval.profile.types import Variant
from annie_eval.serving import fingerprint_diff
from annie_eval.wire import parse
from annie_eval.wire.conversation import next_request

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile


def check_same(first: str, known: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare what each server reports with the first server.

    Args:
        known: fingerprint of the first server; `others`: those of the others, by URL.

    Raises:
        UsageError: one differs; names the server and the difference.
    """
    for url, other in others.items():
        differences = [
            f"{name.replace('_', ' ')} {known.get(name)} there, {other.get(name)} here"
            for name in [*known, *(name for name in other if name not in known)]
            if known.get(name) != other.get(name)
        ]
        if differences:
            known_words = fingerprint_diff.between(known, other)
            named = [*known_words.refused, *known_words.compared] or differences
            raise UsageError(
                f"--base-url {url}: is no replica of {first}: {'; '.join(named[:4])}; name servers that are alike"
            )


def check_prompts(urls: Sequence[str], model: str, profile: Profile, api_key: str | None) -> None:
    """Send one short question to every server; the rendered prompts must have the same length.

    Raises:
        UsageError: a server renders the request differently.
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
    """Number of tokens of the prompt of the profile's first scenario; None if not reported or if the server breaks."""
    client = Client(url, api_key=api_key, timeout=profile.traffic.request_timeout)
    scenario = profile.scenarios[0]
    request = next_request(profile, scenario, Variant(stream=False), (), model=model, token_ids=False)
    assert request is not None
    try:
        response = await client.post("/chat/completions", request.body)
        usage = parse.parse(response.body, streamed=False).usage
        return None if usage is None else usage.prompt_tokens
    except (TransportError, ExchangeError):
        return None  # the samples will show the error and its cause

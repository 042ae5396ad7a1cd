"""Runs the deployed parsers over a sample's own token ids, in one go and chunk by chunk, and compares.

vLLM's `/v1/chat/completions/derender` (with `--enable-scale-out`) generates nothing, so what differs here is the
parsers' doing, never the model's. `annie_eval.detectors.parity` makes the requests and reads the answers.
"""

from __future__ import annotations

import json

from annie_eval.detectors.finding import Finding
from annie_eval.errors import ExchangeError
from annie_eval.http_client import Client, TransportError
from annie_eval.wire.sample import Sample

CHUNK = 4  # tokens a chunk: small enough to split tags and arguments, at a quarter of the requests of single tokens
_PATH = "/chat/completions/derender"


class NotOffered(Exception):
    """The server has no such endpoint, or has it switched off; the message is what it said."""


async def derender(client: Client, sample: Sample) -> tuple[Finding, ...]:
    """Differences in any exchange of the sample; none where the server gave no token ids.

    Raises:
        NotOffered: vLLM without --enable-scale-out has the path, refuses a GET of it with 405 as if it were there, and
            a POST with 403.
        ExchangeError: the endpoint broke, or answered something else than it promises.
    """
    from annie_eval.detectors import parity

    found: list[Finding] = []
    for index, exchange in enumerate(sample.exchanges):
        request = parity.derender_request(exchange)
        if request is None:
            continue
        try:
            unstreamed = (await client.post(_PATH, request)).body
            chunks: list[bytes] = []
            state = None
            length = parity.derender_length(exchange)
            for start in range(0, length, CHUNK):
                part = parity.derender_stream_request(exchange, start, min(start + CHUNK, length), state)
                assert part is not None, "token ids are known"
                chunks.append((await client.post(_PATH, part)).body)
                state = json.loads(chunks[-1])["stream_state"]
        except TransportError as error:
            if error.status in (403, 404, 405, 501):
                raise NotOffered(error.cause) from None
            raise ExchangeError(f"derender: {error.cause}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ExchangeError(f"derender answered no stream_state ({type(error).__name__})") from None
        if chunks:
            found += parity.compare_derendered(unstreamed, chunks, index)
    return tuple(found)

"""Lets the server's parsers parse a sample's token ids again, at once and in chunks, and compares the results.

vLLM's `/v1/chat/completions/derender` (with `--enable-scale-out`) generates nothing, so differences are caused by the
parsers, never by the model. `annie_eval.detectors.parity` makes the requests and reads the answers.
"""

from __future__ import annotations

import json

from annie_eval.detectors.finding import Finding
from annie_eval.errors import ExchangeError
from annie_eval.http_client import Client, TransportError
from annie_eval.wire.sample import Sample

# tokens per chunk: small enough to split tags and arguments, with a quarter of the requests of single tokens
CHUNK = 4
_PATH = "/chat/completions/derender"


class NotOffered(Exception):
    """The server has no such endpoint, or it is switched off; the message is the server's."""


async def derender(client: Client, sample: Sample) -> tuple[Finding, ...]:
    """Differences in any exchange of the sample; none if the server returned no token ids.

    Raises:
        NotOffered: the endpoint is missing or switched off. (vLLM without --enable-scale-out answers GET with 405, as
            if it existed, and POST with 403.)
        ExchangeError: the endpoint broke, or its answer has another format.
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

"""Compares a streamed and an unstreamed reply: the server's parsers must read the same tokens in the same way.

Greedy text differs with load, so two replies to one request may well differ, and that says nothing about the parsers.
Where both replies consist of the same token ids, though, they are one and the same output of the model, and any
difference between their channels was made by the server. Only that case is ever reported.

vLLM's `/v1/chat/completions/derender` (with `--enable-scale-out`) runs the deployed parsers over given token ids,
without generating anything: `derender_request` and `derender_stream_request` make its bodies from a recorded
exchange, and `compare_derendered` judges what comes back. Schema: `vllm/entrypoints/scale_out/token_in_token_out/
protocol.py` of vLLM 0.32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annie_eval.detectors.finding import Finding, excerpt
from annie_eval.errors import ExchangeError
from annie_eval.strict_json import strict_json
from annie_eval.wire.parse import parse, prompt_token_ids
from annie_eval.wire.sample import Answer, Channel, Exchange, Sample, ToolCall

_BOTH = "the same token ids, but other {} when streamed than when not"


def compare_transports(streamed: Sample, unstreamed: Sample) -> tuple[Finding, ...]:
    """Differences between a streamed sample and its unstreamed twin that the server alone can have made.

    Exchanges are compared while their token ids are equal; from the first that differs (or that has none, as with
    servers other than vLLM) the two conversations have parted, and nothing is said about them.

    Content and reasoning are compared stripped (vLLM's parsers differ in the white space around a call), absent and
    empty alike, calls by name and parsed arguments. Where max_tokens cut the output, a stream may hold back what it
    could not finish: then the one text may be a beginning of the other, and calls are not compared.
    """
    found: list[Finding] = []
    for index, (one, other) in enumerate(zip(streamed.exchanges, unstreamed.exchanges, strict=False)):
        ids = one.answer.token_ids
        if ids is None or ids != other.answer.token_ids:
            break
        found += _differences(one.answer, other.answer, index)
    return tuple(found)


def same_output(streamed: Answer, unstreamed: Answer) -> list[str] | None:
    """What differs between two answers that are one output of the model; None where it is not known that they are.

    Without token ids, answers that ended by themselves after equally many tokens are taken for one output, and only
    calls that the stream lost altogether are told of.
    """
    if streamed.token_ids is not None and unstreamed.token_ids is not None:
        if streamed.token_ids != unstreamed.token_ids:
            return None
        return [f"{found.reason} ({found.excerpt})" for found in _differences(streamed, unstreamed, 0)]
    counts = [one.usage and one.usage.completion_tokens for one in (streamed, unstreamed)]
    if None in counts or counts[0] != counts[1] or "length" in (streamed.finish_reason, unstreamed.finish_reason):
        return None
    lost = unstreamed.tool_calls and not streamed.tool_calls
    return [f"as many tokens, but no call when streamed (unstreamed: {_listed(unstreamed)})"] if lost else []


def _differences(streamed: Answer, unstreamed: Answer, index: int) -> Iterator[Finding]:
    cut = "length" in (streamed.finish_reason, unstreamed.finish_reason)
    pairs: tuple[tuple[Channel, str | None, str | None], ...] = (
        ("content", streamed.content, unstreamed.content),
        ("reasoning", streamed.reasoning, unstreamed.reasoning),
    )
    for channel, one, other in pairs:
        left, right = (one or "").strip(), (other or "").strip()
        if left == right or (cut and (left.startswith(right) or right.startswith(left))):
            continue
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        shown = f"streamed: {_around(left, at)} / unstreamed: {_around(right, at)}"
        yield Finding("wire", _BOTH.format(channel), shown[:160], channel, index)
    if not cut:
        calls = [_comparable(call) for call in streamed.tool_calls]
        others = [_comparable(call) for call in unstreamed.tool_calls]
        if calls != others:
            shown = f"streamed: {_listed(streamed)} / unstreamed: {_listed(unstreamed)}"
            yield Finding("wire", _BOTH.format("tool calls"), shown[:160], "tool_calls", index)


def _comparable(call: ToolCall) -> tuple[str | None, Any]:
    """A call as what it means: arguments that parse are equal whatever their spacing and the order of their keys."""
    try:
        return call.name, json.dumps(strict_json(call.arguments or ""), sort_keys=True)
    except ValueError:
        return call.name, ("not JSON", call.arguments)


def _around(text: str, at: int) -> str:
    return repr(excerpt(text, at, context=24, most=52)) if text else "nothing"


def _listed(answer: Answer) -> str:
    return ", ".join(f"{call.name}({call.arguments})" for call in answer.tool_calls)[:64] or "none"


def derender_request(exchange: Exchange) -> dict[str, Any] | None:
    """Body that has vLLM parse the exchange's own token ids in one go; None if the ids are not known."""
    ids = _ids(exchange)
    if ids is None:
        return None
    prompt, output = ids
    choice = {"index": 0, "token_ids": list(output), "finish_reason": exchange.answer.finish_reason}
    response = {"request_id": "derender", "choices": [choice], "prompt_token_ids": list(prompt)}
    return {"stream": False, **_asked(exchange, prompt, stream=False), "generate_response": response}


def derender_stream_request(
    exchange: Exchange, start: int, stop: int, state: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Body that has vLLM parse token ids `start` to `stop` (exclusive) as the next chunk of a stream.

    Send one for each chunk, in order, until `stop` reaches the end of the ids: `derender_length` of them.

    Args:
        state: `stream_state` of the previous response; None for the first chunk.
    """
    ids = _ids(exchange)
    if ids is None:
        return None
    prompt, output = ids
    ended = exchange.answer.finish_reason if stop >= len(output) else None
    choice = {"index": 0, "token_ids": list(output[start:stop]), "finish_reason": ended}
    chunk = {"request_id": "derender", "choices": [choice]}
    asked = _asked(exchange, prompt, stream=True)
    return {"stream": True, **asked, "generate_chunk": chunk, "stream_state": None if state is None else dict(state)}


def derender_length(exchange: Exchange) -> int:
    """How many token ids there are to derender; 0 if they are not known."""
    ids = _ids(exchange)
    return 0 if ids is None else len(ids[1])


def compare_derendered(unstreamed: bytes, chunks: Sequence[bytes], index: int = 0) -> tuple[Finding, ...]:
    """Differences between what the deployed parsers make of the same token ids in one go and chunk by chunk.

    Args:
        unstreamed: response body to `derender_request`.
        chunks: response bodies to `derender_stream_request`, in order.
        index: of the exchange, for the findings.

    Raises:
        ExchangeError: a body is not what the endpoint promises.
    """
    stream = b""
    for chunk in chunks:
        try:
            stream += b"data: " + json.dumps(strict_json(chunk.decode())["chunk"]).encode() + b"\n\n"
        except (ValueError, KeyError, TypeError) as error:
            raise ExchangeError(f"derender answered no chunk ({type(error).__name__}): {chunk[:80]!r}") from None
    streamed = parse(stream + b"data: [DONE]\n\n", streamed=True)
    return tuple(_differences(streamed, parse(unstreamed, streamed=False), index))


def _asked(exchange: Exchange, prompt: Sequence[int], *, stream: bool) -> dict[str, Any]:
    request = {k: v for k, v in exchange.request.items() if stream or k != "stream_options"}
    request["stream"] = stream
    return {"prompt_token_ids": list(prompt), "prompt_tokens": len(prompt), "chat_request": request}


def _ids(exchange: Exchange) -> tuple[Sequence[int], Sequence[int]] | None:
    """Token ids of the prompt and of the answer as the parsers saw it.

    vLLM counts the stop token among the ids but keeps its text from the parsers; derender would show it to them.
    """
    output = exchange.answer.token_ids
    if output and exchange.answer.finish_reason != "length":
        output = output[:-1]
    prompt = prompt_token_ids(exchange.body, streamed=exchange.streamed)
    return None if not output or prompt is None else (prompt, output)

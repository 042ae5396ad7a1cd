"""A server whose completions take a fixed time, for measuring the gate's own overhead.

    python benchmarks/fixed_server.py --latency 0.5 [--port 0]

Prints its base URL. One process, only the standard library; each request takes it well under a millisecond.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json

WORDS = ("Hello", " there,", " I", " am", " glad", " you", " asked", ".")


def _event(delta: dict[str, object], finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fixed",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return f"data: {json.dumps(chunk)}\n\n".encode()


USAGE = {"prompt_tokens": 10, "completion_tokens": len(WORDS), "total_tokens": 10 + len(WORDS)}
STREAM = (
    _event({"role": "assistant", "content": ""})
    + b"".join(_event({"content": word}) for word in WORDS)
    + _event({}, "stop")
    + b"data: "
    + json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "fixed",
            "choices": [],
            "usage": USAGE,
        }
    ).encode()
    + b"\n\ndata: [DONE]\n\n"
)
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fixed",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}
        ],
        "usage": USAGE,
    }
).encode()
MODELS = json.dumps({"object": "list", "data": [{"id": "fixed", "object": "model", "owned_by": "fixed"}]}).encode()


NUMBERS = itertools.count()  # no two answers are the same bytes, as from a real server


def _response(body: bytes, kind: str, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, latency: float) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            body = await reader.readexactly(length)
            path = head.split(b" ", 2)[1]
            if path.endswith(b"/chat/completions"):
                await asyncio.sleep(latency)
                streamed = json.loads(body).get("stream")
                answer = (STREAM if streamed else WHOLE).replace(b"chatcmpl-1", f"chatcmpl-{next(NUMBERS)}".encode())
                writer.write(_response(answer, "text/event-stream" if streamed else "application/json"))
            elif path.endswith(b"/models"):
                writer.write(_response(MODELS, "application/json"))
            else:
                writer.write(_response(b"{}", "application/json", "404 Not Found"))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(port: int, latency: float) -> None:
    server = await asyncio.start_server(lambda r, w: _serve(r, w, latency), "127.0.0.1", port, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds per completion")
    options = parser.parse_args()
    asyncio.run(_main(options.port, options.latency))

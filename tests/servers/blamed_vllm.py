"""Stands in for an interpreter with vLLM whose answers depend on how it was started: what `annie-eval blame` searches.

The fault server's good answers, with a planted cause. The variable BLAMED says which, words joined by commas:

    weights    a model directory that holds the file `damaged` answers badly
    template   a chat template with the word WRONG in it makes the model answer badly
    cache      answers are bad unless the prefix cache is off
    kernel     answers of a quantised checkpoint are bad unless --linear-backend is emulation
    batch      answers are bad unless --max-num-seqs is 1
    cache+batch  answers are bad unless both are changed
    parser     calls that the model made in its own markup come as text
    model      answers are always bad
    rare       answers of a quantised checkpoint to one prompt in thirty are bad
    backend-dies  a server with --linear-backend does not start
    dies       no server starts
    rounding   each configuration answers a tenth of the prompts badly, others each time

A bad answer to a prompt that wants a call is an announcement; to others it is in bold. BLAMED_PROFILE names the
profile, BLAMED_STARTS a file that gets a line for each start: the arguments.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from pathlib import Path

WORDS = set(filter(None, os.environ.get("BLAMED", "").split(",")))


def value(flag: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(flag) + 1] if flag in sys.argv else default


def quantised() -> bool:
    return "quantization_config" in json.loads((Path(value("--model")) / "config.json").read_text())


def causes() -> set[str]:
    """The planted causes that are at work in this configuration."""
    model = Path(value("--model"))
    template = Path(value("--chat-template") or model / "chat_template.jinja").read_text()
    cached, batched = "--no-enable-prefix-caching" not in sys.argv, value("--max-num-seqs") != "1"
    at_work = {
        "weights": (model / "damaged").exists(),
        "template": "WRONG" in template,
        "cache": cached,
        "kernel": quantised() and value("--linear-backend") != "emulation",
        "batch": batched,
        "cache+batch": cached or batched,
        "model": True,
    }
    return {name for name in WORDS if at_work.get(name)}


def serve() -> None:
    import asyncio
    from dataclasses import replace

    from annie_eval.profile.load import load
    from tests.servers import fault_server
    from tests.servers.faults.fault import Fault
    from tests.servers.faults.reply import Ask, Reply, dump, token_ids
    from tests.servers.planted_server import lost_tool_parser

    texts: dict[tuple[int, ...], str] = {}
    bad = bool(causes())
    configuration = " ".join(sys.argv[sys.argv.index("--port") + 2 :]).replace(value("--served-model-name"), "")

    def worse(reply: Reply, ask: Ask) -> Reply:
        if reply.calls:
            return replace(reply, content="I will look that up.", calls=(), finish="stop")
        return replace(reply, content=f"**{reply.content}**")

    def play(reply: Reply, ask: Ask) -> Reply:
        prompt = json.dumps(ask.body["messages"])
        unlucky = "rounding" in WORDS and zlib.crc32(f"{configuration}{prompt}".encode()) % 10 == 0
        rare = "rare" in WORDS and quantised() and zlib.crc32(str(ask.body["messages"][1]).encode()) % 30 == 0
        said = worse(reply, ask) if bad or unlucky or rare else reply
        written = lost_tool_parser(said, ask)
        thought = f"{said.reasoning}</think>\n\n" if said.reasoning else ""
        texts[tuple(token_ids(said)[:-1])] = thought + (written.content or "")
        if "parser" in WORDS and said.calls:
            return replace(written, model_reply=said)
        return said

    class Server(fault_server.FaultServer):
        def _fixed(self, method: str, path: str, payload: bytes) -> tuple[int, str, bytes]:
            if path != "/detokenize":
                return super()._fixed(method, path, payload)
            ids = tuple(json.loads(payload)["tokens"])
            return 200, "application/json", dump({"prompt": texts[ids]})

    fault_server.MODEL = value("--served-model-name")
    server = Server(load(os.environ.get("BLAMED_PROFILE", "annie")), port=int(value("--port")))
    server.fault = Fault("blamed", "a cause to be found", frozenset(), reply=play)

    async def forever() -> None:
        await (await server.listen()).serve_forever()

    asyncio.run(forever())


if __name__ == "__main__":
    if sys.argv[1:2] == ["-c"]:
        known = {"version": "0.32.0", "cpu": True, "weights_track": False, "language_model_only": True}
        print(json.dumps({**known, "linear_backends": ["auto", "marlin", "emulation"]}))
        sys.exit()
    if starts := os.environ.get("BLAMED_STARTS"):
        with Path(starts).open("a") as file:
            file.write(" ".join(sys.argv[1:]) + "\n")
    if "dies" in WORDS or ("backend-dies" in WORDS and "--linear-backend" in sys.argv):
        sys.exit("ValueError: no such kernel on this machine")
    serve()

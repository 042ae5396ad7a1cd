"""Compares greedy answers of a served quantised checkpoint with those of the fake-quantised model.

    python -m benchmarks.served_agreement --checkpoint DIR --reference BF16_DIR --prompts FILE.jsonl
        [--python PYTHON] [--serve NAME=ARGUMENTS ...] [--served NAME=URL ...] [--count N] [--tokens N]
        [--output FILE.md]

Starts the servers of `--serve`, all at once, and stops them: by default `Marlin` and `emulation` on a GPU, and the
vLLM plugin on a CPU. `--served` uses a running server. PYTHON is the server's interpreter.

The model is computed with transformers in three ways: with quantised activations (W4A4), with BF16 activations (like a
weight-only kernel such as Marlin), and W4A4 with another attention kernel, whose difference from the first shows the
noise of BF16 arithmetic. Each served answer is compared with each of them, token by token up to the first difference.
Transformers computes prompts in batches; servers get them one at a time, because their answers depend on the batch
size.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from quant.checkpoint import dequantize, loading
from quant.training.conversations import read_conversations, render_all

Answers = list[list[int]]
GPU_SERVERS = ("Marlin=", "emulation=--linear-backend emulation")
BATCH = 16
"""Number of prompts computed at a time."""


@dataclass(frozen=True)
class Server:
    """A vLLM server started by this script."""

    url: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    def tail(self) -> str:
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").splitlines()
        return "\n".join([line for line in lines if "Error" in line][-3:] or lines[-3:])


@contextmanager
def started(python: str, checkpoint: Path, arguments: Sequence[str]) -> Iterator[Server]:
    """Start vLLM in its own process group; it is stopped at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "VLLM_USE_FLASHINFER_SAMPLER": "0", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", **os.environ,
    }  # fmt: skip
    words = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(checkpoint.absolute()), "--port",
             str(port), "--host", "127.0.0.1", "--enforce-eager", "--generation-config", "vllm"]  # fmt: skip
    if torch.cuda.is_available():
        words += ["--gpu-memory-utilization", "0.2"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*words, *arguments], stdout=log, stderr=log, env=environment,
                                   start_new_session=True)  # fmt: skip
        try:
            yield Server(f"http://127.0.0.1:{port}", process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a killed API server would leave its engine running


def wait(name: str, server: Server, end: float) -> None:
    """Wait until a server is healthy. Raises RuntimeError if it stopped or the time is up."""
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"{name}: vLLM stopped: {server.tail()}")
        with suppress(OSError), urllib.request.urlopen(f"{server.url}/health", timeout=5):
            return
        time.sleep(0.5)
    raise RuntimeError(f"{name}: vLLM is not ready: {server.tail()}")


def prompts(checkpoint: Path, path: Path, count: int) -> list[list[int]]:
    """Token ids up to the generation prompt of the first conversations' first learnt turn."""
    tokenizer = loading.load_tokenizer(checkpoint)
    examples = render_all(tokenizer, read_conversations(path)[:count], path, 4096)[:count]
    return [list(example.ids[: example.learnt.index(True)]) for example in examples]


def computed(model: Any, asked: Sequence[Sequence[int]], tokens: int, stops: set[int]) -> Answers:
    """Greedy answers of a transformers model, in batches padded on the left; each ends with its stop token."""
    found: Answers = []
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        longest = max(map(len, part))
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in part], device=model.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in part], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, use_cache=True,
                temperature=None, top_p=None, top_k=None, eos_token_id=sorted(stops) or None, pad_token_id=0,
            )  # fmt: skip
        for row in out[:, longest:].tolist():
            end = next((index + 1 for index, token in enumerate(row) if token in stops), len(row))
            found.append(row[:end])
    return found


def served(url: str, asked: Sequence[Sequence[int]], tokens: int, stops: set[int]) -> Answers:
    """Greedy answers of a vLLM server, as token ids."""
    with urllib.request.urlopen(f"{url}/v1/models", timeout=10) as answer:
        name = json.load(answer)["data"][0]["id"]
    found = []
    for ids in asked:
        body = {
            "model": name, "prompt": ids, "max_tokens": tokens, "temperature": 0, "return_token_ids": True,
            "stop_token_ids": sorted(stops),
        }  # fmt: skip
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found.append(json.load(answer)["choices"][0]["token_ids"])
    return found


def stop_tokens(checkpoint: Path) -> set[int]:
    """The stop tokens of the checkpoint's generation config."""
    path = checkpoint / "generation_config.json"
    found = json.loads(path.read_text()).get("eos_token_id") if path.exists() else None
    return set(found) if isinstance(found, list) else set() if found is None else {found}


def agreement(one: Answers, other: Answers) -> str:
    """Number of equal answers, and the share of tokens before the first difference."""
    same = sum(a == b for a, b in zip(one, other, strict=True))
    shares = []
    for a, b in zip(one, other, strict=True):
        length = max(len(a), len(b), 1)
        common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        shares.append(1.0 if a == b else common / length)
    return f"{same}/{len(one)}, {statistics.mean(shares):.1%}"


def by_transformers(
    options: argparse.Namespace, asked: Sequence[Sequence[int]], stops: set[int]
) -> dict[str, Answers]:
    """Answers of the fake-quantised model in three ways, and of the BF16 original."""
    device = loading.default_device()
    model = dequantize.load(options.checkpoint, options.reference, device)
    found = {"fake-quant, W4A4": computed(model, asked, options.tokens, stops)}
    model.set_attn_implementation("eager")
    found["W4A4, eager attention"] = computed(model, asked, options.tokens, stops)
    model.set_attn_implementation("sdpa")
    for module in model.modules():
        module._forward_pre_hooks.clear()
    found["fake-quant, weights only"] = computed(model, asked, options.tokens, stops)
    del model
    original = loading.load_model(options.reference, device)
    found["BF16 original"] = computed(original, asked, options.tokens, stops)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--python", default=sys.executable, help="interpreter with vLLM (default: this one)")
    parser.add_argument("--serve", action="append", metavar="NAME=ARGUMENTS", help="start vLLM with these arguments")
    parser.add_argument("--served", action="append", default=[], metavar="NAME=URL", help="use a running server")
    parser.add_argument("--count", type=int, default=16, help="prompts (default: 16)")
    parser.add_argument("--tokens", type=int, default=24, help="of an answer, at most (default: 24)")
    parser.add_argument("--ready", type=float, default=240.0, help="seconds that servers may take to start")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    default: Sequence[str] = () if options.served else GPU_SERVERS if torch.cuda.is_available() else ("CPU plugin=",)
    to_start = [pair.split("=", 1) for pair in (default if options.serve is None else options.serve)]
    asked = prompts(options.checkpoint, options.prompts, options.count)
    stops = stop_tokens(options.checkpoint)
    seconds: dict[str, float] = {}
    failures: list[str] = []
    with ExitStack() as stack:
        begin = time.monotonic()
        servers = {
            name: stack.enter_context(started(options.python, options.checkpoint, shlex.split(arguments)))
            for name, arguments in to_start
        }
        answers = by_transformers(options, asked, stops)
        seconds["transformers"] = time.monotonic() - begin
        urls = dict(pair.split("=", 1) for pair in options.served)
        for name, server in servers.items():
            try:
                wait(name, server, begin + options.ready)
                urls[name] = server.url
            except RuntimeError as error:  # keep the numbers of the other servers
                failures.append(str(error))
        seconds["ready"] = time.monotonic() - begin
        for name, url in urls.items():
            try:
                answers[name] = served(url, asked, options.tokens, stops)
            except (OSError, ValueError, KeyError) as error:
                failures.append(f"{name}: {error}")
        seconds["all"] = time.monotonic() - begin
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    lines = [
        f"{device}; {len(asked)} greedy answers of up to {options.tokens} tokens: equal answers, tokens before the "
        f"first change; {', '.join(f'{key} {value:.0f} s' for key, value in seconds.items())}",
        "",
        f"| | {' | '.join(answers)} |",
        "|---" * (len(answers) + 1) + "|",
    ]
    for name, one in answers.items():
        lines.append(f"| {name} | {' | '.join(agreement(one, other) for other in answers.values())} |")
    lines += failures
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())

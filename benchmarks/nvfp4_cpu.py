"""Measures the decode rate of an NVFP4 checkpoint in vLLM on a CPU: BF16, this project's kernel, vLLM's emulation.

    python benchmarks/nvfp4_cpu.py                            # the default model, quantised here to W4A4
    python benchmarks/nvfp4_cpu.py --nvfp4 DIR --compile      # your own checkpoint, without --enforce-eager

All servers run at the same time and answer in turn, round after round, so that a change of the machine's load affects
all of them. A rate is the number of tokens after the first, divided by the time from the first to the last, of one
streamed completion. Prints each server's median and its ratio to BF16, and the median of the ratios of all rounds; the
ratio of this project's kernel must be at least 0.80.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 0.80
PROMPT = "The history of the city begins"
READY_SECONDS = 300


@dataclass(frozen=True)
class Variant:
    name: str
    checkpoint: Path
    arguments: tuple[str, ...]
    tokens: int  # decoded per request


class Server:
    """A vLLM server in its own process group."""

    def __init__(self, python: Path, variant: Variant, log: Path, compile_graph: bool) -> None:
        self.variant = variant
        self.log = log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(variant.checkpoint)]
        command += ["--served-model-name", variant.name, "--port", str(self.port), "--host", "127.0.0.1"]
        command += ["--max-model-len", "512", *variant.arguments, *([] if compile_graph else ["--enforce-eager"])]
        environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                command, stdout=sink, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(
                    f"{self.variant.name}: vLLM ended with {self.process.returncode}; its log: {self.log}"
                )
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.5)
        raise SystemExit(f"{self.variant.name}: vLLM not ready after {READY_SECONDS} s; its log: {self.log}")

    def decode_rate(self, tokens: int | None = None) -> float:
        """Tokens per second of one streamed completion, alone on the server."""
        tokens = tokens or self.variant.tokens
        body = {
            "model": self.variant.name,
            "prompt": PROMPT,
            "max_tokens": tokens,
            "min_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        stamps, counted = [], 0
        for line in response:
            now = time.perf_counter()
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise SystemExit(f"{self.variant.name}: {event['error']}")
            if event.get("choices"):
                stamps.append(now)
            if event.get("usage"):
                counted = event["usage"]["completion_tokens"]
        if response.status != 200 or counted != tokens:
            raise SystemExit(f"{self.variant.name}: HTTP {response.status}, {counted} of {tokens} tokens: {self.log}")
        return (counted - 1) / (stamps[-1] - stamps[0])

    def stop(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, signal_number)
                self.process.wait(timeout=10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def quantise(model: Path, out: Path) -> None:
    """Quantise to W4A4 with ModelOpt's default recipe; a few sentences of calibration are enough for a speed test."""
    import modelopt.torch.quantization as mtq
    import torch
    from modelopt.torch.export import export_hf_checkpoint
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from quant.quantize.modelopt_backend import with_backend

    tokenizer = AutoTokenizer.from_pretrained(model)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    batch = tokenizer([PROMPT, "The capital of France is Paris."], return_tensors="pt", padding=True)
    quantised = mtq.quantize(loaded, with_backend(mtq.NVFP4_DEFAULT_CFG), lambda m: m(**batch))
    with torch.inference_mode():
        export_hf_checkpoint(quantised, export_dir=out)
    tokenizer.save_pretrained(out)


def report(rounds: list[dict[str, float]]) -> bool:
    print(f"\n{'server':<12}{'tokens/s':>10}{'min':>8}{'max':>8}{'of BF16':>10}{'n':>5}")
    ratios = {}
    for name in ("bf16", "ours", "emulation"):
        samples = [rates[name] for rates in rounds if name in rates]
        ratios[name] = statistics.median(rates[name] / rates["bf16"] for rates in rounds if name in rates)
        spread = f"{statistics.median(samples):>10.2f}{min(samples):>8.2f}{max(samples):>8.2f}"
        print(f"{name:<12}{spread}{ratios[name]:>10.3f}{len(samples):>5}")
    reached = ratios["ours"] >= LIMIT
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
    print(f"ours {'reaches' if reached else 'MISSES'} {LIMIT:.2f} of BF16; {load}")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2-135m-instruct-bf16", help="BF16")
    parser.add_argument("--nvfp4", type=Path, help="its NVFP4 checkpoint; default: quantised here")
    parser.add_argument(
        "--python", type=Path, default=ROOT / ".venv-vllm/bin/python", help="of the server's environment"
    )
    parser.add_argument("--rounds", type=int, default=15, help="the emulation takes part in every fifth")
    parser.add_argument("--tokens", type=int, default=64, help="per request; the emulation decodes 4")
    parser.add_argument("--compile", action="store_true", help="let vLLM compile the model (a minute a server)")
    options = parser.parse_args()
    if not (options.model / "config.json").is_file():
        parser.error(f"{options.model} holds no model; build it with: python -m quant default-model")
    if not options.python.exists():
        parser.error(
            f"{options.python} is missing; `make gate` builds the server's environment, or name one with --python"
        )

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` stops the servers
    with tempfile.TemporaryDirectory(prefix="nvfp4-cpu-") as scratch:
        checkpoint = options.nvfp4 or Path(scratch) / "nvfp4"
        if options.nvfp4 is None:
            quantise(options.model, checkpoint)
        variants = (
            Variant("bf16", options.model, (), options.tokens),
            Variant("ours", checkpoint, (), options.tokens),
            Variant("emulation", checkpoint, ("--linear-backend", "emulation"), 4),
        )
        servers: list[Server] = []
        rounds: list[dict[str, float]] = []
        try:
            for variant in variants:  # one after the other: three starts at once would compete for the cores
                servers.append(Server(options.python, variant, Path(scratch) / f"{variant.name}.log", options.compile))
                servers[-1].wait_ready()
                servers[-1].decode_rate(4)
                print(f"{variant.name} is ready", flush=True)
            for number in range(options.rounds):
                order = [server for server in servers if number % 5 == 0 or server.variant.name != "emulation"]
                order = order if number % 2 == 0 else order[::-1]
                rounds.append({server.variant.name: server.decode_rate() for server in order})
                latest = "  ".join(f"{name} {rate:.2f}" for name, rate in sorted(rounds[-1].items()))
                print(f"round {number + 1}: {latest} tokens/s", flush=True)
        finally:
            for server in servers:
                server.stop()
    return 0 if report(rounds) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Measures how much time the gate adds to the server's time, compared with a minimal asyncio script.

    .venv/bin/python benchmarks/gate_overhead.py [--runs 3]

Each request takes 500 ms on the server, so 60 samples at concurrency 32 take at least 1.0 s, and 1,000 samples at
concurrency 64 at least 8.0 s. Rows are medians; the minimal script sends the same requests with asyncio and h11,
without pytest, store and judging. CPU time and peak memory include child processes (xdist workers).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LATENCY = 0.5

BARE = """
import asyncio, sys
from annie_eval.http_client import Client
async def main(url, n, concurrency):
    client, slots = Client(url), asyncio.Semaphore(concurrency)
    async def one(i):
        async with slots:
            await client.post("/chat/completions", {"model": "fixed", "stream": True, "i": i})
    await asyncio.gather(*(one(i) for i in range(n)))
asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


@dataclass
class Cost:
    wall: float
    cpu: float
    memory: float  # MiB of the largest process


def profile(folder: Path, samples: int) -> Path:
    """A profile of `samples` scenarios that the fixed server's answer passes."""
    lines = [
        json.dumps({"id": f"hello-{i}", "category": "hello", "prompt": f"Hello number {i}, how are you?"})
        for i in range(samples)
    ]
    (folder / "hello.jsonl").write_text("\n".join(lines) + "\n")
    path = folder / "hello.toml"
    path.write_text(
        'name = "hello"\nsystem_prompt = "You are a voice assistant."\nscenarios = "hello.jsonl"\n'
        "[gates.no_markdown]\n"
        'detectors = ["markdown", "silence", "thinking"]\ncategories = ["hello"]\n'
        f"required = {samples}\n"
    )
    return path


def cost(command: list[str], folder: Path) -> Cost:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"{' '.join(command)} failed:\n{output.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/fixed_server.py"), "--latency", str(LATENCY)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    print(
        f"{'samples':>8} {'in flight':>9} {'what':<12} {'wall s':>7} {'ideal s':>7} {'ratio':>6} {'CPU s':>6} "
        f"{'MiB':>5}"
    )
    try:
        for samples, concurrency, workers in ((60, 32, (0, 4)), (1000, 64, (0,))):
            ideal = math.ceil(samples / concurrency) * LATENCY
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                path = profile(folder, samples)
                commands = {"bare asyncio": [sys.executable, "-c", BARE, url, str(samples), str(concurrency)]}
                for n in workers:
                    commands[f"gate -n {n}"] = [
                        *(sys.executable, "-m", "pytest", "-q", "-n", str(n), "--base-url", url),
                        *("--profile", str(path), "--concurrency", str(concurrency)),
                    ]
                costs: dict[str, list[Cost]] = {name: [] for name in commands}
                for run in range(runs):  # interleaved, so that a temporary slow-down affects all equally
                    for name, command in commands.items():
                        where = [] if name.startswith("bare") else ["--run-dir", str(folder / f"{name}-{run}")]
                        costs[name].append(cost(command + where, folder))
                for name, measured in costs.items():
                    wall = statistics.median(c.wall for c in measured)
                    cpu = statistics.median(c.cpu for c in measured)
                    memory = max(c.memory for c in measured)
                    print(
                        f"{samples:>8} {concurrency:>9} {name:<12} {wall:>7.2f} {ideal:>7.2f} {wall / ideal:>6.2f} "
                        f"{cpu:>6.2f} {memory:>5.0f}"
                    )
    finally:
        server.kill()


if __name__ == "__main__":
    main()

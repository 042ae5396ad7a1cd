"""Compares timing clients on servers with known timing: TTFT 90 ms, ITL 30 ms, unusual streams.

Run: .venv/bin/python benchmarks/timing_truth.py [--tokenizer DIR] [--vllm-python PATH] [--aiperf BIN]
     [--guidellm BIN] [--busy N] [--requests N] [--output FILE.md]

A server with known timing (tests/servers/truth_server.py, a separate process, absolute deadlines) sends the same
unusual stream to every client, while `--busy` processes keep one core busy each. `ours` is the timing process of the
gates, with the number of requests of its first test. `openai` is the client library used in the usual way, in a new
process. `vllm bench serve`, AIPerf and GuideLLM run with their own commands if an interpreter or binary is given, and
print n/a otherwise. Values are medians over requests; errors are differences from the true values. `first` is the TTFT
of the first request that the client measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annie_eval.timing import Plan, run
from tests.servers.truth_server import Truth, serve

TTFT, ITL, TOKENS = 90.0, 30.0, 64
CASES = {
    "plain": Truth(),
    "early role chunk": Truth(early_role=True),
    "8 tokens a chunk": Truth(burst=8),
    "8 tokens a chunk, uncounted": Truth(burst=8, usage="final"),
    "reasoning first": Truth(reasoning=16),
    "a stall of 400 ms": Truth(stall_ms=400),
    "jitter of 5 ms": Truth(jitter_ms=5),
}


@dataclass(frozen=True)
class Result:
    """The result of a client: TTFTs in ms in order, and the median decode rate in tok/s; None if not reported."""

    ttfts: tuple[float, ...]
    rate: float | None


def true_rate(truth: Truth) -> float:
    """The true decode rate: tokens after the first divided by their time, from the server's deadlines."""
    return float((TOKENS - 1) / ((TOKENS - 1) * truth.itl_ms + truth.stall_ms) * 1e3)


def ours(url: str, requests: int) -> Result:
    measurements: list[dict[str, float]] = []
    messages = [{"role": "user", "content": "Hello!"}]
    plan = Plan(base_url=url, served_model="truth", rows=("ttft_short", "decode"), short={"messages": messages})
    # Both rows after their first test; without limits none is decided, and one round is compared.
    rows = run(plan, lambda event: measurements.append(dict(event)) if event["event"] == "measurement" else None)
    if any(row.verdict == "ERROR" for row in rows):
        raise RuntimeError(rows[0].detail)
    measurements = measurements[:requests]
    return Result(tuple(s["ttft_ms"] for s in measurements), statistics.median(s["rate"] for s in measurements))


_OPENAI = """
import json, sys, time
url, requests, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
from openai import OpenAI
client = OpenAI(base_url=url, api_key="none")
ttfts, rates = [], []
for _ in range(requests):
    start = time.perf_counter()
    first = last = None
    stream = client.chat.completions.create(
        model="truth", messages=[{"role": "user", "content": "Hello!"}], max_tokens=tokens, stream=True,
        stream_options={"include_usage": True}, extra_body={"ignore_eos": True},
    )
    for chunk in stream:
        now = time.perf_counter()
        if chunk.usage:
            n = chunk.usage.completion_tokens
        if chunk.choices:
            delta = chunk.choices[0].delta
            if delta.content or getattr(delta, "reasoning", None):
                first, last = first or now, now
    ttfts.append((first - start) * 1e3)
    rates.append((n - 1) / (last - first))
print(json.dumps([ttfts, rates]))
"""


def openai_client(url: str, requests: int) -> Result:
    """The openai package in its usual use: timestamps after parsing, (n - 1) tokens between first and last chunk."""
    command = [sys.executable, "-c", _OPENAI, url, str(requests), str(TOKENS)]
    ttfts, rates = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return Result(tuple(ttfts), statistics.median(rates))


_VLLM = """
import argparse, asyncio
from vllm.benchmarks.serve import add_cli_args, main_async
parser = argparse.ArgumentParser()
add_cli_args(parser)
asyncio.run(main_async(parser.parse_args()))
"""


def vllm_bench(python: Path, tokenizer: Path) -> Callable[[str, int], Result]:
    """`vllm bench serve`. Its function is called, because the command needs package metadata that some builds lack."""

    def measure(url: str, requests: int) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(python), "-c", _VLLM, "--backend", "openai-chat", "--endpoint", "/v1/chat/completions"]
            command += ["--base-url", url.removesuffix("/v1"), "--model", "truth", "--tokenizer", str(tokenizer)]
            command += ["--dataset-name", "random", "--random-input-len", "64", "--random-output-len", str(TOKENS)]
            command += ["--num-prompts", str(requests), "--max-concurrency", "1", "--temperature", "0"]
            command += ["--save-result", "--save-detailed", "--result-dir", folder, "--result-filename", "v.json"]
            subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads((Path(folder) / "v.json").read_text())
        ttfts = tuple(1e3 * value for value in found["ttfts"])
        return Result(ttfts, 1e3 / found["median_tpot_ms"] if found["median_tpot_ms"] else None)

    return measure


def aiperf(binary: Path, tokenizer: Path) -> Callable[[str, int], Result]:
    def measure(url: str, requests: int) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            command = [str(binary), "profile", "-m", "truth", "--tokenizer", str(tokenizer)]
            command += ["--url", url.removesuffix("/v1"), "--endpoint-type", "chat", "--streaming"]
            command += ["--isl", "64", "--osl", str(TOKENS), "--concurrency", "1", "--request-count", str(requests)]
            command += ["--warmup-request-count", "2", "--use-server-token-count", "--extra-inputs", "ignore_eos:true"]
            command += ["--ui", "none", "--output-artifact-dir", folder]
            subprocess.run(command, capture_output=True, text=True, check=True)
            lines = next(Path(folder).rglob("profile_export.jsonl")).read_text().splitlines()
        measured = [
            record for record in map(json.loads, lines) if record["metadata"]["benchmark_phase"] == "profiling"
        ]
        records = [record["metrics"] for record in measured]
        ttfts = tuple(r["time_to_first_token"]["value"] for r in records)
        itls = [r["inter_token_latency"]["value"] for r in records if "inter_token_latency" in r]
        return Result(ttfts, 1e3 / statistics.median(itls) if itls else None)

    return measure


def guidellm(binary: Path, tokenizer: Path) -> Callable[[str, int], Result]:
    def measure(url: str, requests: int) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            backend = (
                f"kind=openai_http,target={url.removesuffix('/v1')},model=truth,request_format=/v1/chat/completions"
            )
            command = [str(binary), "run", "--backend", backend]
            command += ["--tokenizer", f"kind=huggingface_auto,model={tokenizer}"]
            command += ["--data", f"kind=synthetic_text,prompt_tokens=64,output_tokens={TOKENS}"]
            command += ["--profile", "kind=synchronous", "--constraint", f"kind=max_requests,count={requests}"]
            command += ["--output", f"kind=json,path={folder}/g.json"]
            subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(next(Path(folder).rglob("*.json")).read_text())
        records = found["benchmarks"][0]["requests"]["successful"]
        ttfts = tuple(r["time_to_first_token_ms"] for r in records)
        itls = [r["inter_token_latency_ms"] for r in records if r.get("inter_token_latency_ms")]
        return Result(ttfts, 1e3 / statistics.median(itls) if itls else None)

    return measure


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep cores busy with one spinning process each."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def row(case: str, name: str, truth: Truth, result: Result | str) -> str:
    if isinstance(result, str):
        return f"| {case} | {name} | {result} | | | | |"
    ttft = statistics.median(result.ttfts)
    rate, aim = result.rate, true_rate(truth)
    decode = "- | -" if rate is None else f"{rate:.2f} | {rate / aim - 1:+.2%}"
    return f"| {case} | {name} | {ttft:.2f} | {ttft - truth.ttft_ms:+.2f} | {result.ttfts[0]:.1f} | {decode} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=15, help="requests a cell (default: 15)")
    parser.add_argument("--busy", type=int, default=1, help="cores kept busy (default: 1)")
    parser.add_argument("--tokenizer", type=Path, help="checkpoint whose tokenizer the other tools load")
    parser.add_argument("--vllm-python", type=Path, help="interpreter that has vLLM")
    parser.add_argument("--aiperf", type=Path, help="the aiperf command")
    parser.add_argument("--guidellm", type=Path, help="the guidellm command")
    parser.add_argument("--case", action="append", choices=tuple(CASES), help="only this case; may be repeated")
    parser.add_argument("--output", type=Path, help="write the table here as well")
    options = parser.parse_args()
    clients: dict[str, Callable[[str, int], Result] | None] = {"ours": ours, "openai": openai_client}
    for name, tool, make in (
        ("vllm bench", options.vllm_python, vllm_bench),
        ("AIPerf", options.aiperf, aiperf),
        ("GuideLLM", options.guidellm, guidellm),
    ):
        clients[name] = make(tool.absolute(), options.tokenizer.absolute()) if tool and options.tokenizer else None
    lines = [
        f"TTFT {TTFT:g} ms, ITL {ITL:g} ms, {TOKENS} tokens, {options.requests} requests, {options.busy} busy core(s)",
        "",
        "| stream | client | TTFT ms | error ms | first ms | decode tok/s | error |",
        "|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with busy(options.busy):
        for case in options.case or CASES:
            truth = CASES[case]
            for name, client in clients.items():
                result: Result | str = "n/a"
                if client is not None:
                    with serve(truth) as url:
                        try:
                            result = client(url, options.requests)
                        except (subprocess.CalledProcessError, StopIteration, KeyError, OSError) as error:
                            message = getattr(error, "stderr", "") or str(error)
                            result = f"failed: {message.strip().splitlines()[-1][:100]}"
                lines.append(row(case, name, truth, result))
                print(lines[-1], flush=True)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()

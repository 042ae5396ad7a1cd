"""Which settings of a real vLLM change its greedy answers, and how often.

    python -m benchmarks.server_settings --model-dir models/annie-smol-nvfp4-qat --vllm-python .venv-vllm/bin/python
        [--prompts 40] [--only NAME ...]

Starts the server once for each setting, sends the same prompts of a profile (16 at a time, greedy), and compares
with the server as it is: answers whose text differs, those of them that part at a near tie (the two
most likely tokens within `TIE` nats), and the largest change of a log-probability before they part. `again`
changes nothing: its row is the noise. Prints a table; a setting that the server refuses has its last line.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from annie_eval.errors import UsageError
from annie_eval.http_client import Client
from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.serving import TargetSpec, open_target
from annie_eval.state.conversations import Prefix, request
from annie_eval.wire import logprobs
from annie_eval.wire.logprobs import Token

TIE = 0.5
TOKENS = 48
AT_ONCE = 16
SETTINGS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "again": (),
    "no prefix cache": ("--no-enable-prefix-caching",),
    "prefill in chunks of 128": ("--max-num-batched-tokens=128", "--max-num-seqs=16"),
    "one request at a time": ("--max-num-seqs=1",),
    "compiled": ("--no-enforce-eager",),
    "KV cache in FP8": ("--kv-cache-dtype=fp8",),
    "emulation kernel": ("--linear-backend=emulation",),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """Two answers to one prompt: whether they are the same, were about to part at a tie, and how far they moved."""

    same: bool
    tie: bool
    moved: float


def compare(one: Sequence[Token], other: Sequence[Token]) -> Difference:
    """Compare token by token, up to the first that differs. `moved` is in nats."""
    moved = 0.0
    for a, b in zip(one, other, strict=False):
        moved = max(moved, abs(a.logprob - b.logprob)) if a.text == b.text else moved
        if a.text != b.text:
            likeliest = sorted(a.top.values(), reverse=True)[:2]
            return Difference(False, len(likeliest) == 2 and likeliest[0] - likeliest[1] < TIE, moved)
    return Difference(len(one) == len(other), False, moved)


async def answers(url: str, model: str, profile: Profile, prompts: Sequence[str]) -> list[tuple[Token, ...]]:
    """The tokens of each answer, sent in random order of arrival."""
    client, room = Client(url, timeout=profile.traffic.request_timeout), asyncio.Semaphore(AT_ONCE)

    async def one(prompt: str) -> tuple[Token, ...]:
        async with room:
            body = request(profile, Prefix(0), prompt, model=model, salt=None, tokens=TOKENS)
            return logprobs.read((await client.post("/chat/completions", body)).body) or ()

    return list(await asyncio.gather(*map(one, prompts)))


def main() -> None:
    """Serve, ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--vllm-python", type=Path, default=None)
    parser.add_argument("--profile", default="annie-smol")
    parser.add_argument("--prompts", type=int, default=40)
    parser.add_argument("--only", action="append", choices=list(SETTINGS), default=None)
    options = parser.parse_args()
    profile = load(options.profile)
    prompts = [one.turns[0].user for one in profile.scenarios][: options.prompts]
    first: list[tuple[Token, ...]] = []
    print("| setting | answers that differ | of these at a tie | largest change of a log-probability | ready after |")
    print("|---|---|---|---|---|", flush=True)
    for name in ["as it is", *(options.only or list(SETTINGS)[1:])]:
        began = time.monotonic()
        spec = TargetSpec(model_dir=options.model_dir, vllm_python=options.vllm_python, vllm_args=SETTINGS[name])
        with tempfile.TemporaryDirectory() as logs:
            try:
                target = open_target(spec, profile, Path(logs), lambda _: None)
            except UsageError as error:
                print(f"| {name} | refused: {str(error).splitlines()[-1]:.100} | | | |", flush=True)
                continue
            ready = time.monotonic() - began
            try:
                found = asyncio.run(answers(target.base_url, target.served_model, profile, prompts))
            finally:
                target.close()
        first = first or found
        rows = [compare(one, other) for one, other in zip(first, found, strict=True)]
        differ = [row for row in rows if not row.same]
        moved = max(row.moved for row in rows)
        row = f"{len(differ)} of {len(rows)} | {sum(each.tie for each in differ)} | {moved:.2f} nats | {ready:.0f} s"
        print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()

"""Measures how often the gate `server_state` fails a vLLM without a known fault, and how long it takes.

    python -m benchmarks.server_state_vllm --model-dir models/annie-smol-nvfp4-qat [--runs 20]

Starts the server once and runs the probes --runs times, with one prefix and one kind of traffic, the smallest
configuration of the gate. Prints a line per probe, then for each setting the distance between its two states, the
noise within a state and the control (docs/blame.md). `--keep FILE` stores every answer.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from unittest import mock

from annie_eval.gates import server_state
from annie_eval.gates.server_state import Comparison, ProbeResult
from annie_eval.http_client import Client
from annie_eval.profile.load import load
from annie_eval.profile.types import PROBES, StateProbes
from annie_eval.serving import TargetSpec, open_target
from annie_eval.state import ask
from annie_eval.stats import relabel


def sizes(comparisons: Sequence[Comparison]) -> dict[str, tuple[float, float, float]]:
    """By setting: how far the states are apart, the noise within a state, and the control; means over the requests."""
    found = defaultdict(list)
    for one in comparisons:
        table = server_state._distances((*one.before, *one.after))
        after = range(len(one.before), len(table))
        noise = server_state._noise(table, len(after))
        found[one.setting].append((relabel.apart(table, after), noise, server_state._control(one)))
    return {setting: tuple(map(fmean, zip(*each, strict=True))) for setting, each in found.items()}  # type: ignore[misc]


def main() -> None:
    """Ask, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True)
    parser.add_argument("--profile", default="annie-smol")
    parser.add_argument("--vllm-python", type=Path, default=None)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no run is begun")
    parser.add_argument("--probes", nargs="*", default=["warm_cold", "poison"], choices=PROBES)
    parser.add_argument("--prefix-tokens", type=int, default=300)
    parser.add_argument("--keep", type=Path, default=None, metavar="FILE")
    options = parser.parse_args()
    state = StateProbes(
        probes=tuple(options.probes),
        traffic=("cancelled",),
        prefix_tokens=(options.prefix_tokens,),
        tools=(),
        questions=3,
    )
    profile = dataclasses.replace(load(options.profile), state=state)
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    judge = server_state.judge

    def kept(probe: str, comparisons: Sequence[Comparison], unchecked: str = "") -> ProbeResult:
        for setting, each in sizes(comparisons).items():
            found[setting].append(each)
        if options.keep is not None:
            with options.keep.open("a") as file:
                print(json.dumps([dataclasses.asdict(one) for one in comparisons]), file=file)
        return judge(probe, comparisons, unchecked)

    seconds: dict[str, list[float]] = defaultdict(list)
    failed = 0

    async def run(number: int, url: str, model: str) -> int:
        asking = ask.Asking(Client(url, timeout=profile.traffic.request_timeout), profile, model, token_ids=True)
        await asking.learn_context()
        rows = []
        for name in state.probes:
            began = time.monotonic()
            row = await asking.probe(name)
            seconds[name].append(time.monotonic() - began)
            said = row.error or row.unchecked or "; ".join(one.reason for one in row.differences)
            print(f"{number:3} {name:10} {row.verdict} {seconds[name][-1]:6.1f} s {said}", flush=True)
            rows.append(row)
        return int(any(row.differences for row in rows))

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as logs:
        spec = TargetSpec(model_dir=options.model_dir, vllm_python=options.vllm_python)
        target = open_target(spec, profile, Path(logs), lambda line: print(line, file=sys.stderr, flush=True))
        try:
            runs = 0
            with mock.patch.object(ask, "judge", kept):
                while runs < options.runs and time.monotonic() - began < 60 * options.minutes:
                    failed += asyncio.run(run(runs, target.base_url, target.served_model))
                    runs += 1
        finally:
            target.close()
    print(f"failed in {failed} of {runs} runs")
    for name, each in seconds.items():
        print(f"{name}: {median(each):.1f} s in the median, {max(each):.1f} at most")
    for setting, all_runs in found.items():
        apart, noise, control = zip(*all_runs, strict=True)
        print(
            f"{setting}: apart {fmean(apart):.2f} in the mean and {max(apart):.2f} at most, "
            f"noise {fmean(noise):.2f}, control {fmean(control):.2f} and {min(control):.2f} at least"
        )


if __name__ == "__main__":
    main()

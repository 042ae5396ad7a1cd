"""The timing client beside the server's own account, on a real vLLM: agreement, cold and warm, share of roofline.

Run, with vLLM up (--enable-prompt-tokens-details):
    python3 benchmarks/timing_vllm.py --base-url http://127.0.0.1:8000 --checkpoint DIR [--hardware h100]
        [--gate NAME] [--context N] [--output FILE.md]

Needs Python 3.11 or later and this repository alone, no package; the hardware goes by nvidia-smi unless it is named.
Prints the rows of the gates, and for each kind of request how far client and server are apart: the client's TTFT
less the server's (its `/metrics`), and the client's decode rate over the server's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from annie_eval.profile_types import Profile
from annie_eval.timing import ROWS, plan_for, run
from annie_eval.timing.cli import Bar, render
from annie_eval.timing.plot import rows_chart
from annie_eval.timing.shot import Shot

PROMPT = "You are Annie, a voice assistant at home. Answer in one to three short plain sentences."
ROWS_HERE = tuple(name for name in ROWS if name != "tool_call")  # whether a model calls tools is no matter of time


def agreement(shots: Sequence[Shot]) -> list[str]:
    """One line for each kind of request: how far client and server are apart."""
    lines = [
        "| request | n | TTFT, client - server, ms: median (worst) | decode, client / server - 1: median (worst) | "
        "cached tokens | confirmed |",
        "|---|---|---|---|---|---|",
    ]
    kinds = sorted({(s.source, s.context) for s in shots if s.source != "streams"})
    for source, context in kinds:
        own = [s for s in shots if (s.source, s.context) == (source, context)]
        apart = [s.ttft_ms - s.server_ttft_ms for s in own if s.ttft_ms is not None and s.server_ttft_ms is not None]
        rates = [
            s.rate / s.server_rate - 1
            for s in own
            if s.rate is not None and s.server_rate is not None and (s.completion_tokens or 0) >= 16
        ]
        cached = sorted({s.cached for s in own if s.cached is not None})
        confirmed = sum(s.account is not None and not s.doubts for s in own)
        ttft = f"{statistics.median(apart):.2f} ({max(apart, key=abs):.2f})" if apart else "-"
        rate = f"{statistics.median(rates):+.2%} ({max(rates, key=abs):+.2%})" if rates else "-"
        name = f"{source} {context}" if context else source
        lines.append(f"| {name} | {len(own)} | {ttft} | {rate} | {cached} | {confirmed} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--checkpoint", type=Path, help="what is served, for the roofline")
    parser.add_argument("--hardware", help="name in the hardware table")
    parser.add_argument("--gate", action="append", choices=ROWS_HERE, help="only this gate; may be repeated")
    parser.add_argument("--context", action="append", type=int, help="prompt length in tokens; at least three")
    parser.add_argument("--output", type=Path, help="write the tables here as Markdown, and plots beside it")
    options = parser.parse_args()
    profile = Profile("timing", Path("-"), PROMPT, tools={}, scenarios=(), gates={})
    plan = plan_for(
        profile,
        tuple(options.gate or ROWS_HERE),
        base_url=options.base_url,
        model_dir=options.checkpoint,
        hardware=options.hardware,
    )
    if options.context:
        plan = replace(plan, contexts=tuple(sorted(options.context)))
    shots: list[Shot] = []
    bar = Bar(sys.stderr)

    def progress(event: Mapping[str, Any]) -> None:
        bar(event)
        if event["event"] == "shot":
            shots.append(Shot.from_dict({key: value for key, value in event.items() if key != "event"}))

    rows = run(plan, progress)
    bar.close()
    text = "\n".join(["```", render(rows), "```", "", *agreement(shots), ""])
    print(text)
    if options.output is not None:
        options.output.write_text(text, "utf-8")
        for path in rows_chart(rows, options.output.parent):
            print(path)


if __name__ == "__main__":
    main()

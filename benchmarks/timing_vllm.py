"""Compares the timing client with vLLM's own metrics: agreement, cold and warm prompts, share of the roofline.

This command starts vLLM, measures it and stops it. DIR is a checkpoint, PYTHON the interpreter of vLLM's environment:
    PYTHON -m benchmarks.timing_vllm --checkpoint DIR --vllm-python PYTHON [--vllm-arg=ARG ...] [--hardware h100]
        [--gate NAME] [--context N] [--samples FILE.jsonl] [--output FILE.md]
With a running vLLM (--enable-prompt-tokens-details) any Python from 3.11 on can be used:
    python3 -m benchmarks.timing_vllm --base-url http://127.0.0.1:8000 --checkpoint DIR ...

It needs this repository, and to start a server also h11, which vLLM installs. The hardware is detected with nvidia-smi
unless it is given. Prints the rows of the gates, and for each kind of request the difference of client and server: the
client's TTFT minus the server's (from `/metrics`), the part that grows with the prompt, and the client's decode rate
divided by the server's. Exit status 0 if they agree: every median within 3 ms and 2 %, every cold prompt proven cold.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from annie_eval.cli.perf import Bar, render
from annie_eval.errors import TargetError, UsageError
from annie_eval.profile.types import Profile
from annie_eval.report.charts import rows_chart
from annie_eval.serving import machine
from annie_eval.timing import ROWS, plan_for, run
from annie_eval.timing.confirm import outside_ms
from annie_eval.timing.measurement import Measurement

PROMPT = "You are Annie, a voice assistant at home. Answer in one to three short plain sentences."
ROWS_HERE = tuple(
    name for name in ROWS if name != "tool_call"
)  # whether a model calls tools does not matter for timing


def agreement(measurements: Sequence[Measurement]) -> list[str]:
    """One line for each kind of request: the difference of client and server."""
    lines = [
        "| request | n | TTFT, client - server, ms: median (worst) | less the detokeniser | "
        "decode, client / server - 1: median (worst) | cached tokens | confirmed |",
        "|---|---|---|---|---|---|---|",
    ]
    outside = outside_ms([s for s in measurements if s.source != "streams"])
    kinds = sorted({(s.source, s.context) for s in measurements if s.source != "streams"})
    for source, context in kinds:
        own = [s for s in measurements if (s.source, s.context) == (source, context)]
        extra = [s.ttft_ms - s.server_ttft_ms for s in own if s.ttft_ms is not None and s.server_ttft_ms is not None]
        rates = [
            s.rate / s.server_rate - 1 for s in own if s.rate is not None and s.server_rate is not None and _long(s)
        ]
        cached = sorted({s.cached for s in own if s.cached is not None})
        confirmed = sum(s.server_metrics is not None and not s.doubts_beyond(outside) for s in own)
        ttft = f"{statistics.median(extra):.2f} ({max(extra, key=abs):.2f})" if extra else "-"
        tokens = statistics.median([s.prompt_tokens or 0 for s in own])
        rest = f"{statistics.median(extra) - outside * tokens:.2f}" if extra else "-"
        rate = f"{statistics.median(rates):+.2%} ({max(rates, key=abs):+.2%})" if rates else "-"
        name = f"{source} {context}" if context else source
        lines.append(f"| {name} | {len(own)} | {ttft} | {rest} | {rate} | {cached} | {confirmed} |")
    return [*lines, "", f"Outside the server's own stamps: {outside * 1e3:.2f} us a prompt token."]


def _long(one: Measurement) -> bool:
    """Whether an answer is long enough for a decode rate; it has four tokens if only TTFT is measured."""
    return (one.completion_tokens or 0) >= 16


def apart(measurements: Sequence[Measurement]) -> list[str]:
    """Kinds of requests whose medians differ by more than 3 ms + 2 % or 2 %, and those that were not cold."""
    found = []
    outside = outside_ms([s for s in measurements if s.source != "streams"])
    for source, context in sorted({(s.source, s.context) for s in measurements if s.source != "streams"}):
        own = [s for s in measurements if (s.source, s.context) == (source, context)]
        known = [s for s in own if s.ttft_ms is not None and s.server_ttft_ms is not None]
        if known:
            extra = statistics.median(
                [(s.ttft_ms or 0.0) - (s.server_ttft_ms or 0.0) - outside * (s.prompt_tokens or 0) for s in known]
            )
            if not -1.0 <= extra <= 3.0 + 0.02 * statistics.median([s.ttft_ms or 0.0 for s in known]):
                found.append(f"{source} {context}: TTFT {extra:.2f} ms")
        rates = [s.rate / s.server_rate - 1 for s in own if s.rate and s.server_rate and s.decode and _long(s)]
        if rates and source == "short" and abs(statistics.median(rates)) > 0.02:
            found.append(f"{source} {context}: decode rate {statistics.median(rates):+.1%}")
        if source == "cold" and not all(s.cached is not None and s.cached <= 16 for s in own):
            found.append(f"{source} {context}: not proven cold")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base-url", help="a server that is up; without it, --checkpoint is served here")
    parser.add_argument("--checkpoint", type=Path, help="what is served, and what the roofline comes from")
    parser.add_argument("--vllm-python", type=Path, help="interpreter of vLLM's environment (default: this one)")
    parser.add_argument("--vllm-arg", action="append", default=[], help="passed to vLLM as it is")
    parser.add_argument("--hardware", help="name in the hardware table")
    parser.add_argument("--gate", action="append", choices=ROWS_HERE, help="only this gate; may be repeated")
    parser.add_argument("--context", action="append", type=int, help="prompt length in tokens; at least three")
    parser.add_argument("--samples", type=Path, help="append every sample and row here, a JSON object a line")
    parser.add_argument("--output", type=Path, help="write the tables here as Markdown, and plots beside it")
    options = parser.parse_args()
    if options.base_url is None and options.checkpoint is None:
        parser.error("give --checkpoint DIR to serve, or --base-url URL")
    profile = Profile("timing", Path("-"), PROMPT, tools={}, scenarios=(), gates={})
    with ExitStack() as stack:
        url = options.base_url or serve(stack, options, profile)
        return measure(options, profile, url)


def serve(stack: ExitStack, options: argparse.Namespace, profile: Profile) -> str:
    """Start vLLM for the checkpoint, to be stopped with the stack. Returns its URL."""
    from annie_eval.serving import TargetSpec, open_target  # needs h11, which is in vLLM's environment

    spec = TargetSpec(
        model_dir=options.checkpoint,
        vllm_python=options.vllm_python or Path(sys.executable),
        vllm_args=("--enable-prompt-tokens-details", *options.vllm_arg),
    )
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    try:
        target = open_target(spec, profile, directory, lambda message: print(message, file=sys.stderr))
    except (UsageError, TargetError) as error:
        raise SystemExit(f"timing_vllm: {error}") from None
    stack.callback(target.close)
    return target.base_url


def measure(options: argparse.Namespace, profile: Profile, url: str) -> int:
    plan = plan_for(
        profile,
        tuple(options.gate or ROWS_HERE),
        base_url=url,
        model_dir=options.checkpoint,
        hardware=options.hardware,
        gpus=machine.local_gpus(),
        cores=machine.local_cores(),
        output=options.samples,
    )
    if options.context:
        plan = replace(plan, contexts=tuple(sorted(options.context)))
    measurements: list[Measurement] = []
    bar = Bar(sys.stderr)

    def progress(event: Mapping[str, Any]) -> None:
        bar(event)
        if event["event"] == "measurement":
            measurements.append(Measurement.from_dict({key: value for key, value in event.items() if key != "event"}))

    rows = run(plan, progress)
    bar.close()
    text = "\n".join(["```", render(rows), "```", "", *agreement(measurements), ""])
    print(text)
    if options.output is not None:
        options.output.write_text(text, "utf-8")
        for path in rows_chart(rows, options.output.parent):
            print(path)
    wrong = [*apart(measurements), *(f"{row.name}: {row.detail}" for row in rows if row.verdict == "ERROR")]
    for message in wrong:
        print(f"apart: {message}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

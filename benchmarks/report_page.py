"""Measures size, writing time and opening time (in a browser) of the HTML report of a large run.

    .venv/bin/python -m benchmarks.report_page [--samples 10000]
    .venv/bin/python -m benchmarks.report_page --picture RUN docs/report.png    # a picture of a real run's report

The run is synthetic: varied prompts of the profile annie, streamed and unstreamed, two repeats; answers of 40 random
tokens with the token ids that vLLM sends; one in five misses. Opening time is measured by the page itself, from the
start of navigation until the list of samples can be used.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.gates.decide import RunVerdict, decide, overall
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate, Variant, sample_key
from annie_eval.report import page
from annie_eval.run.store import Store, StoredExchange
from annie_eval.wire.conversation import next_request
from benchmarks.chromium import Chromium

_SYLLABLES = tuple("kalomitervansunegodaelfurantibosh"[i : i + 3] for i in range(0, 30, 2))
_IDS = random.Random(2).sample(range(1_000, 150_000), 900)  # of the system prompt and the tools


def words(draw: random.Random, n: int) -> list[str]:
    return ["".join(draw.choices(_SYLLABLES, k=draw.randint(1, 3))) for _ in range(n)]


def body(draw: random.Random, reply: Sequence[str], *, stream: bool) -> tuple[bytes, tuple[tuple[int, int], ...]]:
    """A response in vLLM's format, and the times of its reads."""
    head = {"id": f"chatcmpl-{draw.getrandbits(128):032x}", "created": 1_795_428_000, "model": "annie"}
    prompt = [*_IDS, *(draw.randrange(150_000) for _ in range(20))]
    ids = [draw.randrange(150_000) for _ in reply]
    usage = {"prompt_tokens": len(prompt), "total_tokens": len(prompt) + len(ids), "completion_tokens": len(ids)}
    if not stream:
        message = {"role": "assistant", "content": " ".join(reply), "tool_calls": []}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "token_ids": ids}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage, "prompt_token_ids": prompt}
        raw = json.dumps(whole).encode()
        return raw, ((draw.randrange(400_000_000), len(raw)),)
    head["object"] = "chat.completion.chunk"
    first: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    chunks: list[dict[str, Any]] = [{**head, "choices": [first], "prompt_token_ids": prompt}]
    for word, token in zip(reply, ids, strict=True):
        choice = {"index": 0, "delta": {"content": f" {word}"}, "logprobs": None, "finish_reason": None}
        chunks.append({**head, "choices": [{**choice, "token_ids": [token]}]})
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({**head, "choices": [], "usage": usage})
    parts = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]
    at = draw.randrange(100_000_000)
    reads = []
    for part in parts:
        at += draw.randrange(30_000_000, 34_000_000)
        reads.append((at, len(part)))
    return b"".join(parts), tuple(reads)


def make_run(folder: Path, samples: int) -> RunVerdict:
    """Make a run with that many samples on disk; returns its verdict."""
    profile, draw = load("annie"), random.Random(1)
    store = Store(folder, create=True)
    judgements: list[Judgement] = []
    variants = [Variant(stream, "off", repeat) for repeat in (1, 2) for stream in (True, False)]
    asked: list[tuple[str, str, Variant]] = [
        (f"s-{n:05}", " ".join(words(draw, 12)), variant) for n in range(-(-samples // 4)) for variant in variants
    ][:samples]
    keys = [f"{name}.{variant.label}" for name, _, variant in asked]
    store.select({"g": keys}, [], keys)
    for n, (name, prompt, variant) in enumerate(asked):
        base = profile.scenarios[n // 4 % len(profile.scenarios)]
        turn = replace(base.turns[0], user=f"{base.turns[0].user} {prompt}")
        scenario = replace(base, id=name, turns=(turn,), variants=(variant,))
        request = next_request(profile, scenario, variant, (), model="annie", token_ids=True)
        assert request is not None
        reply = words(draw, 40)
        raw, reads = body(draw, reply, stream=variant.stream)
        key = sample_key(name, variant)
        store.save_exchange(key, 0, StoredExchange(0, 0, request.body, 200, (), raw, reads))
        length = len(reply[0])
        found = (Finding("markdown", "emphasis in speech", reply[0], "content", 0, (0, length)),) if n % 5 == 0 else ()
        judgements.append(Judgement("g", key, found))
        store.save_sample(key, None, judgements[-1:])
    store.close()
    result = decide(Gate("g", ("markdown",), ("g",), 0), judgements, len(judgements))
    return RunVerdict(overall([result]), (result,), profile={"name": "annie"}, target={"base_url": "http://x/v1"})


def measure(samples: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        verdict = make_run(folder, samples)
        out = folder / "report.html"
        began = time.perf_counter()
        page.write(out, verdict, folder)
        took = time.perf_counter() - began
        whole = "have no room here" not in out.read_text(encoding="utf-8")
        with Chromium() as browser:
            browser.look(1280)
            browser.send("Performance.enable", timeDomain="threadTicks")
            opened, busy = [], []
            for _ in range(5):
                browser.open(out)
                told = browser.send("Performance.getMetrics")["metrics"]
                busy += [each["value"] for each in told if each["name"] == "TaskDuration"]
                opened.append(float(browser.evaluate("document.documentElement.dataset.ready")))
        print(f"{samples} samples, {(folder / 'run.sqlite').stat().st_size / 1e6:.0f} MB in the store:")
        print(f"  {out.stat().st_size / 1e6:.1f} MB, {'every response' if whole else 'not every response'} in it")
        print(f"  written in {took:.1f} s, {1e3 * took / samples:.2f} ms a sample")
        print(f"  opened in {statistics.median(opened):.0f} ms ({min(opened):.0f}-{max(opened):.0f})")
        print(f"  of which the page's thread: {1e3 * statistics.median(busy):.0f} ms of CPU time")


def picture(run: Path, out: Path) -> None:
    with Chromium() as browser:
        browser.look(1000, 900)
        browser.open(run / "report.html")
        browser.picture(out)
    print(f"{out}: {out.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--picture", nargs=2, type=Path, metavar=("RUN", "PNG"))
    arguments = parser.parse_args()
    if arguments.picture is not None:
        picture(*arguments.picture)
    else:
        measure(arguments.samples)


if __name__ == "__main__":
    main()

"""Greedy answers of a served quantised checkpoint beside those of the fake-quantised model that it was made from.

    python benchmarks/served_agreement.py --checkpoint DIR --reference BF16_DIR --prompts FILE.jsonl
        --served NAME=URL [--served NAME=URL ...] [--count N] [--tokens N] [--output FILE.md]

The model is computed by transformers in three ways: with quantised activations as the format has them (W4A4), with
BF16 activations (what a weight-only kernel such as Marlin does), and W4A4 again with another attention kernel, whose
difference from the first is the noise of BF16 arithmetic itself. Each served answer is compared with each of them,
token by token up to the first that differs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from quant import dequantized, loading
from quant.training.conversations import read_conversations, render_all

Answers = list[list[int]]


def prompts(checkpoint: Path, path: Path, count: int) -> list[list[int]]:
    """Token ids up to the generation prompt of the first conversations' first learnt turn."""
    tokenizer = loading.load_tokenizer(checkpoint)
    examples = render_all(tokenizer, read_conversations(path)[:count], path, 4096)[:count]
    return [list(example.ids[: example.learnt.index(True)]) for example in examples]


def computed(model: Any, asked: Sequence[Sequence[int]], tokens: int) -> Answers:
    """Greedy answers of a transformers model, one prompt at a time."""
    found = []
    for ids in asked:
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([ids], device=model.device), max_new_tokens=tokens, do_sample=False, use_cache=True,
                temperature=None, top_p=None, top_k=None,
            )  # fmt: skip
        found.append(out[0, len(ids) :].tolist())
    return found


def served(url: str, asked: Sequence[Sequence[int]], tokens: int) -> Answers:
    """Greedy answers of a vLLM server, as token ids."""
    with urllib.request.urlopen(f"{url}/v1/models") as answer:
        name = json.load(answer)["data"][0]["id"]
    found = []
    for ids in asked:
        body = {"model": name, "prompt": ids, "max_tokens": tokens, "temperature": 0, "return_token_ids": True}
        request = urllib.request.Request(
            f"{url}/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            found.append(json.load(answer)["choices"][0]["token_ids"])
    return found


def agreement(one: Answers, other: Answers) -> str:
    """Equal answers, and the share of tokens up to the first difference."""
    same = sum(a == b for a, b in zip(one, other, strict=True))
    shares = []
    for a, b in zip(one, other, strict=True):
        length = max(len(a), len(b))
        common = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        shares.append(common / length)
    return f"{same}/{len(one)}, {statistics.mean(shares):.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--served", action="append", default=[], metavar="NAME=URL")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    asked = prompts(options.checkpoint, options.prompts, options.count)
    device = loading.default_device()
    model = dequantized.load(options.checkpoint, options.reference, device)
    ours = {"fake-quant, W4A4": computed(model, asked, options.tokens)}
    model.set_attn_implementation("eager")
    ours["W4A4, eager attention"] = computed(model, asked, options.tokens)
    model.set_attn_implementation("sdpa")
    for module in model.modules():
        module._forward_pre_hooks.clear()
    ours["fake-quant, weights only"] = computed(model, asked, options.tokens)
    ours["BF16 original"] = computed(loading.load_model(options.reference, device), asked, options.tokens)
    theirs = dict(pair.split("=", 1) for pair in options.served)
    answers = {**ours, **{name: served(url, asked, options.tokens) for name, url in theirs.items()}}
    lines = [
        f"{len(asked)} greedy answers of up to {options.tokens} tokens: equal answers, tokens before the first change",
        "",
        f"| | {' | '.join(answers)} |",
        "|---" * (len(answers) + 1) + "|",
    ]
    for name, one in answers.items():
        lines.append(f"| {name} | {' | '.join(agreement(one, other) for other in answers.values())} |")
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Measures how much time NVFP4 fake quantisation adds to a training step on the CPU.

    python benchmarks/nvfp4_fake_quant.py                     # SmolLM2-135M's shapes, 1024 tokens
    python benchmarks/nvfp4_fake_quant.py --tokens 648 2048 --layers 8

Two copies of one randomly initialised Llama with SmolLM2-135M's dimensions, one in BF16 and the other with
ModelOpt's ``NVFP4_DEFAULT_CFG`` and this project's backend, run forward and backward passes in turn, so that a change
of the machine's load affects both. Prints the medians and their ratio; exit status 1 if the ratio is above the limit
of
1.40. ``--reference`` adds the same with torch operators instead of the native code.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from unittest import mock

import modelopt.torch.quantization as mtq
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from quant.formats import nvfp4_native
from quant.quantize.modelopt_backend import with_backend

LIMIT = 1.40


def smollm2(layers: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).to(torch.bfloat16)


def step(model: LlamaForCausalLM, tokens: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    start = time.perf_counter()
    model(input_ids=tokens, labels=tokens).loss.backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def without_native(model: LlamaForCausalLM, tokens: torch.Tensor) -> float:
    with mock.patch.object(nvfp4_native, "fake_quantize", return_value=None):
        return step(model, tokens)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[1024], help="tokens per step, in sequences of <= 512"
    )
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each model")
    parser.add_argument("--reference", action="store_true", help="also time the torch operators")
    options = parser.parse_args()
    logging.set_verbosity_error()

    plain = smollm2(options.layers)
    quantised = mtq.quantize(
        smollm2(options.layers),
        with_backend(mtq.NVFP4_DEFAULT_CFG),
        lambda model: model(torch.randint(0, 49152, (1, 64))),
    )
    variants: dict[str, tuple[Callable[[LlamaForCausalLM, torch.Tensor], float], LlamaForCausalLM]] = {
        "bf16": (step, plain),
        "nvfp4": (step, quantised),
    }
    if options.reference:
        variants["nvfp4, torch operators"] = (without_native, quantised)

    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.layers} layers")
    print(f"{'tokens':>6}  {'variant':<24}{'s/step':>8}{'tokens/s':>10}{'ratio':>8}")
    worst = 0.0
    for count in options.tokens:
        length = next(n for n in range(min(512, count), 0, -1) if count % n == 0)
        tokens = torch.randint(0, 49152, (count // length, length))
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        for round_number in range(options.steps + 1):
            for name, (run, model) in variants.items():
                elapsed = run(model, tokens)
                if round_number:  # the first round warms up
                    seconds[name].append(elapsed)
        base = statistics.median(seconds["bf16"])
        for name, samples in seconds.items():
            median = statistics.median(samples)
            print(f"{count:>6}  {name:<24}{median:>8.2f}{count / median:>10.0f}{median / base:>8.2f}", flush=True)
        ratio = statistics.median(seconds["nvfp4"]) / base
        worst = max(worst, ratio)
        print(f"        {'within' if ratio <= LIMIT else 'OVER'} the limit of {LIMIT:.2f}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())

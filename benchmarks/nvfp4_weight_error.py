"""Measures the error of NVFP4 weights for each way of choosing block scales, and the time that the search takes.

    python -m benchmarks.nvfp4_weight_error [--model DIR]

Without a model it uses one matrix of normally distributed numbers; with a model, each linear layer in the decoder of a
BF16 checkpoint, with one global scale per layer (a recipe first ties those of fused layers). The error is the
Frobenius norm of the difference divided by that of the weights. Seconds are CPU seconds of all threads, on which other
load has little effect.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from quant.formats import nvfp4
from quant.formats.nvfp4_search import Search, global_amax, search_scales

WAYS: dict[str, Search | None] = {"max": None, "four_over_six": "four_over_six", "mse": "mse"}


def matrices(model: Path | None) -> Iterator[Tensor]:
    """The weights to measure on."""
    if model is None:
        yield torch.randn(2048, 4096, generator=torch.Generator().manual_seed(0))
        return
    for path in sorted(model.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                if ".layers." in name and name.endswith("proj.weight"):
                    yield file.get_tensor(name)


def quantized(weight: Tensor, search: Search | None) -> Tensor:
    """The weight as a server dequantises it."""
    amax = weight.abs().amax()
    if search is None:
        return nvfp4.fake_quantize(weight, amax)
    scale = nvfp4.global_scale(global_amax(amax, search))
    return nvfp4.fake_quantize_scaled(weight, search_scales(weight, scale, search), scale)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="BF16 checkpoint directory")
    model: Path | None = parser.parse_args().model
    squares, seconds, length, weights = dict.fromkeys(WAYS, 0.0), dict.fromkeys(WAYS, 0.0), 0.0, 0
    quantized(torch.randn(16, 16), "mse")  # the native code is compiled before the measurement
    for weight in matrices(model):
        for way, search in WAYS.items():
            begun = time.process_time()
            found = quantized(weight, search)
            seconds[way] += time.process_time() - begun
            squares[way] += float((found.float() - weight.float()).square().sum(dtype=torch.float64))
        length += float(weight.float().square().sum(dtype=torch.float64))
        weights += weight.numel()
    print(f"{weights:,} weights of {model or 'a normal distribution'}")
    for way in WAYS:
        print(f"{way:14} error {(squares[way] / length) ** 0.5:.2%}   {seconds[way]:.2f} processor seconds")


if __name__ == "__main__":
    main()

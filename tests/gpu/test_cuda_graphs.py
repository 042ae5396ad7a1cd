"""CUDA graphs change no number of a training step: losses and weights are those of the loop without them.

    pytest tests/gpu/test_cuda_graphs.py        or:  python tests/gpu/test_cuda_graphs.py

Needs a CUDA GPU, nvidia-modelopt, peft and triton; skips itself elsewhere. Speed: benchmarks/qat_throughput.py.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/unit/quant")]

if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a CUDA GPU")


def trained(
    directory: Path, graphs: bool, compile: bool, micro_tokens: int
) -> tuple[list[float], dict[str, Any], int]:
    """Losses, weights and the number of captured shapes of 20 steps."""
    from peft import LoraConfig, get_peft_model

    from quant import loading, recipe
    from quant.ptq import quantize
    from quant.training.conversations import Example
    from quant.training.layers import installed
    from quant.training.loop import How, Trainer

    generator = torch.Generator().manual_seed(0)
    examples = [
        Example(tuple(torch.randint(5, 250, (60,), generator=generator).tolist()), (False,) * 20 + (True,) * 40, 0)
        for _ in range(8)
    ]
    settings = recipe.Training(method="lora", ce=1.0, kl=0.0, learning_rate=1e-3, batch_tokens=256, epochs=10)
    model = loading.load_model(directory, "cuda")
    names = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]
    torch.manual_seed(0)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=names))
    quantize(wrapped, recipe.load("qat-lora"), [list(range(40))] * 4, 0)
    with installed(model) as layers:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        parameters: dict[str, torch.nn.Parameter] = {}
        for name, layer in layers.items():
            assert layer.lora_a is not None
            assert layer.lora_b is not None
            parameters[f"{name}.lora_a"], parameters[f"{name}.lora_b"] = layer.lora_a, layer.lora_b
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        way = How(micro_tokens=micro_tokens, compile=compile, cuda_graphs=graphs)
        trainer = Trainer(model, parameters, examples, settings, way, 0)
        trainer.run()
        captured = len(trainer.objective.graphs.captured) if trainer.objective.graphs is not None else 0
        return [row["loss"] for row in trainer.history], trainer.values(), captured


def test_replayed_steps_are_the_plain_ones(tmp_path: Path) -> None:
    import tiny

    tiny.llama(tmp_path)
    for compile, micro_tokens in itertools.product((False, True), (256, 128)):
        # Attention's gradient may add up in another order from call to call; one way of it does not.
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            plain, weights, none = trained(tmp_path, False, compile, micro_tokens)
            replayed, same, captured = trained(tmp_path, True, compile, micro_tokens)
        print(f"compile {compile}, micro-batches of {micro_tokens} tokens: {captured} shapes captured, "
              f"{sum(a == b for a, b in zip(plain, replayed, strict=True))} of {len(plain)} losses equal")  # fmt: skip
        assert (none, captured) == (0, 1)
        assert replayed == plain
        for name, value in weights.items():
            assert torch.equal(value, same[name]), name


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        test_replayed_steps_are_the_plain_ones(Path(name))

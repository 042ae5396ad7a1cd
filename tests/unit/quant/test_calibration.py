"""Calibration runs the common beginning of all samples once, and finds the same amax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from quant.checkpoint import loading
from quant.quantize import calibration
from tests.support import tiny

START = list(range(100, 148))


@pytest.mark.parametrize(
    ("sequences", "shared"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2, 3], [1, 2, 3, 4]], 2),  # one token of each is left to run
        ([[1, 2, 3], [1, 2, 3]], 2),
        ([[1, 2], [2, 1]], 0),
        ([[1, 2, 3]], 0),
        ([[5, 5, 9], [5, 1, 9], [5, 5, 9]], 1),
    ],
)
def test_shared_start(sequences: list[list[int]], shared: int) -> None:
    assert calibration.shared_start(sequences) == shared


def greatest(model: Any, sequences: list[list[int]], share: bool) -> tuple[dict[str, torch.Tensor], int]:
    """Greatest input of every linear layer, and how many tokens the first one saw."""
    found: dict[str, torch.Tensor] = {}
    seen = 0

    def hook(name: str) -> Any:
        def keep(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            nonlocal seen
            seen += inputs[0].shape[:-1].numel() if name.endswith("layers.0.self_attn.q_proj") else 0
            most = inputs[0].abs().max().float()
            found[name] = torch.maximum(found.get(name, most), most)

        return keep

    hooks = [
        module.register_forward_pre_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    with torch.inference_mode():
        calibration.run_through(model, sequences, 2, 0, "cpu", share=share)
    for each in hooks:
        each.remove()
    return found, seen


def test_a_shared_start_is_run_once_and_finds_the_same_greatest_values(tmp_path: Path) -> None:
    model = loading.load_model(tiny.llama(tmp_path / "m"), "cpu").float()
    sequences = [START + [7 * i + j for j in range(1, 5 + i)] for i in range(5)]
    once, few = greatest(model, sequences, share=True)
    each, many = greatest(model, sequences, share=False)
    assert few < many / 2
    assert once.keys() == each.keys()
    for name, value in each.items():
        torch.testing.assert_close(once[name], value, rtol=1e-5, atol=0)


def test_a_model_with_a_state_of_its_own_runs_every_sample_whole(tmp_path: Path) -> None:
    """DeltaNet layers keep more than keys and values; nothing is shared there."""
    model = loading.load_model(tiny.qwen3_5_text(tmp_path / "m"), "cpu")
    sequences = [[*START, 5], [*START, 6, 7]]
    assert greatest(model, sequences, share=True)[0].keys() == greatest(model, sequences, share=False)[0].keys()
    assert not calibration.attends_alone(model)


SMALL = {
    "vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
}  # fmt: skip
ATTENTION = {"intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 2}


def test_keys_that_turn_by_the_length_of_the_whole_are_not_shared() -> None:
    """Past 64 tokens LongRoPE takes its other factors, also for the first of them."""
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
    lengths = {"max_position_embeddings": 256, "original_max_position_embeddings": 64}
    config = AutoConfig.for_model("phi3", **SMALL, **ATTENTION, **lengths, rope_parameters=rope)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    sequences = [START + [(7 * i + j) % 290 for j in range(1, 60 + i)] for i in range(4)]
    assert greatest(model.model, sequences, share=True) == greatest(model.model, sequences, share=False)


def test_a_model_without_a_cache_of_keys_and_values_runs_every_sample_whole() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("rwkv", **SMALL)).eval()
    sequences = [[*START, 5], [*START, 6, 7]]
    assert greatest(model, sequences, share=True)[0] == greatest(model, sequences, share=False)[0]

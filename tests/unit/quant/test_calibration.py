"""Calibration runs the common beginning of all samples once, and finds the same amax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from quant.checkpoint import loading
from quant.quantize import calibration
from quant.recipe import Calibration
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


TALK = {"messages": [{"role": "user", "content": "Hello."}], "tools": None}
WITH_TOOLS = {**TALK, "tools": [{"type": "function"}]}


@pytest.mark.parametrize(
    ("samples", "tokens", "template", "told"),
    [
        ([TALK] * 20, 123, "{{ messages }}", ["20 samples with 2,460 tokens are few: the recipe takes 32 samples"]),
        ([TALK] * 32, 256, "{{ messages }}", []),
        ([TALK] * 32, 255, "{{ messages }}", ["32 samples with 8,160 tokens are few"]),
        ([TALK] * 32, 500, "{% if tools %}", ["no sample has `tools`"]),
        ([*[TALK] * 31, WITH_TOOLS], 500, "{% if tools %}", []),
        ([{"text": "Prose."}] * 32, 500, "{% if tools %}", []),
        ([{"text": "Prose."}] * 32, 500, None, []),
        ([TALK] * 20, 123, "{% if tools %}", ["20 samples with 2,460 tokens", "no sample has `tools`"]),
    ],
)
def test_what_the_data_lack_is_told(
    samples: list[dict[str, Any]], tokens: int, template: str | None, told: list[str]
) -> None:
    limits = Calibration(samples=32, max_length=512)
    found = calibration.warnings(samples, [[1] * tokens] * len(samples), template, limits)
    assert len(found) == len(told)
    assert all(line.startswith(start) for line, start in zip(found, told, strict=True))


def test_the_table_of_kl_and_tool_calls_is_that_of_the_study() -> None:
    """docs/quant.md repeats numbers of docs/results.md: both sets of tool prompts together."""
    docs = Path(__file__).parents[3] / "docs"
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in (docs / "results.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ")
    ]
    distance = {row[0]: row[2] for row in rows if len(row) == 5 and row[1].isdigit()}
    right = {
        row[0]: int(row[2].split()[0]) + int(row[5].split()[0]) for row in rows if len(row) == 8 and row[1].isdigit()
    }
    page = (docs / "quant.md").read_text(encoding="utf-8").partition("### What the KL says")[2].partition("###")[0]
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][
        1:
    ]
    assert len(told) == 10
    assert told == [[name, distance.get(name, "-"), f"{right[name]} of 560"] for name, *_ in told]

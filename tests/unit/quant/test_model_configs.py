"""Preflight's findings about config.json: the whole text of each, for each image.

The expected findings are in model_configs.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from quant import images
from quant.preflight.config import architecture_findings
from tests.support.small_checkpoints import DOWN, Tensors, bytes_of, checkpoint, told
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("model_configs.json")
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
VL: dict[str, Any] = {
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "model_type": "qwen3_5",
    "text_config": {"tie_word_embeddings": False},
    "vision_config": {},
}
TEXT = {"architectures": ["Qwen3_5ForCausalLM"], "model_type": "qwen3_5_text", "tie_word_embeddings": False}
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
EYES = {f"model.visual.{name}.weight": torch.ones(1) for name in ("patch_embed.proj", "merger.norm")}
ENDS: Tensors = {HEAD: torch.ones(2, 2), EMBEDDING: torch.zeros(2, 2)}
INNER = {HEAD: torch.ones(2, 2)} | {
    f"model.language_model.{name}.weight": torch.zeros(2, 2) for name in ("embed_tokens", "norm")
}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": []}
ROPE = {"rope_theta": 2.0, "rope_type": "default"}
CASES: dict[str, tuple[dict[str, Any], Tensors]] = {
    "llama": (LLAMA, ENDS),
    "text": (TEXT, ENDS),
    "vision": (VL, INNER | EYES),
    "no class": ({**LLAMA, "architectures": None}, ENDS),
    "a class that is no text": ({**LLAMA, "architectures": [1]}, ENDS),
    "an unknown class": ({**LLAMA, "architectures": ["Zork" * 30]}, ENDS),
    "no type": ({**LLAMA, "model_type": None}, ENDS),
    "another class": ({**LLAMA, "architectures": ["Qwen2ForCausalLM"]}, ENDS),
    "another type": ({**LLAMA, "model_type": "zork" * 30}, ENDS),
    "an unknown pair": ({**LLAMA, "architectures": ["OPTForCausalLM"], "model_type": "opt"}, ENDS),
    "no text config": ({k: v for k, v in VL.items() if k != "text_config"}, INNER | EYES),
    "eyes of a text model": (TEXT, ENDS | EYES),
    "eyes under another name": (TEXT, ENDS | {"model.vision_tower.a.weight": torch.ones(1)}),
    "a vision config without eyes": ({**LLAMA, "vision_config": {}}, ENDS),
    "a vision config without eyes, of an unknown type": (
        {"architectures": ["OPTForCausalLM"], "model_type": "opt", "vision_config": {}, "tie_word_embeddings": False},
        ENDS,
    ),
    "a vision config that is a list": ({**VL, "vision_config": []}, INNER | EYES),
    "wrapped": (LLAMA, INNER),
    "a wrapped text model": (TEXT, INNER),
    "wrapped, of an unknown type": ({"architectures": ["OPTForCausalLM"], "model_type": "opt"}, INNER),
    "bare": (VL, ENDS | EYES | {"model.norm.weight": torch.ones(2)}),
    "theta outside and inside": ({**LLAMA, "rope_theta": 1.0, "rope_parameters": ROPE}, ENDS),
    "theta inside": ({**LLAMA, "rope_parameters": ROPE}, ENDS),
    "theta outside": ({**LLAMA, "rope_theta": 2.0}, ENDS),
    "both thetas": ({**LLAMA, "rope_theta": 2.0, "rope_parameters": ROPE}, ENDS),
    "rope parameters without a theta": ({**LLAMA, "rope_theta": 2.0, "rope_parameters": {}}, ENDS),
    "two thetas in the text config": (
        {**VL, "text_config": {"rope_theta": 1.0, "rope_parameters": ROPE, "tie_word_embeddings": False}},
        INNER | EYES,
    ),
    "tied outside alone": ({**VL, "tie_word_embeddings": True}, INNER | EYES),
    "no head": (LLAMA, {EMBEDDING: torch.ones(2, 2)}),
    "neither head nor embedding": (LLAMA, {"model.norm.weight": torch.ones(2)}),
    "tied": ({**LLAMA, "tie_word_embeddings": True}, {EMBEDDING: torch.ones(2, 2)}),
    "tied by default": (
        {"architectures": ["GemmaForCausalLM"], "model_type": "gemma"}, {EMBEDDING: torch.ones(2, 2)}
    ),
    "tied with another head": ({**LLAMA, "tie_word_embeddings": True}, ENDS),
    "tied with the same head": ({**LLAMA, "tie_word_embeddings": True}, ENDS | {HEAD: torch.zeros(2, 2)}),
    "tied with a head of another type": (
        {**LLAMA, "tie_word_embeddings": True}, ENDS | {HEAD: torch.zeros(2, 2).bfloat16()}
    ),
    "quantised": ({**LLAMA, "quantization_config": NVFP4}, ENDS),
    "quantised and tied": (
        {**LLAMA, "tie_word_embeddings": True, "quantization_config": NVFP4}, {EMBEDDING: torch.ones(2, 2)}
    ),
    "quantised and tied, with the head": (
        {**LLAMA, "tie_word_embeddings": True, "quantization_config": NVFP4}, ENDS | {HEAD: torch.zeros(2, 2)}
    ),
    "quantised and tied, excluded": (
        {**LLAMA, "tie_word_embeddings": True, "quantization_config": {**NVFP4, "ignore": ["lm_head"]}},
        {EMBEDDING: torch.ones(2, 2)},
    ),
    "mixed and tied": (
        {
            **LLAMA,
            "tie_word_embeddings": True,
            "quantization_config": {
                **NVFP4, "quant_algo": "MIXED_PRECISION", "quantized_layers": {DOWN: {"quant_algo": "FP8"}}
            },
        },
        {EMBEDDING: torch.ones(2, 2)},
    ),
    "a quantised head": ({**LLAMA, "quantization_config": NVFP4}, ENDS | {HEAD: bytes_of(1, 2, 2)}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_a_config(tmp_path: Path, case: str) -> None:
    config, tensors = CASES[case]
    ours = checkpoint(tmp_path, tensors, config)
    expect(TABLE, case, told(architecture_findings(ours, None)))
    for image in ("vllm-0.19", "vllm-0.24", "vllm-0.32"):
        expect(TABLE, f"{case}, {image}", told(architecture_findings(ours, images.find(image))))

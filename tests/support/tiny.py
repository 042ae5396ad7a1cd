"""Makes tiny random models for tests: Llama, Qwen3.5 text-only, Qwen3.5 with vision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quant.commands.default_model import chat_template


def byte_tokenizer(directory: Path) -> None:
    """A byte-level tokenizer of 256 bytes and three ChatML tokens, with the project's chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    fast.chat_template = chat_template()
    fast.save_pretrained(directory)
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": fast.eos_token_id}))


def text_settings(**changes: Any) -> dict[str, Any]:
    """Four layers, three of them DeltaNet, hidden 128; linear head dims 64, which vLLM's CPU kernel requires."""
    return {
        "vocab_size": 320, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "linear_key_head_dim": 64,
        "linear_value_head_dim": 64, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
        "max_position_embeddings": 512, "eos_token_id": 257, **changes,
    }  # fmt: skip


def save(model: Any, directory: Path) -> Path:
    """Write a model with larger random weights in BF16, without a tokenizer."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "embed" not in name:
                weight.normal_(0, 0.08)
    model.to(torch.bfloat16).save_pretrained(directory)
    return directory


def _save(model: Any, directory: Path) -> Path:
    save(model, directory)
    byte_tokenizer(directory)
    return directory


def qwen3_5_text(directory: Path) -> Path:
    """`qwen3_5_text`, untied."""
    import torch
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    torch.manual_seed(0)
    return _save(Qwen3_5ForCausalLM(Qwen3_5TextConfig(**text_settings())), directory)


def qwen3_5_vl(directory: Path) -> Path:
    """`qwen3_5` with a vision tower of one block."""
    import torch
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    torch.manual_seed(1)
    vision = {
        "depth": 1, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 128,
        "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
    }  # fmt: skip
    config = Qwen3_5Config(
        text_config=text_settings(), vision_config=vision, image_token_id=300, video_token_id=301,
        vision_start_token_id=302, vision_end_token_id=303,
    )  # fmt: skip
    return _save(Qwen3_5ForConditionalGeneration(config), directory)


def llama(directory: Path, *, tied: bool = True) -> Path:
    """Two layers of Llama with grouped heads, tied like SmolLM2."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=320, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=tied, eos_token_id=257,
        bos_token_id=256,
    )  # fmt: skip
    return _save(LlamaForCausalLM(config), directory)


def calibration_file(path: Path, lines: int = 8, *, tools: bool = True) -> Path:
    """A few short conversations, one with tools."""
    with path.open("w") as stream:
        for index in range(lines):
            sample: dict[str, Any] = {
                "messages": [
                    {"role": "user", "content": f"Question {index}: what is {index} plus {index}?"},
                    {"role": "assistant", "content": f"That is {2 * index}."},
                ]
            }
            if index == 0 and tools:
                sample["tools"] = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
            stream.write(json.dumps(sample) + "\n")
    return path

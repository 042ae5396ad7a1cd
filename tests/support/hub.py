"""Makes tiny random models with the configs, tokenizers and templates of well-known model families.

`make(family, directory, 4)` writes config.json like transformers 4 (`rope_theta`, `rope_scaling`, `torch_dtype`, a
window that is switched off), `make(family, directory, 5)` like transformers 5.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import tiny

SIZES = {
    "vocab_size": 320, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32,
}  # fmt: skip
LLAMA3 = {
    "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 256,
    "rope_type": "llama3",
}  # fmt: skip
VISION = {
    "depth": 1, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 128, "patch_size": 16,
    "spatial_merge_size": 2, "temporal_patch_size": 2, "num_position_embeddings": 16,
}  # fmt: skip
IMAGE = {"image_token_id": 300, "video_token_id": 301, "vision_start_token_id": 302, "vision_end_token_id": 303}
_HEAD = "{%- for message in messages %}"


def _tail(start: str) -> str:
    return "{%- endfor %}{%- if add_generation_prompt %}{{- '" + start + "' }}{%- endif %}"


CHATML = (
    _HEAD + "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    + _tail("<|im_start|>assistant\\n")
)  # fmt: skip
LLAMA3_TEMPLATE = (
    "{{- '<|begin_of_text|>' }}" + _HEAD
    + "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}"
    + _tail("<|start_header_id|>assistant<|end_header_id|>\\n\\n")
)  # fmt: skip
MISTRAL = (
    "{{- '<s>' }}" + _HEAD + "{%- if message.role == 'assistant' %}{{- ' ' + message.content + '</s>' }}"
    "{%- else %}{{- '[INST] ' + message.content + ' [/INST]' }}{%- endif %}{%- endfor %}"
)  # fmt: skip
GEMMA = (
    "{{- '<bos>' }}" + _HEAD + "{%- set role = 'model' if message.role == 'assistant' else message.role %}"
    "{{- '<start_of_turn>' + role + '\\n' + message.content | trim + '<end_of_turn>\\n' }}"
    + _tail("<start_of_turn>model\\n")
)  # fmt: skip


def tokenizer(directory: Path, specials: list[str], template: str | None, **settings: Any) -> None:
    """Bytes and special tokens from 256 on; `template` None takes the project's own ChatML template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    found = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    directory.mkdir(parents=True, exist_ok=True)
    found.save(str(directory / "tokenizer.json"))
    decoder = {str(256 + i): {"content": text, "special": True} for i, text in enumerate(specials)}
    content = {"added_tokens_decoder": decoder, "tokenizer_class": "PreTrainedTokenizerFast", **settings}
    if template is None:
        content["chat_template"] = tiny.chat_template()
    else:
        content["chat_template"] = template
    (directory / "tokenizer_config.json").write_text(json.dumps(content, indent=2))


def _write(directory: Path, config: dict[str, Any], generation: dict[str, Any], model: Any) -> Path:
    tiny.save(model, directory)
    (directory / "config.json").write_text(json.dumps(config, indent=2))
    (directory / "generation_config.json").write_text(json.dumps(generation, indent=2))
    return directory


def _five(model: Any, directory: Path) -> dict[str, Any]:
    model.config.save_pretrained(directory)
    content: dict[str, Any] = json.loads((directory / "config.json").read_text())
    return content | {"architectures": [type(model).__name__], "dtype": "bfloat16"}


def llama_32(directory: Path, version: int) -> Path:
    """Llama-3.2-1B-Instruct: tied, llama3 rope scaling, three stop tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
                "<|eom_id|>"]  # fmt: skip
    tokenizer(directory, specials, LLAMA3_TEMPLATE, bos_token=specials[0], eos_token="<|eot_id|>")
    four: dict[str, Any] = {
        **SIZES, "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 256, "eos_token_id": [257, 261, 260], "hidden_act": "silu", "initializer_range": 0.02,
        "max_position_embeddings": 2048, "mlp_bias": False, "model_type": "llama", "pretraining_tp": 1,
        "rms_norm_eps": 1e-05, "rope_scaling": LLAMA3, "rope_theta": 500000.0, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": True,
    }  # fmt: skip
    model = LlamaForCausalLM(LlamaConfig.from_dict(four))
    generation = {"bos_token_id": 256, "do_sample": True, "eos_token_id": [257, 261, 260], "temperature": 0.6}
    return _write(directory, four if version == 4 else _five(model, directory), generation, model)


def qwen_25(directory: Path, version: int) -> Path:
    """Qwen2.5-0.5B-Instruct: tied, biases in q/k/v, a window that is switched off."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer(directory, specials, CHATML, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    four: dict[str, Any] = {
        **{key: value for key, value in SIZES.items() if key != "head_dim"}, "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0, "bos_token_id": 256, "eos_token_id": 258, "hidden_act": "silu",
        "initializer_range": 0.02, "max_position_embeddings": 2048, "max_window_layers": 21, "model_type": "qwen2",
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 1024, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "transformers_version": "4.43.1", "use_cache": True, "use_sliding_window": False,
    }  # fmt: skip
    model = Qwen2ForCausalLM(Qwen2Config.from_dict(four))
    generation = {"bos_token_id": 256, "eos_token_id": [258, 256], "pad_token_id": 256, "repetition_penalty": 1.1}
    return _write(directory, four if version == 4 else _five(model, directory), generation, model)


def qwen_3(directory: Path, version: int) -> Path:
    """Qwen3-0.6B: tied, norms in attention, null rope_scaling and window."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer(directory, specials, None, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    four: dict[str, Any] = {
        **SIZES, "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 256, "eos_token_id": 258, "hidden_act": "silu", "initializer_range": 0.02,
        "max_position_embeddings": 2048, "max_window_layers": 28, "model_type": "qwen3", "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True,
        "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": True, "use_sliding_window": False,
    }  # fmt: skip
    model = Qwen3ForCausalLM(Qwen3Config.from_dict(four))
    generation = {"bos_token_id": 256, "do_sample": True, "eos_token_id": [258, 256], "pad_token_id": 256, "top_k": 20}
    return _write(directory, four if version == 4 else _five(model, directory), generation, model)


def mistral(directory: Path, version: int) -> Path:
    """Mistral-7B-Instruct-v0.3: untied, a theta of a million, no window, no padding token."""
    from transformers import MistralConfig, MistralForCausalLM

    tokenizer(directory, ["<unk>", "<s>", "</s>"], MISTRAL, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    four: dict[str, Any] = {
        **SIZES, "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 257,
        "eos_token_id": 258, "hidden_act": "silu", "initializer_range": 0.02, "max_position_embeddings": 2048,
        "model_type": "mistral", "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.42.0.dev0",
        "use_cache": True,
    }  # fmt: skip
    model = MistralForCausalLM(MistralConfig.from_dict(four))
    generation = {"_from_model_config": True, "bos_token_id": 257, "eos_token_id": 258}
    return _write(directory, four if version == 4 else _five(model, directory), generation, model)


def gemma_3(directory: Path, version: int) -> Path:
    """Gemma-3-270m-it: tied, windows in most layers with a rope of their own, turns that end with <end_of_turn>."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    specials = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    tokenizer(directory, specials, GEMMA, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>")
    four: dict[str, Any] = {
        **SIZES, "_sliding_window_pattern": 6, "architectures": ["Gemma3ForCausalLM"], "attention_bias": False,
        "attention_dropout": 0.0, "attn_logit_softcapping": None, "bos_token_id": 258, "eos_token_id": 257,
        "final_logit_softcapping": None, "hidden_activation": "gelu_pytorch_tanh", "initializer_range": 0.02,
        "layer_types": ["sliding_attention", "full_attention"], "max_position_embeddings": 2048,
        "model_type": "gemma3_text", "pad_token_id": 256, "query_pre_attn_scalar": 32, "rms_norm_eps": 1e-06,
        "rope_local_base_freq": 10000.0, "rope_scaling": None, "rope_theta": 1000000.0, "sliding_window": 128,
        "torch_dtype": "bfloat16", "transformers_version": "4.55.0.dev0", "use_bidirectional_attention": False,
        "use_cache": True,
    }  # fmt: skip
    model = Gemma3ForCausalLM(Gemma3TextConfig.from_dict(four))
    generation = {"cache_implementation": "hybrid", "do_sample": True, "eos_token_id": [257, 260], "top_k": 64}
    return _write(directory, four if version == 4 else _five(model, directory), generation, model)


def _mtp(text: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner = text["hidden_size"], text["intermediate_size"]
    heads, groups, width = text["num_attention_heads"], text["num_key_value_heads"], text["head_dim"]
    layer = "mtp.layers.0"
    return {
        "mtp.fc.weight": (hidden, 2 * hidden), "mtp.norm.weight": (hidden,),
        "mtp.pre_fc_norm_embedding.weight": (hidden,),
        "mtp.pre_fc_norm_hidden.weight": (hidden,), f"{layer}.input_layernorm.weight": (hidden,),
        f"{layer}.post_attention_layernorm.weight": (hidden,), f"{layer}.mlp.gate_proj.weight": (inner, hidden),
        f"{layer}.mlp.up_proj.weight": (inner, hidden), f"{layer}.mlp.down_proj.weight": (hidden, inner),
        f"{layer}.self_attn.q_proj.weight": (2 * heads * width, hidden),
        f"{layer}.self_attn.k_proj.weight": (groups * width, hidden),
        f"{layer}.self_attn.v_proj.weight": (groups * width, hidden),
        f"{layer}.self_attn.o_proj.weight": (hidden, heads * width),
        f"{layer}.self_attn.q_norm.weight": (width,), f"{layer}.self_attn.k_norm.weight": (width,),
    }  # fmt: skip


def _add_mtp(directory: Path, text: dict[str, Any]) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(directory / "model.safetensors")
    for name, shape in _mtp(text).items():
        tensors[name] = torch.randn(shape).mul(0.08).to(torch.bfloat16)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})


def _qwen_35_text(version: int) -> dict[str, Any]:
    settings = tiny.text_settings(max_position_embeddings=2048)
    common = {
        **settings, "attention_bias": False, "attention_dropout": 0.0, "attn_output_gate": True, "eos_token_id": 258,
        "full_attention_interval": 4, "hidden_act": "silu", "initializer_range": 0.02, "linear_conv_kernel_dim": 4,
        "layer_types": ["linear_attention"] * 3 + ["full_attention"], "mamba_ssm_dtype": "float32",
        "mlp_only_layers": [], "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": False,
        "model_type": "qwen3_5_text", "rms_norm_eps": 1e-06, "tie_word_embeddings": False, "use_cache": True,
    }  # fmt: skip
    rope = {"rope_theta": 10000000, "rope_type": "default", "partial_rotary_factor": 0.25}
    if version == 4:
        return {**common, "torch_dtype": "bfloat16", "partial_rotary_factor": 0.25, "rope_theta": 10000000,
                "rope_scaling": None}  # fmt: skip
    return {**common, "dtype": "bfloat16", "rope_parameters": rope, "partial_rotary_factor": 0.25}


def qwen_35_text(directory: Path, version: int) -> Path:
    """Qwen3.5, only the text model, with the MTP head."""
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer(directory, specials, None, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    text = _qwen_35_text(version)
    _write(
        directory, {**text, "architectures": ["Qwen3_5ForCausalLM"]}, {"eos_token_id": [258, 256]},
        Qwen3_5ForCausalLM(Qwen3_5TextConfig.from_dict(text)),
    )  # fmt: skip
    _add_mtp(directory, text)
    return directory


def qwen_35_vl(directory: Path, version: int) -> Path:
    """Qwen3.5 as it is on the hub: vision tower, text part, MTP head."""
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer(directory, specials, None, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    text = _qwen_35_text(version)
    config: dict[str, Any] = {
        "architectures": ["Qwen3_5ForConditionalGeneration"], **IMAGE, "model_type": "qwen3_5", "text_config": text,
        "tie_word_embeddings": False, "transformers_version": "4.57.0.dev0" if version == 4 else "5.2.0",
        "vision_config": {**VISION, "deepstack_visual_indexes": [], "hidden_act": "gelu_pytorch_tanh",
                          "in_channels": 3, "initializer_range": 0.02, "model_type": "qwen3_5"},
    }  # fmt: skip
    model = Qwen3_5ForConditionalGeneration(Qwen3_5Config.from_dict(json.loads(json.dumps(config))))
    _write(directory, config, {"eos_token_id": [258, 256]}, model)
    _add_mtp(directory, text)
    return directory


FAMILIES: dict[str, Callable[[Path, int], Path]] = {
    "llama-3.2-1b": llama_32, "qwen2.5-0.5b": qwen_25, "qwen3-0.6b": qwen_3, "mistral-7b-v0.3": mistral,
    "gemma-3-270m": gemma_3, "qwen3.5-text": qwen_35_text, "qwen3.5-vl": qwen_35_vl,
}  # fmt: skip


def make(family: str, directory: Path, version: int) -> Path:
    """A tiny checkpoint of that family, written like transformers `version` (4 or 5)."""
    import torch

    torch.manual_seed(len(family))
    return FAMILIES[family](directory, version)

"""The tensors that an architecture has, with their shapes, from its config: Llama, Qwen2, Qwen3 and Qwen3.5.

Names are plain (see `checkpoint_view.plain`), shapes are those of the BF16 checkpoint.
"""

from __future__ import annotations

from typing import Any

Shapes = dict[str, tuple[int, ...]]
FAMILIES = {"llama", "mistral", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text"}


def shapes(config: dict[str, Any], model_type: str) -> Shapes | None:
    """All language-model tensors except lm_head, or None for an architecture that is not described here.

    `config` is the text config. Raises KeyError, TypeError or ZeroDivisionError where it lacks what it needs.
    """
    if model_type not in FAMILIES or config.get("num_experts") or config.get("quantization"):
        return None
    hidden = int(config["hidden_size"])
    found: Shapes = {
        "model.embed_tokens.weight": (int(config["vocab_size"]), hidden),
        "model.norm.weight": (hidden,),
    }
    layers = int(config["num_hidden_layers"])
    for index in range(layers):
        prefix = f"model.layers.{index}"
        found |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
        }
        found |= _mlp(f"{prefix}.mlp", hidden, int(config["intermediate_size"]), bool(config.get("mlp_bias")))
        if model_type.startswith("qwen3_5") and _kind(config, index) == "linear_attention":
            found |= _delta_net(f"{prefix}.linear_attn", hidden, config)
        else:
            found |= _attention(f"{prefix}.self_attn", hidden, config, model_type)
    return found


def _kind(config: dict[str, Any], index: int) -> str:
    kinds = config.get("layer_types")
    if kinds:
        return str(kinds[index])
    return "linear_attention" if (index + 1) % int(config.get("full_attention_interval", 4)) else "full_attention"


def _mlp(prefix: str, hidden: int, inner: int, bias: bool) -> Shapes:
    found: Shapes = {
        f"{prefix}.gate_proj.weight": (inner, hidden),
        f"{prefix}.up_proj.weight": (inner, hidden),
        f"{prefix}.down_proj.weight": (hidden, inner),
    }
    return found | ({n.replace("weight", "bias"): s[:1] for n, s in found.items()} if bias else {})


def _attention(prefix: str, hidden: int, config: dict[str, Any], model_type: str) -> Shapes:
    heads = int(config["num_attention_heads"])
    groups = int(config.get("num_key_value_heads") or heads)
    width = int(config.get("head_dim") or hidden // heads)
    gate = 2 if model_type.startswith("qwen3_5") else 1  # Qwen3.5's q_proj also makes the output gate
    found: Shapes = {
        f"{prefix}.q_proj.weight": (heads * width * gate, hidden),
        f"{prefix}.k_proj.weight": (groups * width, hidden),
        f"{prefix}.v_proj.weight": (groups * width, hidden),
        f"{prefix}.o_proj.weight": (hidden, heads * width),
    }
    biased = [n for n in found if (model_type == "qwen2" and "o_proj" not in n) or config.get("attention_bias")]
    found |= {name.replace("weight", "bias"): found[name][:1] for name in biased}
    if model_type.startswith("qwen3"):
        found |= {f"{prefix}.q_norm.weight": (width,), f"{prefix}.k_norm.weight": (width,)}
    return found


def _delta_net(prefix: str, hidden: int, config: dict[str, Any]) -> Shapes:
    values = int(config["linear_num_value_heads"])
    value_width = int(config["linear_value_head_dim"])
    inner = values * value_width
    mixed = 2 * int(config["linear_num_key_heads"]) * int(config["linear_key_head_dim"]) + inner
    return {
        f"{prefix}.in_proj_qkv.weight": (mixed, hidden),
        f"{prefix}.in_proj_z.weight": (inner, hidden),
        f"{prefix}.in_proj_a.weight": (values, hidden),
        f"{prefix}.in_proj_b.weight": (values, hidden),
        f"{prefix}.conv1d.weight": (mixed, 1, int(config["linear_conv_kernel_dim"])),
        f"{prefix}.A_log": (values,),
        f"{prefix}.dt_bias": (values,),
        f"{prefix}.norm.weight": (value_width,),
        f"{prefix}.out_proj.weight": (hidden, inner),
    }

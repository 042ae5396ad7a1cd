"""Lists the tensors of an architecture with their shapes, from its config: Llama, Qwen2, Qwen3 and Qwen3.5.

Names are plain (see `checkpoint_view.plain`), shapes are those of the BF16 checkpoint.
"""

from __future__ import annotations

from typing import Any

Shapes = dict[str, tuple[int, ...]]
#: No model has so many layers, heads or columns. A larger value in a config would only cost time and memory.
MOST_LAYERS, LARGEST = 10_000, 1 << 31
FAMILIES = {"llama", "mistral", "qwen2", "qwen3", "qwen3_5", "qwen3_5_text"}


class BadConfig(ValueError):
    """An impossible value in config.json; `key` names it."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(problem)
        self.key = key


def _size(config: dict[str, Any], key: str, default: int | None = None, most: int = LARGEST) -> int:
    """A size: an integer from 1 to `most`. Raises BadConfig for anything else."""
    value = config.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        raise BadConfig(key, "is missing")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadConfig(key, f"is {value!r:.40}, but must be an integer from 1 to {most}")
    return value


def _positive(config: dict[str, Any], key: str) -> None:
    """Check that a number, if present, is finite and above zero. Raises BadConfig otherwise."""
    value = config.get(key)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < float("inf")):
        raise BadConfig(key, f"is {value!r:.40}, but must be a positive number")


def vision_shapes(vision: dict[str, Any]) -> Shapes:
    """All tensors of Qwen3.5's vision tower. Raises BadConfig if a needed value is missing in its config."""
    hidden, inner = _size(vision, "hidden_size"), _size(vision, "intermediate_size")
    patch = _size(vision, "patch_size")
    merged = hidden * _size(vision, "spatial_merge_size") ** 2
    patches = (_size(vision, "in_channels", 3), _size(vision, "temporal_patch_size"), patch, patch)
    weights: Shapes = {
        "patch_embed.proj": (hidden, *patches),
        "merger.norm": (hidden,),
        "merger.linear_fc1": (merged, merged),
        "merger.linear_fc2": (_size(vision, "out_hidden_size"), merged),
    }
    for index in range(_size(vision, "depth", most=MOST_LAYERS)):
        block = f"blocks.{index}"
        weights |= {f"{block}.norm1": (hidden,), f"{block}.norm2": (hidden,)}
        weights |= {f"{block}.attn.qkv": (3 * hidden, hidden), f"{block}.attn.proj": (hidden, hidden)}
        weights |= {f"{block}.mlp.linear_fc1": (inner, hidden), f"{block}.mlp.linear_fc2": (hidden, inner)}
    found = {f"model.visual.{name}.weight": shape for name, shape in weights.items()}
    found |= {f"model.visual.{name}.bias": shape[:1] for name, shape in weights.items()}
    return found | {"model.visual.pos_embed.weight": (_size(vision, "num_position_embeddings"), hidden)}


def shapes(config: dict[str, Any], model_type: str) -> Shapes | None:
    """All language-model tensors except lm_head, or None for an architecture that is not described here.

    `config` is the text config. Raises BadConfig if a needed value is missing.
    """
    if model_type not in FAMILIES or config.get("num_experts") or config.get("quantization"):
        return None
    hidden = _size(config, "hidden_size")
    found: Shapes = {
        "model.embed_tokens.weight": (_size(config, "vocab_size"), hidden),
        "model.norm.weight": (hidden,),
    }
    _positive(config, "rms_norm_eps")
    rope = config.get("rope_parameters")
    _positive(rope if isinstance(rope, dict) else config, "rope_theta")
    layers = _size(config, "num_hidden_layers", most=MOST_LAYERS)
    for index in range(layers):
        prefix = f"model.layers.{index}"
        found |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
        }
        found |= _mlp(f"{prefix}.mlp", hidden, _size(config, "intermediate_size"), bool(config.get("mlp_bias")))
        if model_type.startswith("qwen3_5") and _kind(config, index) == "linear_attention":
            found |= _delta_net(f"{prefix}.linear_attn", hidden, config)
        else:
            found |= _attention(f"{prefix}.self_attn", hidden, config, model_type)
    return found


def _kind(config: dict[str, Any], index: int) -> str:
    kinds = config.get("layer_types")
    if kinds is None:
        every = _size(config, "full_attention_interval", 4)
        return "linear_attention" if (index + 1) % every else "full_attention"
    layers = config["num_hidden_layers"]
    if not isinstance(kinds, list) or len(kinds) < layers:
        named = f"names {len(kinds)} layers" if isinstance(kinds, list) else "is no list"
        raise BadConfig("num_hidden_layers", f"is {layers}, but layer_types {named}")
    return str(kinds[index])


def _mlp(prefix: str, hidden: int, inner: int, bias: bool) -> Shapes:
    found: Shapes = {
        f"{prefix}.gate_proj.weight": (inner, hidden),
        f"{prefix}.up_proj.weight": (inner, hidden),
        f"{prefix}.down_proj.weight": (hidden, inner),
    }
    return found | ({n.replace("weight", "bias"): s[:1] for n, s in found.items()} if bias else {})


def _attention(prefix: str, hidden: int, config: dict[str, Any], model_type: str) -> Shapes:
    heads = _size(config, "num_attention_heads")
    groups = _size(config, "num_key_value_heads", heads)
    width = _size(config, "head_dim", hidden // heads)
    gate = 2 if model_type.startswith("qwen3_5") else 1  # Qwen3.5's q_proj also computes the output gate
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
    values = _size(config, "linear_num_value_heads")
    value_width = _size(config, "linear_value_head_dim")
    inner = values * value_width
    mixed = 2 * _size(config, "linear_num_key_heads") * _size(config, "linear_key_head_dim") + inner
    return {
        f"{prefix}.in_proj_qkv.weight": (mixed, hidden),
        f"{prefix}.in_proj_z.weight": (inner, hidden),
        f"{prefix}.in_proj_a.weight": (values, hidden),
        f"{prefix}.in_proj_b.weight": (values, hidden),
        f"{prefix}.conv1d.weight": (mixed, 1, _size(config, "linear_conv_kernel_dim")),
        f"{prefix}.A_log": (values,),
        f"{prefix}.dt_bias": (values,),
        f"{prefix}.norm.weight": (value_width,),
        f"{prefix}.out_proj.weight": (hidden, inner),
    }

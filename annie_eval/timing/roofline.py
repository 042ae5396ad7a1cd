"""Computes roofline bounds from a checkpoint's headers: the lowest possible TTFT and the highest decode rate.

Decode reads every weight once per step, so bandwidth / bytes is the maximum number of steps per second. Prefill
multiplies every weight once per prompt token, so operations / peak rate is the minimum time (Williams, Waterman &
Patterson 2009, "Roofline"). Bytes come from the headers of the safetensors files, so quantised weights count with
their real size. A measurement beyond these bounds is wrong: a cache hit, a truncated prompt, or a wrong token count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.timing.hardware import Hardware
from annie_eval.untrusted.regular_files import read_header, read_object

_SCALES = ("_scale", "_scale_2", "_scale_inv", "_amax", ".bias", "zero_point")
_NOT_TEXT = re.compile(r"(^|\.)(visual|vision_tower|vision_model|audio_tower|mtp)\.")


@dataclass(frozen=True, slots=True)
class Model:
    """The costs of one token.

    Attributes:
        weight_bytes: bytes read per decode step: all weights of the text model except the embedding table.
        parameters: weights multiplied per prompt token: the matrices of the layers (lm_head runs once per prompt).
        attention_width: sum over full-attention layers of heads x head size.
        kv_bytes: KV cache of full-attention layers per token of context.
        format: the smallest operand format in which the matrices may be multiplied.
        vocabulary: size of the embedding table in tokens.
    """

    weight_bytes: float
    parameters: float
    attention_width: float
    kv_bytes: float
    format: str
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a model on a machine. `bytes_per_s` is None if the weights fit into the cache (no bound known).

    Attributes:
        flops_per_s: peak rate for the model's format.
    """

    model: Model
    bytes_per_s: float | None
    flops_per_s: float

    def ttft_floor_ms(self, prompt_tokens: int) -> float:
        """Minimum TTFT of a cold prompt in milliseconds: the maximum of computing time and reading time of the
        weights.

        Operations: 2 per parameter and token; causal attention 2 x width x n^2 (scores and values, half of the
        n x n pairs, 2 operations each).
        """
        n = prompt_tokens
        compute = (2 * self.model.parameters * n + 2 * self.model.attention_width * n * n) / self.flops_per_s
        read = self.model.weight_bytes / self.bytes_per_s if self.bytes_per_s else 0.0
        return max(compute, read) * 1e3

    def slope_floor_ms(self) -> float:
        """Minimum additional milliseconds of a thousand more prompt tokens."""
        return 2e6 * self.model.parameters / self.flops_per_s

    def decode_ceiling(self, context: int, tokens_per_step: float = 1.0) -> float | None:
        """Maximum tokens per second of one stream at `context` tokens; None if unknown."""
        if not self.bytes_per_s:
            return None
        return tokens_per_step * self.bytes_per_s / (self.model.weight_bytes + self.model.kv_bytes * context)


def bounds(model: Model, hardware: Hardware, *, devices: int = 1, cores: int = 1) -> Bounds | None:
    """The bounds of the model on that machine; None if its peak rates are unknown."""
    rates = [hardware.tflops[f] for f in _at_least(model.format) if f in hardware.tflops]
    if not rates or hardware.memory_gb_s is None:
        return None
    count = cores if hardware.per_core else devices
    fits = model.weight_bytes < 2e6 * hardware.cache_mb
    return Bounds(model, None if fits else hardware.memory_gb_s * 1e9 * count, max(rates) * 1e12 * count)


def read_model(directory: Path) -> Model | None:
    """The costs of a checkpoint; None if config.json or the safetensors headers lack the information."""
    try:
        config = read_object(directory / "config.json")
        text = config.get("text_config", config)
        heads, layers = int(text["num_attention_heads"]), int(text["num_hidden_layers"])
        head = int(text.get("head_dim") or text["hidden_size"] // heads)
        kv_heads = int(text.get("num_key_value_heads") or heads)
        vocabulary = int(text["vocab_size"])
        kinds = text.get("layer_types")
        full = sum(kind == "full_attention" for kind in kinds) if kinds else layers
        tensors = list(_tensors(directory))
    except (UsageError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, OverflowError):
        return None
    if not tensors:
        return None
    experts = text.get("num_experts") or text.get("num_local_experts") or 0
    active = int(text.get("num_experts_per_tok") or 0) / int(experts) if experts else 1.0
    weight_bytes = parameters = embedding = head_bytes = 0.0
    for name, dtype, shape, size in tensors:
        if _NOT_TEXT.search(name):
            continue
        part = active if ".experts." in name else 1.0
        if "embed_tokens" in name:
            embedding += size
            continue
        if name.startswith("lm_head") or ".lm_head" in name:
            head_bytes += size
            continue
        weight_bytes += part * size
        if len(shape) >= 2 and not name.endswith(_SCALES):
            count = 1.0
            for extent in shape:
                count *= extent
            parameters += part * count * (2 if dtype == "U8" else 1)  # NVFP4 packs two values into a byte
    return Model(
        weight_bytes=weight_bytes + (head_bytes or embedding),  # a tied head reads the embedding table
        parameters=parameters,
        attention_width=float(full * heads * head),
        kv_bytes=float(full * kv_heads * head * 2 * 2),  # keys and values, two bytes each
        format=_format(config),
        vocabulary=vocabulary,
    )


def _tensors(directory: Path) -> Iterator[tuple[str, str, list[int], int]]:
    """(name, dtype, shape, bytes) of every tensor, from the headers."""
    for path in sorted(directory.glob("*.safetensors")):
        tensors, _ = read_header(path, whole=False)
        for name, entry in tensors.items():
            begin, end = entry["data_offsets"]
            yield name, entry["dtype"], entry["shape"], end - begin


def _format(config: Mapping[str, Any]) -> str:
    """The smallest operand format of the checkpoint's quantisation, by its name."""
    text = json.dumps(config.get("quantization_config") or {}).lower()
    if "fp4" in text:
        return "fp4"
    return "fp8" if "fp8" in text or '"float"' in text else "bf16"


def _at_least(smallest: str) -> tuple[str, ...]:
    """Possible operand formats of such weights: their own, or a wider one after dequantising."""
    order = ("fp4", "fp8", "bf16")
    return order[order.index(smallest) :]

"""AWQ-lite: smooths q/k/v and gate/up and folds the scales into the norms before, so that the result is plain NVFP4.

AWQ multiplies the inputs of a linear layer by a vector and divides its weight by it, so that channels with large
activations keep more of their precision (Lin et al., arXiv 2306.00978). ModelOpt searches the vector, but no vLLM
release loads the `pre_quant_scale` that its export writes. If the inputs come directly from a norm, the vector can be
multiplied into the norm's weight. ModelOpt's own folding does not know that Qwen3.5's norms multiply by 1 + weight,
and ignores unquantised layers that use the same norm. So this module does the folding, and smooths only if the norm
has no other users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

#: Last component of the norm's name -> parent and names of the only layers that use it.
_READERS = {
    "input_layernorm": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "post_attention_layernorm": ("mlp", ("gate_proj", "up_proj")),
}


def foldable_groups(model: nn.Module) -> list[tuple[nn.Module, list[Any]]]:
    """Norms with the quantised layers that use them, if all of these exist and are enabled."""
    groups = []
    for _, module in model.named_modules():
        for norm_name, (parent_name, names) in _READERS.items():
            norm, parent = getattr(module, norm_name, None), getattr(module, parent_name, None)
            if norm is None or parent is None:
                continue
            readers = [getattr(parent, name, None) for name in names]
            if all(getattr(getattr(r, "weight_quantizer", None), "is_enabled", False) for r in readers):
                groups.append((norm, readers))
    return groups


@torch.no_grad()
def _multiplies_by_one_plus_weight(norm: nn.Module) -> bool:
    weight = norm.weight
    assert isinstance(weight, torch.Tensor)
    output = norm(torch.ones_like(weight).unsqueeze(0))[0].float()
    plain, plus_one = (output - weight.float()).abs().max(), (output - 1 - weight.float()).abs().max()
    return bool(plus_one < plain)


@torch.no_grad()
def _fold(norm: nn.Module, readers: list[Any]) -> None:
    from modelopt.torch.export.quant_utils import preprocess_linear_fusion

    preprocess_linear_fusion(readers)  # one vector for all users, adjusted weights, common amax
    scale = readers[0].input_quantizer.pre_quant_scale
    if scale is None:
        return
    offset = 1.0 if _multiplies_by_one_plus_weight(norm) else 0.0
    weight = norm.weight
    assert isinstance(weight, torch.Tensor)
    weight.copy_(((weight.float() + offset) * scale.float().reshape(-1) - offset).to(weight.dtype))
    for reader in readers:
        del reader.input_quantizer._pre_quant_scale
        reader.input_quantizer._enable_pre_quant_scale = False


def quantize_awq_lite(model: Any, config: dict[str, Any], forward: Callable[[Any], None]) -> Any:
    """Quantise `model`: AWQ-lite where it can be folded, max calibration everywhere else.

    `config` is that of max calibration; `forward` runs the calibration data.
    """
    import modelopt.torch.quantization as mtq

    model = mtq.quantize(model, {**config, "algorithm": None}, None)
    groups = foldable_groups(model)
    smoothed = {id(reader) for _, readers in groups for reader in readers}
    waiting: list[Any] = []
    for module in model.modules():
        for kind in ("weight_quantizer", "input_quantizer"):
            quantizer = getattr(module, kind, None)
            if quantizer is not None and id(module) not in smoothed and quantizer.is_enabled:
                quantizer.disable()
                waiting.append(quantizer)
    if groups:
        mtq.calibrate(model, "awq_lite", forward)
        for norm, readers in groups:
            _fold(norm, readers)
    for quantizer in waiting:
        quantizer.enable()
    return mtq.calibrate(model, "max", forward)

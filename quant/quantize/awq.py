"""AWQ-lite: smoothing of q/k/v and gate/up, folded into the neighbouring weights, so that plain NVFP4 remains.

AWQ multiplies the inputs of a linear layer by a vector and divides its weight by it, so that channels with large
activations keep more of their precision (Lin et al., arXiv 2306.00978). ModelOpt searches the vector; what its export
leaves as `pre_quant_scale` no vLLM release loads. Where the inputs come straight from a norm the vector belongs into
the norm's weight, and nothing is left. ModelOpt's own folding takes Qwen3.5's norms, which multiply by 1 + weight,
for plain ones, and leaves the projections out that share the norm but are not quantised: so we fold ourselves, and
search only where the norm has no other reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

#: Last component of the norm -> parent and names of the layers that alone read it.
_READERS = {
    "input_layernorm": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "post_attention_layernorm": ("mlp", ("gate_proj", "up_proj")),
}


def foldable_groups(model: nn.Module) -> list[tuple[nn.Module, list[Any]]]:
    """Norms with the quantised layers that read them, where all of these are there and enabled."""
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

    preprocess_linear_fusion(readers)  # one vector for all readers, weights adjusted, amax tied
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
    """Quantise `model`: AWQ-lite where it folds, max calibration everywhere else.

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

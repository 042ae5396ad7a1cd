"""The linear kernels that quant/vllm_cpu/plugin.py registers; imported only inside a vLLM that runs on a CPU.

Both dequantise the checkpoint's weight when it is loaded, and pass it to vLLM's dispatcher for unquantised layers,
which packs it for oneDNN. At run time only activations are quantised: they are rounded to the values of the 4-bit or
8-bit format, in the layer's own dtype.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.kernels.linear.nvfp4.base import NvFp4LinearKernel, NvFp4LinearLayerConfig
from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import (
    FP8ScaledMMLinearKernel,
    FP8ScaledMMLinearLayerConfig,
)
from vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils import dequantize_to_dtype
from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
from vllm.platforms import current_platform

from quant.formats import nvfp4, nvfp4_native


class CpuNvFp4LinearKernel(NvFp4LinearKernel):
    """NVFP4 on the CPU: W4A4 if the checkpoint has an ``input_scale``, else W4A16."""

    @classmethod
    def is_supported(cls, compute_capability: int | None = None) -> tuple[bool, str | None]:
        return current_platform.is_cpu(), "requires a CPU"

    @classmethod
    def can_implement(cls, config: NvFp4LinearLayerConfig) -> tuple[bool, str | None]:
        return True, None

    def process_weights_after_loading(self, layer: Any) -> None:
        weight = dequantize_to_dtype(
            layer.weight.data.view(torch.uint8),
            layer.weight_scale.data,
            layer.weight_global_scale,
            torch.get_default_dtype(),  # vLLM sets it to the model's dtype while it loads
            nvfp4.BLOCK_SIZE,
            swizzle=False,
        )
        inverse = getattr(layer, "input_global_scale_inv", None)
        self.inverse_scale = None if inverse is None else inverse.item()
        _make_dense(layer, weight)
        del layer.weight_scale

    def apply_weights(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
        if self.inverse_scale is not None:
            x = nvfp4_input(x, self.inverse_scale)
        return _dense_linear(layer, x, bias)


class CpuFp8LinearKernel(FP8ScaledMMLinearKernel):
    """FP8 (E4M3) with one static scale for the weight and one for the input, on CPUs without AMX."""

    @classmethod
    def is_supported(cls, compute_capability: int | None = None) -> tuple[bool, str | None]:
        return current_platform.is_cpu(), "requires a CPU"

    @classmethod
    def can_implement(cls, config: FP8ScaledMMLinearLayerConfig) -> tuple[bool, str | None]:
        weight, activation = config.weight_quant_key.scale, config.activation_quant_key.scale
        per_tensor = weight.group_shape.is_per_tensor() and activation.group_shape.is_per_tensor()
        return per_tensor and activation.static, "requires static scales, one for the weight and one for the input"

    def process_weights_after_loading(self, layer: Any) -> None:
        weight, weight_scale, input_scale, _ = self._get_layer_params(layer)  # the weight is transposed: (K, N)
        dense = weight.data.t().float() * weight_scale.data
        self.input_scale = input_scale.item()
        _make_dense(layer, dense.to(torch.get_default_dtype()))

    def apply_weights(self, layer: Any, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return _dense_linear(layer, fp8_input(x, self.input_scale), bias)

    def apply_scaled_mm(self, **_: object) -> Tensor:
        raise NotImplementedError("apply_weights does not go through a scaled matrix product")


def _make_dense(layer: Any, weight: Tensor) -> None:
    layer.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
    dispatch_cpu_unquantized_gemm(layer, remove_weight=True)


def _dense_linear(layer: Any, x: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = layer.cpu_linear(x, layer.weight, None)
    # Added after rounding, as in vLLM's emulation. In a fused operation the sum would be rounded only once.
    return out if bias is None else (out + bias).to(out.dtype)


def requantize_with_max_scale(
    weight: Tensor, weight_scale: Tensor, logical_widths: list[int]
) -> tuple[Tensor, Tensor]:
    """Convert the shards of a fused FP8 layer, each with its own scale, to the largest of their scales.

    vLLM does this when it loads such a layer, but with a CUDA operator. Same arithmetic, including the conversion
    through float16 (``requantize_with_max_scale`` in ``vllm/model_executor/layers/quantization/utils/w8a8_utils.py``).

    Args:
        weight: float8_e4m3fn ``(sum(logical_widths), K)``, changed in place.
        weight_scale: float32, one for each shard.
        logical_widths: rows of each shard.

    Returns:
        The common scale (a scalar) and ``weight``.
    """
    common = weight_scale.max()
    for shard, scale in zip(weight.split(logical_widths), weight_scale, strict=True):
        values = (shard.to(torch.float16) * scale).float() * common.reciprocal()
        shard.copy_(values.clamp(-nvfp4.E4M3_MAX, nvfp4.E4M3_MAX).to(torch.float8_e4m3fn))
    return common, weight


def nvfp4_input(x: Tensor, inverse_scale: float) -> Tensor:
    """Fake-quantise the activation of a W4A4 layer like vLLM's ``ref_nvfp4_quant_dequant``.

    Args:
        x: ``(..., K)``, K a multiple of 16, float32, bfloat16 or float16.
        inverse_scale: 1 / global scale.

    Returns:
        Of the shape and dtype of ``x``.
    """
    if torch.compiler.is_compiling():
        return torch.ops.annie_quant.nvfp4_input(x, inverse_scale)
    return _nvfp4_input(x, inverse_scale)


def fp8_input(x: Tensor, scale: float) -> Tensor:
    """Round the activation of a static per-tensor FP8 layer to E4M3 multiples of ``scale``, in the dtype of ``x``."""
    if torch.compiler.is_compiling():
        return torch.ops.annie_quant.fp8_input(x, scale)
    return _fp8_input(x, scale)


def _nvfp4_input(x: Tensor, inverse_scale: float) -> Tensor:
    native = nvfp4_native.fake_quantize("emulation", x, inverse_scale)
    return native if native is not None else nvfp4_input_reference(x, inverse_scale)


def _fp8_input(x: Tensor, scale: float) -> Tensor:
    native = nvfp4_native.fake_quantize("fp8", x, scale)
    return native if native is not None else fp8_input_reference(x, scale)


def nvfp4_input_reference(x: Tensor, inverse_scale: float) -> Tensor:
    """:func:`nvfp4_input` with torch operators, for machines without a compiler."""
    inverse = torch.tensor(inverse_scale, dtype=torch.float32)
    blocks = x.unflatten(-1, (-1, nvfp4.BLOCK_SIZE)).float()
    amax = blocks.abs().amax(-1, keepdim=True)
    scale = inverse * (amax * (1.0 / nvfp4.E2M1_MAX))
    scale = scale.clamp(-nvfp4.E4M3_MAX, nvfp4.E4M3_MAX).to(torch.float8_e4m3fn).float()
    dequantised = scale * (1.0 / inverse)
    reciprocal = 1.0 / (dequantised + (dequantised == 0) * 1e8)
    return (nvfp4.round_e2m1(blocks * reciprocal) * (scale / inverse)).flatten(-2).to(x.dtype)


def fp8_input_reference(x: Tensor, scale: float) -> Tensor:
    """:func:`fp8_input` with torch operators."""
    step = torch.tensor(scale, dtype=torch.float32)
    rounded = (x.float() * step.reciprocal()).clamp(-nvfp4.E4M3_MAX, nvfp4.E4M3_MAX).to(torch.float8_e4m3fn)
    return (rounded.float() * step).to(x.dtype)


# Opaque to torch.compile (which vLLM uses without --enforce-eager), because it cannot trace a call into a shared
# library.
_operators = torch.library.Library("annie_quant", "DEF")
for _name, _function in (("nvfp4_input", _nvfp4_input), ("fp8_input", _fp8_input)):
    _operators.define(f"{_name}(Tensor x, float scale) -> Tensor")
    _operators.impl(_name, _function, "CPU")
    _operators.impl(_name, lambda x, scale: torch.empty_like(x, memory_format=torch.contiguous_format), "Meta")

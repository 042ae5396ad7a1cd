"""FP8 per tensor (E4M3, one FP32 scale), in plain torch, and its ModelOpt backends.

    scale = amax / 448        value = E4M3(x / scale) * scale

The quotient is rounded before it is rounded to E4M3, and that decides ties. So there are two backends: a weight is
divided in its own dtype, as in ModelOpt's export; an input is multiplied by 1 / scale in FP32, as in vLLM's kernels.
ModelOpt's forward pass on a CPU does neither: the model would compute with other weights than those that are served.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WEIGHT_BACKEND = "annie_fp8_weight"
INPUT_BACKEND = "annie_fp8_input"
E4M3_MAX = 448.0


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, amax: Tensor, weight: bool) -> Tensor:
        scale = (amax.float() / E4M3_MAX).clamp_min(torch.finfo(torch.float32).tiny)
        quotient = x / scale if weight else x.float() * (1 / scale)
        held = quotient.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
        return (held.float() * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        return grad_outputs[0], None, None


def fake_quantize(x: Tensor, amax: Tensor, *, weight: bool = False) -> Tensor:
    """Quantise and dequantise; the gradient passes straight through.

    Args:
        x: any shape, a floating dtype.
        amax: one element; magnitudes beyond it saturate.
        weight: True rounds like the export rounds weights, False like the server rounds inputs.

    Returns:
        Of the shape and dtype of `x`.
    """
    result: Tensor = _StraightThrough.apply(x, amax.detach().reshape(()).to(x.device), weight)
    return result


def register_backends() -> None:
    """Register both backends with ModelOpt. May be called twice. Needed before a saved quantiser is restored."""
    from modelopt.torch.quantization.nn.modules import tensor_quantizer

    for name, weight in ((WEIGHT_BACKEND, True), (INPUT_BACKEND, False)):
        if not tensor_quantizer.is_registered_quant_backend(name):
            tensor_quantizer.register_quant_backend(name, _entrypoint(weight))


def _entrypoint(weight: bool) -> Any:
    def run(inputs: Tensor, quantizer: Any) -> Tensor:
        if tuple(quantizer.num_bits) != (4, 3) or quantizer.block_sizes or quantizer.axis is not None:
            raise NotImplementedError(f"the FP8 backends do E4M3 with one scale a tensor, not {quantizer}")
        return fake_quantize(inputs, quantizer._get_amax(inputs).amax(), weight=weight)

    return run

"""FP8 per tensor (E4M3, one FP32 scale), in plain torch, and its ModelOpt backend.

    scale = amax / 448        value = E4M3(x / scale) * scale

ModelOpt's own forward pass on a CPU multiplies by 448 / amax where its export divides by amax / 448, and the two
round differently now and then: the model would compute with other weights than are served. This one is the export's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BACKEND = "annie_fp8"
E4M3_MAX = 448.0


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, amax: Tensor) -> Tensor:
        scale = (amax.float() / E4M3_MAX).clamp_min(torch.finfo(torch.float32).tiny)
        # The quotient keeps the dtype of x, as in the export: BF16 rounds before E4M3 does.
        held = (x / scale).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn)
        return (held.float() * scale).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None]:
        return grad_outputs[0], None


def fake_quantize(x: Tensor, amax: Tensor) -> Tensor:
    """Quantise and expand again, gradient straight through.

    Args:
        x: any shape, a floating dtype.
        amax: one element; magnitudes beyond it saturate.

    Returns:
        Of the shape and dtype of `x`.
    """
    result: Tensor = _StraightThrough.apply(x, amax.detach().reshape(()).to(x.device))
    return result


def register_backend() -> str:
    """Make the backend known to ModelOpt; harmless when done twice. Returns the value for `backend`."""
    from modelopt.torch.quantization.nn.modules import tensor_quantizer

    if not tensor_quantizer.is_registered_quant_backend(BACKEND):
        tensor_quantizer.register_quant_backend(BACKEND, _entrypoint)
    return BACKEND


def _entrypoint(inputs: Tensor, quantizer: Any) -> Tensor:
    if tuple(quantizer.num_bits) != (4, 3) or quantizer.block_sizes or quantizer.axis is not None:
        raise NotImplementedError(f"backend {BACKEND} does E4M3 with one scale a tensor, not {quantizer}")
    return fake_quantize(inputs, quantizer._get_amax(inputs).amax())

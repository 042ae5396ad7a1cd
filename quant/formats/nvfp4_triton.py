"""NVFP4 fake quantisation on a CUDA GPU in one kernel launch, bit for bit equal to quant/formats/nvfp4.py.

ModelOpt's kernel divides approximately, as Triton does by default, and treats tiny blocks differently. This kernel
rounds every quotient like IEEE 754 and torch, so that the export packs exactly the weights that were trained on a GPU.
The global scale is computed in the same kernel, because a training step spends most of its time on launches. This
module is imported only if there is a CUDA tensor, because Triton may be missing elsewhere.
"""
# Triton's functions take untyped values.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCKS = 64
"""Number of blocks of 16 elements per Triton program."""


@triton.jit
def _round_to(y, EXPONENT: tl.constexpr, MANTISSA: tl.constexpr):
    # Nearest float of MANTISSA bits with smallest normal exponent EXPONENT, ties to even; see nvfp4.round_e2m1.
    exponent = y.to(tl.int32, bitcast=True) & 0x7F800000
    exponent = tl.maximum(exponent, (127 + EXPONENT) << 23)
    magic = (exponent + (((23 - MANTISSA) << 23) | 0x400000)).to(tl.float32, bitcast=True)
    return (y + magic) - magic


@triton.jit
def _clamp(y, low, high):
    # Comparisons instead of min and max, so that NaN stays NaN.
    y = tl.where(y < low, low, y)
    return tl.where(y > high, high, y)


@triton.jit
def _kernel(x_pointer, out_pointer, amax_pointer, blocks, BLOCKS: tl.constexpr, RECIPROCAL: tl.constexpr):
    # One row of programs for each slice of a stack, each with its own amax; a single tensor is a stack of one.
    part = tl.program_id(1).to(tl.int64)
    x_pointer += part * blocks * 16
    out_pointer += part * blocks * 16
    amax = tl.load(amax_pointer + part).to(tl.float32)
    # On CUDA, torch and ModelOpt's export multiply by the reciprocal of a constant instead of dividing by it.
    scale = tl.where(amax == 0.0, 6.0, amax) * RECIPROCAL
    scale = tl.where(scale < 1.401298464324817e-45, 1.401298464324817e-45, scale)

    block = tl.program_id(0).to(tl.int64) * BLOCKS + tl.arange(0, BLOCKS)
    offsets = block[:, None] * 16 + tl.arange(0, 16)[None, :]
    mask = (block < blocks)[:, None]
    x = tl.load(x_pointer + offsets, mask=mask, other=0.0).to(tl.float32)
    # Magnitudes have the order of their bits as integers; NaN is the largest.
    largest = tl.max(x.to(tl.int32, bitcast=True) & 0x7FFFFFFF, axis=1).to(tl.float32, bitcast=True)

    block_scale = tl.div_rn(largest, 6.0 * scale)
    block_scale = tl.where(block_scale == 0.0, 1.0, block_scale)
    block_scale = _round_to(_clamp(block_scale, 0.001953125, 448.0), -6, 3) * scale
    divisor = tl.where(block_scale < 1.401298464324817e-45, 1.401298464324817e-45, block_scale)

    y = _clamp(tl.div_rn(x, tl.broadcast_to(divisor[:, None], (BLOCKS, 16))), -6.0, 6.0)
    tl.store(out_pointer + offsets, (_round_to(y, 0, 1) * block_scale[:, None]).to(out_pointer.dtype.element_ty), mask)


def fake_quantize(x: Tensor, amax: Tensor) -> Tensor:
    """One-launch fake quantisation of a CUDA tensor, without a gradient.

    Args:
        x: ``(..., K)``, K a multiple of 16; float32, bfloat16 or float16 on a CUDA device.
        amax: one element on the same device, any floating dtype; zero counts as 6.

    Returns:
        Of the shape and dtype of ``x``, contiguous; equal to :func:`quant.formats.nvfp4.fake_quantize_reference` under
        ``global_scale(amax)``.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    blocks = x.numel() // 16
    # not triton.cdiv, because a compiler may trace this with symbolic sizes
    grid = ((blocks + _BLOCKS - 1) // _BLOCKS,)
    with torch.cuda.device(x.device):
        _kernel[grid](x, out, amax, blocks, BLOCKS=_BLOCKS, RECIPROCAL=1 / 2688)
    return out


def fake_quantize_stack(x: Tensor, amax: Tensor) -> Tensor:
    """`fake_quantize` of every slice of a CUDA tensor with its own amax, in one launch.

    Args:
        x: ``(L, ..., K)``, K a multiple of 16, L at most 65535.
        amax: ``(L,)`` on the same device.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    blocks = x[0].numel() // 16
    grid = ((blocks + _BLOCKS - 1) // _BLOCKS, x.shape[0])
    with torch.cuda.device(x.device):
        _kernel[grid](x, out, amax.contiguous(), blocks, BLOCKS=_BLOCKS, RECIPROCAL=1 / 2688)
    return out

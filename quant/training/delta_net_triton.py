"""Inverts the unit lower triangular matrices of `delta_net` on a CUDA GPU, all in one kernel launch.

By forward substitution in float32, without tensor cores: as exact as the data allow, and the time is that of reading
and writing the matrices rather than of dozens of launches for blocks of 8 x 8. This module is imported only if there
is a CUDA tensor, because Triton may be missing elsewhere.
"""
# Triton's functions take untyped values.
# mypy: disable-error-code="untyped-decorator,no-untyped-def"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _kernel(a_pointer, out_pointer, SIZE: tl.constexpr):
    start = tl.program_id(0).to(tl.int64) * SIZE * SIZE
    row, column = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    # Row i of the inverse is e_i - sum over j < i of a_ij times row j. The rows below are still those of the identity.
    found = tl.where(row == column, 1.0, 0.0)
    for i in range(1, SIZE):
        a = tl.load(a_pointer + start + i * SIZE + tl.arange(0, SIZE))
        a = tl.where(tl.arange(0, SIZE) < i, a, 0.0)
        found -= tl.where(row == i, tl.sum(a[:, None] * found, axis=0)[None, :], 0.0)
    tl.store(out_pointer + start + row * SIZE + column, found)


def inverse(a: Tensor) -> Tensor:
    """`(1 + A)^-1` for float32 matrices `(…, n, n)` on a CUDA device, n a power of two; reads what is below the
    diagonal.
    """
    a = a.contiguous()
    out = torch.empty_like(a)
    with torch.cuda.device(a.device):
        _kernel[(a.numel() // a.shape[-1] ** 2,)](a, out, SIZE=a.shape[-1], num_warps=2)
    return out

"""BF16 linear layers on a CPU without instructions for BF16, which are ten times slower there than FP32 ones.

Inputs and weights become FP32, which holds every BF16 value, and the product is rounded to BF16 once. That is what a
BF16 product with FP32 accumulation computes; only the order of the sums differs, as between any two machines.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

#: Rows of the input from which the faster product pays for the copy of the weight.
LEAST_ROWS = 8
_plain = nn.functional.linear


def through_fp32(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, of BF16 tensors on the CPU by an FP32 product."""
    ours = x.dtype == weight.dtype == torch.bfloat16 and x.device.type == "cpu" == weight.device.type
    if not ours or x.numel() < LEAST_ROWS * x.shape[-1]:
        return _plain(x, weight, bias)
    return _plain(x.float(), weight.float(), None if bias is None else bias.float()).to(torch.bfloat16)


def install() -> None:
    """Let linear layers of this process take the faster way, where the CPU has no BF16 products of its own."""
    supported: Any = torch.ops.mkldnn._is_mkldnn_bf16_supported
    if torch.backends.mkldnn.is_available() and not supported():
        nn.functional.linear = through_fp32  # type: ignore[assignment]

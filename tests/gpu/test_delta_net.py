"""DeltaNet in chunks on a GPU: near its float64 result, forward and backward, and so is the inverse in one launch.

pytest tests/gpu/test_delta_net.py

Needs a CUDA GPU and triton; skips itself elsewhere.
"""

from __future__ import annotations

import unittest

import torch
from torch import Tensor

if not torch.cuda.is_available():
    raise unittest.SkipTest("needs a CUDA GPU")

from quant.training import delta_net, delta_net_triton


def inputs(length: int, dtype: torch.dtype, heads: int = 4, channels: int = 128) -> list[Tensor]:
    """Rows of keys that resemble each other, as a model's do."""
    chance = torch.Generator("cuda").manual_seed(length)
    shape = (2, length, heads)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=chance, device="cuda")

    key = normal(*shape, channels) + 2 * normal(2, 1, heads, channels)
    found = [normal(*shape, channels), key, normal(*shape, channels)]
    uniform = [torch.rand(shape, generator=chance, device="cuda") for _ in range(2)]
    return [each.to(dtype).requires_grad_() for each in (*found, -0.3 * uniform[0], uniform[1])]


def error(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


def test_the_inverse_in_one_launch_is_as_near_as_that_by_blocks() -> None:
    key = inputs(640, torch.float32)[1].detach().view(-1, 64, 128)
    key = torch.nn.functional.normalize(key, dim=-1)
    a = (key @ key.transpose(-1, -2)).tril(-1)
    exact = torch.linalg.inv(torch.eye(64, dtype=torch.float64, device="cuda") + a.double())
    assert error(delta_net_triton.inverse(a), exact) <= max(1e-6, error(delta_net.inverse_by_blocks(a), exact))


def test_outputs_and_gradients_are_those_in_float64() -> None:
    for length in (64, 700):
        given = inputs(length, torch.float32)
        exact = [each.detach().double().requires_grad_() for each in given]
        found, expected = delta_net.gated_delta_rule(*given), delta_net.gated_delta_rule(*exact)
        assert error(found, expected) < 2e-3
        weight = torch.randn_like(found)
        ours = torch.autograd.grad((found * weight).sum(), given)
        theirs = torch.autograd.grad((expected * weight).sum(), exact)
        for name, one, other in zip(("query", "key", "value", "g", "beta"), ours, theirs, strict=True):
            assert error(one, other) < 2e-3, name

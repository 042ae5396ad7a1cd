"""BF16 linear layers by FP32 products: the exactly rounded result, gradients, and only where it is of use."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quant.formats import cpu_bf16


def test_the_result_is_that_of_exact_products_rounded_once() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(32, 64).bfloat16(), torch.randn(48, 64).bfloat16(), torch.randn(48).bfloat16()
    found = cpu_bf16.through_fp32(x, weight, bias)
    exact = x.double() @ weight.double().T + bias.double()
    assert found.dtype == torch.bfloat16
    # The nearest BF16 value, or its neighbour where the FP32 sum lies on the other side of the middle.
    assert (found == exact.bfloat16()).float().mean() > 0.99
    assert torch.allclose(found.double(), exact, rtol=2**-8, atol=1e-3)


def test_gradients_are_those_of_the_plain_layer() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 64).bfloat16()
    gradients = []
    for linear in (nn.functional.linear, cpu_bf16.through_fp32):
        weight = torch.ones(8, 64, dtype=torch.bfloat16, requires_grad=True)
        linear(x, weight).sum().backward()
        gradients.append(weight.grad)
    assert gradients[0] is not None
    assert gradients[1] is not None
    assert torch.allclose(gradients[0].float(), gradients[1].float(), rtol=2**-7, atol=0.05)


@pytest.mark.parametrize("supported", [True, False])
def test_it_is_installed_where_the_cpu_lacks_bf16(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    monkeypatch.setattr(nn.functional, "linear", cpu_bf16._plain)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    cpu_bf16.install()
    assert (nn.functional.linear is cpu_bf16.through_fp32) is not supported


@pytest.mark.parametrize(("dtype", "rows"), [(torch.float32, 32), (torch.bfloat16, 2)])
def test_other_products_are_left_alone(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, rows: int) -> None:
    called: list[torch.dtype] = []

    def plain(x: torch.Tensor, *_: object) -> torch.Tensor:
        called.append(x.dtype)
        return x

    monkeypatch.setattr(cpu_bf16, "_plain", plain)
    cpu_bf16.through_fp32(torch.ones(rows, 16, dtype=dtype), torch.ones(4, 16, dtype=dtype))
    assert called == [dtype]

"""FP8 per tensor: what a weight and an input become, their gradients, and the backends that ModelOpt calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quant.formats import fp8

E4M3 = torch.float8_e4m3fn


@pytest.mark.parametrize("weight", [True, False])
@pytest.mark.parametrize(
    ("amax", "values", "expected"),
    [
        (448.0, [0.0, 1.0, 17.0, 19.0, 448.0, 500.0, -500.0], [0.0, 1.0, 16.0, 20.0, 448.0, 448.0, -448.0]),
        (896.0, [1.0, 34.0, 896.0, 1000.0], [1.0, 32.0, 896.0, 896.0]),
        (0.0, [0.0], [0.0]),
        (0.0, [1.0, -1.0], [448 * torch.finfo(torch.float32).tiny, -448 * torch.finfo(torch.float32).tiny]),
    ],
)
def test_a_value_is_rounded_to_e4m3_and_saturates(
    weight: bool, amax: float, values: list[float], expected: list[float]
) -> None:
    found = fp8.fake_quantize(torch.tensor(values), torch.tensor([amax]), weight=weight)
    assert found.tolist() == expected
    assert fp8.fake_quantize(torch.tensor(values), torch.tensor(amax), weight=weight).tolist() == expected


def test_a_weight_is_divided_in_its_own_dtype_and_an_input_multiplied_in_fp32() -> None:
    torch.manual_seed(0)
    x, amax = torch.randn(64, 64).bfloat16(), torch.tensor(3.3)
    scale = amax / 448
    quotient = {True: (x.float() / scale).bfloat16(), False: x.float() * (1 / scale)}
    expected = {
        weight: (held.clamp(-448, 448).to(E4M3).float() * scale).bfloat16() for weight, held in quotient.items()
    }
    assert not torch.equal(expected[True], expected[False])
    for weight in (True, False):
        assert torch.equal(fp8.fake_quantize(x, amax, weight=weight), expected[weight])
    assert torch.equal(fp8.fake_quantize(x, amax), expected[False])


def test_the_gradient_passes_straight_through() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    amax, upstream = torch.tensor(1.0, requires_grad=True), torch.randn(3, 4)
    fp8.fake_quantize(x, amax).backward(upstream)
    assert x.grad is not None
    assert torch.equal(x.grad, upstream)
    assert amax.grad is None


def quantizer(**changed: Any) -> Any:
    fields = {"num_bits": (4, 3), "block_sizes": None, "axis": None, **changed}
    return SimpleNamespace(**fields, _get_amax=lambda x: torch.tensor([[1.0], [3.3]]))


def test_each_backend_is_registered_once_and_rounds_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelopt.torch.quantization.nn.modules import tensor_quantizer

    registered: dict[str, Any] = {}

    def register(name: str, function: Any) -> None:
        assert name not in registered
        registered[name] = function

    monkeypatch.setattr(tensor_quantizer, "is_registered_quant_backend", registered.__contains__)
    monkeypatch.setattr(tensor_quantizer, "register_quant_backend", register)
    fp8.register_backends()
    fp8.register_backends()
    assert list(registered) == ["annie_fp8_weight", "annie_fp8_input"]
    torch.manual_seed(0)
    x = torch.randn(64, 64).bfloat16()
    for name, weight in (("annie_fp8_weight", True), ("annie_fp8_input", False)):
        expected = fp8.fake_quantize(x, torch.tensor(3.3), weight=weight)
        assert torch.equal(registered[name](x, quantizer()), expected)
        assert torch.equal(registered[name](x, quantizer(num_bits=[4, 3], block_sizes={})), expected)
        for changed in ({"num_bits": (5, 2)}, {"block_sizes": {-1: 16}}, {"axis": 0}):
            with pytest.raises(NotImplementedError, match="E4M3 with one scale a tensor"):
                registered[name](x, quantizer(**changed))

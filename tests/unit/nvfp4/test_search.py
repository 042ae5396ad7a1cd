"""Searched block scales are optimal, the same in torch and native code, and plain NVFP4."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant.formats import nvfp4, nvfp4_native
from quant.formats.nvfp4_search import Search, global_amax, search_scales

DTYPES = (torch.bfloat16, torch.float32)


def weights(dtype: torch.dtype) -> dict[str, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(64, 256)
    zeros = x.clone()
    zeros[3], zeros[4, :16] = 0, 0
    outlier = x.clone()
    outlier[0, 0] = 3000.0  # other blocks get the smallest block scales that there are
    found = {
        "normal": x,
        "heavy tails": x * torch.exp(3 * torch.randn(64, 1)),
        "one outlier": outlier,
        "falling": x * 2.0 ** torch.linspace(0, -18, 64).unsqueeze(-1),
        "tiny": x * 1e-30,
        "zeros": zeros,
    }
    return {name: values.to(dtype) for name, values in found.items()}


def block_errors(weight: Tensor, scales: Tensor, scale: Tensor) -> Tensor:
    """Squared error of each block in units of the global scale, in float64."""
    values = (weight.double() / scale.double()).unflatten(-1, (-1, 16))
    steps = scales.double().unsqueeze(-1)
    grid = torch.tensor(nvfp4.E2M1_VALUES, dtype=torch.float64)
    nearest = ((values.abs() / steps).unsqueeze(-1) - grid).abs().amin(-1) * steps
    return nearest.square().sum(-1)


@pytest.mark.parametrize("case", weights(torch.float32))
@pytest.mark.parametrize("native", [True, False], ids=["native", "torch"])
def test_the_sweep_finds_the_best_of_all_126_scales(case: str, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not native:
        monkeypatch.setattr(nvfp4_native, "sweep", lambda *_: None)
    weight = weights(torch.float32)[case]
    scale = nvfp4.global_scale(weight.abs().amax())
    found = search_scales(weight, scale, "mse")
    every = torch.arange(1, 127, dtype=torch.uint8).view(torch.float8_e4m3fn)
    least = torch.stack(
        [block_errors(weight, value.float().expand(found.shape), scale) for value in every.unsqueeze(-1)]
    ).amin(0)
    assert torch.allclose(block_errors(weight, found.float(), scale), least, rtol=1e-4, atol=0)
    assert (found.view(torch.uint8) >= 1).all()
    assert (found.view(torch.uint8) <= 126).all()


@pytest.mark.parametrize("native", [True, False], ids=["native", "torch"])
def test_a_block_by_itself_gets_the_scale_that_it_gets_among_others(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others keep the search going to smaller scales."""
    if not native:
        monkeypatch.setattr(nvfp4_native, "sweep", lambda *_: None)
    torch.manual_seed(0)
    weight = torch.randn(64, 16)
    weight[:, 4:] *= torch.rand(64, 1) < 0.5  # blocks of few values have a small error
    scale = nvfp4.global_scale(weight.abs().amax())
    among, start = search_scales(weight, scale, "mse").float(), nvfp4.block_scales(weight, scale).float()
    assert (among < start).any()
    assert (among > start).any()
    assert torch.equal(torch.cat([search_scales(block, scale, "mse").float() for block in weight.split(1)]), among)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", weights(torch.float32))
def test_native_code_finds_and_uses_the_same_scales_as_torch(
    case: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if nvfp4_native._library() is None:
        pytest.skip("no C++ compiler here")
    weight = weights(dtype)[case]
    scale = nvfp4.global_scale(weight.abs().amax())
    found = search_scales(weight, scale, "mse")
    computed = nvfp4.fake_quantize_scaled(weight, found, scale)
    monkeypatch.setattr(nvfp4_native, "_library", lambda: None)
    assert torch.equal(search_scales(weight, scale, "mse").view(torch.uint8), found.view(torch.uint8))
    assert torch.equal(nvfp4.fake_quantize_scaled(weight, found, scale), computed)


@pytest.mark.parametrize("case", weights(torch.float32))
def test_a_block_ends_at_four_or_six_whichever_is_nearer(case: str) -> None:
    weight = weights(torch.float32)[case]
    scale = nvfp4.global_scale(global_amax(weight.abs().amax(), "four_over_six"))
    found = search_scales(weight, scale, "four_over_six")
    amax = weight.unflatten(-1, (-1, 16)).abs().amax(-1)
    six = nvfp4.block_scales(weight, scale)
    four = (amax / scale / 4).clamp(2.0**-9, 448).to(torch.float8_e4m3fn)
    used = amax > 0
    assert ((found.float() == six.float()) | (found.float() == four.float()))[used].all()
    best = torch.minimum(block_errors(weight, six.float(), scale), block_errors(weight, four.float(), scale))
    assert torch.allclose(block_errors(weight, found.float(), scale)[used], best[used], rtol=1e-4, atol=0)
    assert found.float().max() <= 256 * 1.5


def relative_error(weight: Tensor, search: Search | None) -> float:
    if search is None:
        quantized = nvfp4.fake_quantize(weight)
    else:
        scale = nvfp4.global_scale(global_amax(weight.abs().amax(), search))
        quantized = nvfp4.fake_quantize_scaled(weight, search_scales(weight, scale, search), scale)
    return float((quantized - weight).norm() / weight.norm())


def test_on_normal_weights_the_sweep_beats_four_over_six_and_that_beats_max() -> None:
    torch.manual_seed(0)
    weight = torch.randn(256, 1024)
    assert relative_error(weight, "mse") < relative_error(weight, "four_over_six") < relative_error(weight, None)


def test_the_scales_of_max_give_what_fake_quantize_gives_and_the_gradient_passes() -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 64, requires_grad=True)
    scale = nvfp4.global_scale(weight.abs().amax())
    found = nvfp4.fake_quantize_scaled(weight, nvfp4.block_scales(weight, scale), scale)
    assert torch.equal(found, nvfp4.fake_quantize(weight))
    upstream = torch.randn(8, 64)
    (gradient,) = torch.autograd.grad(found, weight, upstream)
    assert torch.equal(gradient, upstream)


def test_of_equals_the_scale_of_max_is_taken() -> None:
    """6 is the last value of one scale's grid and the last but one of another's; a block of zeros has no error."""
    weight = torch.zeros(2, 16)
    weight[1, 0] = 6.0
    for search in ("mse", "four_over_six"):
        found = search_scales(weight, torch.tensor(1.0), search)  # type: ignore[arg-type]
        assert torch.equal(found.float(), nvfp4.block_scales(weight, torch.tensor(1.0)).float())

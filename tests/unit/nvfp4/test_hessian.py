"""Weights quantised by their inputs: less output error than without, and what each method must leave untouched."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant.formats import nvfp4, nvfp4_search
from quant.formats.nvfp4_search import search_scales, search_weighted
from quant.quantize.hessian import gptq_weight


@pytest.fixture(scope="module")
def layer() -> tuple[Tensor, Tensor]:
    """A weight `(48, 128)` and inputs `(400, 128)` whose channels go together and differ in size."""
    torch.manual_seed(0)
    inputs = torch.randn(400, 128) @ torch.randn(128, 128) * torch.exp(torch.randn(128))
    return torch.randn(48, 128), inputs


def output_error(weight: Tensor, other: Tensor, inputs: Tensor) -> float:
    return float((inputs @ (weight - other).T).norm() / (inputs @ weight.T).norm())


def of_blocks(inputs: Tensor) -> Tensor:
    columns = inputs.unflatten(-1, (-1, 16)).transpose(0, 1)
    return columns.transpose(1, 2) @ columns


def test_a_scale_is_the_best_of_all_126_by_the_output_of_its_block(layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    scale, moments = nvfp4.global_scale(weight.abs().amax()), of_blocks(inputs)
    found = search_weighted(weight, scale, moments)

    def errors(scales: Tensor) -> Tensor:
        left = (nvfp4.fake_quantize_scaled(weight, scales, scale) - weight).unflatten(-1, (-1, 16)).double()
        return torch.einsum("onb,nbd,ond->on", left, moments.double(), left)

    every = torch.arange(1, 127, dtype=torch.uint8).view(torch.float8_e4m3fn)
    shape = found.shape
    least = torch.stack([errors(value.reshape(1, 1).expand(shape)) for value in every.unsqueeze(-1)]).amin(0)
    assert torch.allclose(errors(found), least, rtol=1e-4)
    assert (errors(search_scales(weight, scale, "mse")) > 1.01 * least).any()  # the plain sweep is another search


def test_with_inputs_alike_it_is_the_plain_sweep(layer: tuple[Tensor, Tensor]) -> None:
    weight, _ = layer
    scale = nvfp4.global_scale(weight.abs().amax())
    alike = torch.eye(16).expand(8, 16, 16)
    plain, weighted = search_scales(weight, scale, "mse"), search_weighted(weight, scale, alike)
    assert (plain.view(torch.uint8) == weighted.view(torch.uint8)).float().mean() > 0.99  # but for equal errors


def test_each_method_lowers_the_output_error(layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    scale = nvfp4.global_scale(weight.abs().amax())
    by_max = nvfp4.fake_quantize(weight)
    swept = nvfp4.fake_quantize_scaled(weight, search_scales(weight, scale, "mse"), scale)
    local = nvfp4.fake_quantize_scaled(weight, search_weighted(weight, scale, of_blocks(inputs)), scale)
    gptq, _ = gptq_weight(weight, scale, inputs.T @ inputs)
    errors = [output_error(weight, other, inputs) for other in (by_max, swept, local, gptq)]
    assert errors[2] < errors[1] < errors[0]
    assert errors[3] < 0.9 * errors[1]


def test_gptq_leaves_what_the_packed_format_holds(layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    scale = nvfp4.global_scale(weight.abs().amax())
    moved, scales = gptq_weight(weight, scale, inputs.T @ inputs)
    for dtype in (torch.float32, torch.bfloat16):
        again = nvfp4.fake_quantize_scaled(moved.to(dtype), scales, scale)
        assert torch.equal(again, moved.to(dtype))


def test_gptq_with_independent_inputs_is_the_plain_sweep(layer: tuple[Tensor, Tensor]) -> None:
    weight, _ = layer
    scale = nvfp4.global_scale(weight.abs().amax())
    moved, scales = gptq_weight(weight, scale, torch.eye(128))
    swept = search_scales(weight, scale, "mse")
    assert torch.equal(scales.view(torch.uint8), swept.view(torch.uint8))
    assert torch.equal(moved, nvfp4.fake_quantize_scaled(weight, swept, scale))


def test_an_input_that_was_always_zero_changes_nothing_else(layer: tuple[Tensor, Tensor]) -> None:
    weight, inputs = layer
    silent = inputs.clone()
    silent[:, 5] = 0
    scale = nvfp4.global_scale(weight.abs().amax())
    moved, _ = gptq_weight(weight, scale, silent.T @ silent)
    assert torch.isfinite(moved).all()
    nothing, _ = gptq_weight(weight, scale, torch.zeros(128, 128))
    assert torch.isfinite(nothing).all()


def test_the_best_scale_is_sought_up_to_two_octaves_from_that_of_max() -> None:
    """Of inputs that always go together, the sum of their errors counts: any scale may be the best by chance."""
    torch.manual_seed(0)
    blocks, scale = 2000, torch.tensor(1.0)
    weight = torch.randn(1, 16 * blocks).abs() * 2.0 ** torch.randint(-3, 6, (blocks,)).repeat_interleave(16)
    moments = torch.ones(blocks, 16, 16)
    found = search_weighted(weight, scale, moments).view(torch.uint8).flatten().int()
    own = nvfp4.block_scales(weight, scale).view(torch.uint8).flatten().int()
    x = weight.reshape(blocks, 16).double()
    grid = torch.tensor(nvfp4.E2M1_VALUES, dtype=torch.float64)

    def errors(codes: Tensor) -> Tensor:
        steps = codes.clamp(1, 126).to(torch.uint8).view(torch.float8_e4m3fn).double()[:, None]
        rounded = grid[((x / steps)[..., None] - grid).abs().argmin(-1)] * steps
        return (rounded - x).sum(-1).square()

    near = torch.stack([errors(own + offset) for offset in range(-16, 17)])
    assert torch.allclose(errors(found), near.amin(0), rtol=1e-3, atol=1e-6)
    assert (found - own).abs().amax() == 16
    assert {15, 16} <= set((found - own).tolist())


@pytest.mark.parametrize(
    ("largest", "other", "code"),
    [
        pytest.param(6.0, 0.75, 52, id="the smaller of equals"),  # as exact with 0.75 as with 1.5, four codes from 1
        pytest.param(6.0, 0.5, 56, id="that of max of equals"),
        pytest.param(18 * 2.0**-9, 0.5 * 2.0**-9, 1, id="the smallest scale that there is"),
        pytest.param(6 * 448.0, 0.5 * 240, 119, id="not above the largest"),
    ],
)
def test_one_value_that_counts_gets_its_scale(largest: float, other: float, code: int) -> None:
    weight = torch.zeros(1, 16)
    weight[0, 0], weight[0, 1] = largest, other
    moments = torch.zeros(1, 16, 16)
    moments[0, 1, 1] = 1.0
    found = search_weighted(weight, torch.tensor(1.0), moments)
    assert found.view(torch.uint8).tolist() == [[code]]


def test_a_matrix_is_searched_in_parts_as_it_is_whole(
    monkeypatch: pytest.MonkeyPatch, layer: tuple[Tensor, Tensor]
) -> None:
    weight, inputs = layer
    scale, moments = nvfp4.global_scale(weight.abs().amax()), of_blocks(inputs)
    whole = search_weighted(weight, scale, moments), search_scales(weight, scale, "four_over_six")
    for chunk in (16, 128 * 5):  # less than a row, and rows that leave a rest
        monkeypatch.setattr(nvfp4_search, "_CHUNK", chunk)
        parts = search_weighted(weight, scale, moments), search_scales(weight, scale, "four_over_six")
        assert all(torch.equal(one.float(), other.float()) for one, other in zip(whole, parts, strict=True))

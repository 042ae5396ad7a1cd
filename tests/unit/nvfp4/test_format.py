"""The NVFP4 format: each step on examples, and properties of every tensor."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from quant.formats import nvfp4

DTYPES = [torch.float32, torch.bfloat16, torch.float16]

# Every midpoint between neighbouring E2M1 values, and where round-to-nearest-even puts it.
TIES = {0.25: 0.0, 0.75: 1.0, 1.25: 1.0, 1.75: 2.0, 2.5: 2.0, 3.5: 4.0, 5.0: 4.0}


def unit_scale_block(*values: float) -> Tensor:
    """A block whose scale is exactly 1 under ``AMAX``: its largest element is 6."""
    return torch.tensor([*values, *([0.0] * (15 - len(values))), 6.0])


AMAX = torch.tensor(6.0 * 448.0)  # global scale 1


@pytest.mark.parametrize(("tie", "even"), TIES.items())
def test_a_tie_goes_to_the_even_code(tie: float, even: float) -> None:
    assert nvfp4.fake_quantize(unit_scale_block(tie, -tie), AMAX)[:2].tolist() == [even, -even]


@pytest.mark.parametrize("tie", TIES)
def test_beside_a_tie_the_nearer_value_wins(tie: float) -> None:
    values = torch.tensor(nvfp4.E2M1_VALUES)
    for y in (torch.nextafter(torch.tensor(tie), torch.tensor(t)) for t in (0.0, 9.0)):
        nearest = values[(values - y).abs().argmin()]
        assert nvfp4.round_e2m1(y) == nearest


def test_every_e2m1_value_is_a_fixed_point_and_beyond_six_saturates() -> None:
    values = torch.tensor(nvfp4.E2M1_VALUES)
    assert torch.equal(nvfp4.round_e2m1(values), values)
    assert torch.equal(nvfp4.round_e2m1(-values), -values)
    assert nvfp4.round_e2m1(torch.tensor([6.1, 1e30, torch.inf])).tolist() == [6.0, 6.0, 6.0]


def test_codes_and_nibbles_are_where_a_checkpoint_has_them() -> None:
    block = unit_scale_block(0.5, -0.5, 1.0, -1.5, 2.0, -3.0, 4.0, -6.0, 0.1, -0.1)
    packed, block_scale, global_scale = nvfp4.quantize(block, AMAX)
    assert nvfp4.unpack(packed).tolist() == [1, 9, 2, 11, 4, 13, 6, 15, 0, 8, 0, 0, 0, 0, 0, 7]
    assert packed[0] == 0x91  # the even element in the low nibble
    assert block_scale.float().tolist() == [1.0]
    assert global_scale == 1.0


@given(st.binary(min_size=1, max_size=64))
def test_unpack_inverts_pack(data: bytes) -> None:
    packed = torch.tensor(list(data), dtype=torch.uint8)
    assert torch.equal(nvfp4.pack(nvfp4.unpack(packed)), packed)


def test_every_code_dequantises_to_its_value() -> None:
    codes = torch.arange(16, dtype=torch.uint8)
    tensor = nvfp4.NVFP4Tensor(nvfp4.pack(codes), torch.tensor([2.0]).to(torch.float8_e4m3fn), torch.tensor(0.5))
    values = [*nvfp4.E2M1_VALUES, *(-v for v in nvfp4.E2M1_VALUES)]
    assert nvfp4.dequantize(tensor, torch.float32).tolist() == values


def test_block_scale_is_rounded_and_clamped_and_a_block_of_zeros_has_one() -> None:
    amax_of_block = torch.tensor([6.0 * 448, 6.0 * 1000, 6.0 * 2**-9, 6.0 * 2**-12, 0.0, 6.0 * 17.2])
    x = torch.zeros(6, 16)
    x[:, 5] = -amax_of_block
    scales = nvfp4.block_scales(x, torch.tensor(1.0)).float().flatten()
    assert scales.tolist() == [448.0, 448.0, 2**-9, 2**-9, 1.0, 18.0]  # E4M3 knows 16, 18, 20 ...


def test_global_scale_is_amax_over_2688_and_zero_stands_for_six() -> None:
    assert nvfp4.global_scale(torch.tensor([2688.0])) == 1.0
    assert nvfp4.global_scale(torch.tensor(0.0)) == torch.tensor(6.0) / 2688
    assert nvfp4.global_scale(torch.tensor(5e-45)) > 0


def test_without_amax_the_largest_magnitude_is_taken_from_the_tensor() -> None:
    x = torch.randn(4, 64)
    assert torch.equal(nvfp4.fake_quantize(x), nvfp4.fake_quantize(x, x.abs().max()))
    assert not torch.equal(nvfp4.fake_quantize(x), nvfp4.fake_quantize(x, x.abs().max() / 3))


def test_zeros_stay_zeros_even_under_an_amax_of_zero() -> None:
    zeros = torch.zeros(2, 32, dtype=torch.bfloat16)
    assert torch.equal(nvfp4.fake_quantize(zeros), zeros)
    assert torch.equal(nvfp4.dequantize(nvfp4.quantize(zeros)), zeros)


@pytest.mark.parametrize("shape", [(0, 16), (16,), (2, 3, 4, 32)])
def test_any_number_of_dimensions(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, dtype=torch.float32)
    assert nvfp4.fake_quantize(x, AMAX).shape == shape


def test_a_transposed_tensor_is_quantised_along_its_own_last_dimension() -> None:
    x = torch.randn(32, 48).t()
    assert torch.equal(nvfp4.fake_quantize(x), nvfp4.fake_quantize(x.contiguous()))


@pytest.mark.parametrize("function", [nvfp4.fake_quantize, nvfp4.quantize])
def test_refuses_what_the_format_cannot_hold(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match=r"multiple of 16, got \(2, 24\)"):
        function(torch.zeros(2, 24))
    with pytest.raises(ValueError, match="multiple of 16"):
        function(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"got torch\.int64"):
        function(torch.zeros(16, dtype=torch.int64))
    with pytest.raises(ValueError, match="amax must have one element"):
        function(torch.zeros(16), torch.ones(2))


def bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.int32 if x.dtype is torch.float32 else torch.int16)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Random tensors with the shapes of trouble: outliers, zeros, blocks of very different size, the grid itself."""
    dtype = draw(st.sampled_from(DTYPES))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 6)), 16 * draw(st.integers(1, 8)))
    x = torch.randn(shape, generator=generator)
    kind = draw(st.sampled_from(["plain", "grid", "heavy", "sparse"]))
    if kind == "grid":
        x = (x * 4).round() / 4
    elif kind == "heavy":
        x = x * torch.exp(4 * torch.randn(shape[0], shape[1] // 16, generator=generator)).repeat_interleave(16, 1)
    elif kind == "sparse":
        x = x * (torch.rand(shape, generator=generator) < 0.1)
    limit = 4.0 if dtype is torch.float16 else 30.0
    x = x * 10 ** draw(st.floats(-limit, 3.0 if dtype is torch.float16 else limit))
    finite = torch.finfo(dtype)
    return x.clamp(finite.min, finite.max).to(dtype)


@settings(max_examples=300, deadline=None)
@given(tensors(), st.sampled_from([None, 0.3, 1.0, 5.0]))
def test_fake_quantize_is_quantize_then_dequantize(x: Tensor, share: float | None) -> None:
    amax = None if share is None else x.abs().max().float() * share
    expected = nvfp4.dequantize(nvfp4.quantize(x, amax), x.dtype)
    assert torch.equal(bits(nvfp4.fake_quantize(x, amax)), bits(expected))


@settings(max_examples=200, deadline=None)
@given(tensors())
def test_twice_is_once(x: Tensor) -> None:
    # One scale is the exception: between 1.5 and 1.67 times the smallest E4M3 value, the second smallest is nearest,
    # and the block's largest element then becomes 4; seen alone, that calls for the smallest.
    amax = x.abs().max()
    scale = nvfp4.global_scale(amax)
    steady = (nvfp4.block_scales(x, scale).float() != 2 * nvfp4.E4M3_MIN).repeat_interleave(16, -1)
    normal = scale > 2.0**-100 if x.dtype is not torch.float16 else scale > 2.0**-10  # else the dtype itself rounds
    once = nvfp4.fake_quantize(x, amax)
    twice = nvfp4.fake_quantize(once, amax)
    assert torch.equal(once[steady & normal], twice[steady & normal])


@settings(max_examples=200, deadline=None)
@given(tensors(), st.integers(-3, 3))
def test_sign_and_powers_of_two_pass_through(x: Tensor, power: int) -> None:
    x = x.float()
    once = nvfp4.fake_quantize(x)
    assert torch.equal(nvfp4.fake_quantize(-x), -once)
    if 1e-25 < x.abs().max() < 1e25:
        assert torch.equal(nvfp4.fake_quantize(x * 2.0**power), once * 2.0**power)


@settings(max_examples=200, deadline=None)
@given(tensors(), st.sampled_from([0.5, 1.0, 3.0]))
def test_monotonic_within_a_block(x: Tensor, share: float) -> None:
    blocks = x.unflatten(-1, (-1, 16)).sort(-1).values
    quantised = nvfp4.fake_quantize(blocks, x.abs().max().float() * share).float()
    assert (quantised.diff(dim=-1) >= 0).all()


@settings(max_examples=200, deadline=None)
@given(tensors())
def test_error_is_at_most_one_block_scale(x: Tensor) -> None:
    scale = nvfp4.global_scale(x.abs().max())
    step = (nvfp4.block_scales(x, scale).float() * scale).repeat_interleave(16, -1)
    error = (nvfp4.fake_quantize(x).double() - x.double()).abs()
    normal = nvfp4.block_scales(x, scale).float().repeat_interleave(16, -1) >= 2.0**-6
    slack = torch.finfo(x.dtype).eps * 6 * step + torch.finfo(x.dtype).smallest_normal
    assert (error <= step + slack)[normal].all()


@settings(max_examples=100, deadline=None)
@given(tensors())
def test_only_sixteen_values_in_a_block(x: Tensor) -> None:
    tensor = nvfp4.quantize(x)
    scale = (tensor.block_scale.float() * tensor.global_scale).unsqueeze(-1)
    grid = (torch.tensor(nvfp4.E2M1_VALUES) * scale).to(x.dtype)
    blocks = nvfp4.fake_quantize(x).abs().unflatten(-1, (-1, 16))
    assert (blocks.unsqueeze(-1) == grid.unsqueeze(-2)).any(-1).all()

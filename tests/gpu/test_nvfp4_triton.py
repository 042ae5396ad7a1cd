"""NVFP4 on a CUDA GPU: our kernel is the reference bit for bit, and how far ModelOpt's Triton kernel is from it.

    pytest tests/gpu/test_nvfp4_triton.py        or, for the table:  python -m tests.gpu.test_nvfp4_triton

Needs torch with CUDA (compute capability 8.9 or later), triton and nvidia-modelopt; skips itself elsewhere.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quant.formats import nvfp4

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

from modelopt.torch.kernels.quantization.gemm.fp4_kernel_hopper import fp4_fake_quant_block

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
TIES = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])


def cases(dtype: torch.dtype) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> tensor and amax."""
    torch.manual_seed(0)
    x = torch.randn(512, 2048)
    x = x / x.abs().max()  # so that amax is 1, and 1 / 2688 is no round number
    grid = torch.cat([TIES, -TIES, torch.tensor([0.0, 6.0])])[torch.randint(0, 16, (512, 2048))]
    largest = min(torch.finfo(dtype).max, 3e38)
    found = {
        "normal": (x, 1.0),
        "clipped": (x, 0.2),
        "headroom": (x, 7.3),
        "heavy tails": (x * torch.exp(3 * torch.randn(512, 1)), 1.0),
        "ties": (grid * 2.0 ** torch.randint(-4, 5, (512, 1)), 2688.0),  # a global scale of 1
        "ties, amax 21": (grid * 2.0 ** -torch.randint(3, 10, (512, 1)), 21.0),  # 1 / 128, as 5 % of amax have
        "zeros": (x * (torch.rand(512, 2048) < 0.03), 1.0),
        "falling": (x * 2.0 ** torch.linspace(0, -14, 512).unsqueeze(-1), 1.0),  # down to and below the floor
        "tiny": (x * 1e-5, 1e-5),
        "huge": (x * largest, largest),
        "activations, amax 448 * 6": (x * 30, 2688.0),
    }
    return {n: (v.clamp(-largest, largest).to(dtype).cuda(), torch.tensor(a).cuda()) for n, (v, a) in found.items()}


def under_the_floor(x: Tensor, amax: Tensor) -> Tensor:
    """Elements of blocks whose scale ModelOpt's kernel replaces by 1: below 1e-5, or rounded to zero."""
    scale = nvfp4.global_scale(amax)
    block_amax = x.unflatten(-1, (-1, 16)).abs().amax(-1).float()
    rounded = (block_amax / (6.0 * scale)).clamp(max=448.0).to(torch.float8_e4m3fn).float()
    return (rounded * scale < 1e-5).repeat_interleave(16, -1)


def near_a_tie(x: Tensor, amax: Tensor) -> Tensor:
    """Elements that a quotient off by two last places rounds elsewhere: their own, or that of their block's scale."""
    scale = nvfp4.global_scale(amax).double()
    block_amax = x.unflatten(-1, (-1, 16)).abs().amax(-1).double()
    wanted = (block_amax / (6 * scale)).clamp(2.0**-9, 448)
    step = 2.0 ** (wanted.log2().floor().clamp_min(-6) - 3)
    to_midpoint = ((wanted / step) % 1 - 0.5).abs() * step
    shaky_scale = (to_midpoint / wanted < 2.0**-21).repeat_interleave(16, -1)
    divisor = (nvfp4.block_scales(x, nvfp4.global_scale(amax)).double() * scale).repeat_interleave(16, -1)
    y = (x.double() / divisor).abs().unsqueeze(-1)
    ties = TIES.to(x.device).double()
    return shaky_scale | ((y - ties).abs() / ties < 2.0**-21).any(-1)


def differences(x: Tensor, amax: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where ModelOpt's kernel and we differ, and of these: under the floor, and near a tie."""
    theirs, ours = fp4_fake_quant_block(x, amax), nvfp4.fake_quantize(x, amax)
    differ = theirs != ours
    return differ, differ & under_the_floor(x, amax), differ & near_a_tie(x, amax)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", cases(torch.float32))
def test_our_kernel_is_the_reference_and_the_packing_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    x, amax = cases(dtype)[name]
    integers = torch.int32 if dtype is torch.float32 else torch.int16
    scale = nvfp4.global_scale(amax)
    ours = nvfp4.fake_quantize(x, amax)
    assert torch.equal(ours.view(integers), nvfp4.fake_quantize_reference(x, scale).view(integers))
    assert torch.equal(ours.view(integers), nvfp4.dequantize(nvfp4.quantize(x, amax), dtype).view(integers))
    on_cpu = nvfp4.fake_quantize_reference(x.cpu(), scale.cpu())  # under this device's global scale
    assert torch.equal(ours.cpu().view(integers), on_cpu.view(integers))
    torch.testing.assert_close(nvfp4.global_scale(amax.cpu()), scale.cpu(), rtol=2e-7, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", cases(torch.float32))
def test_our_kernel_is_modelopts_export_bit_for_bit(name: str, dtype: torch.dtype) -> None:
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    x, amax = cases(dtype)[name]
    integers = torch.int32 if dtype is torch.float32 else torch.int16
    scale = amax.float() / (6.0 * 448.0)
    block_scale, _ = NVFP4QTensor.get_weights_scaling_factor(x, 16, scale)
    packed, _, _ = NVFP4QTensor.quantize(x.clone(), 16, block_scale, scale)
    expanded = packed.dequantize(dtype=dtype, scale=block_scale, double_scale=scale, block_sizes={-1: 16})
    assert torch.equal(nvfp4.fake_quantize(x, amax).view(integers), expanded.view(integers))


@pytest.mark.parametrize("blocks", [1, 63, 64, 65, 1000])
def test_our_kernel_at_the_edges_of_its_tiles(blocks: int) -> None:
    x = torch.randn(blocks * 16, device="cuda", dtype=torch.bfloat16)
    amax = x.abs().max()
    assert torch.equal(nvfp4.fake_quantize(x, amax), nvfp4.fake_quantize_reference(x, nvfp4.global_scale(amax)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", cases(torch.float32))
def test_modelopts_kernel_differs_only_under_the_floor_and_by_its_division(name: str, dtype: torch.dtype) -> None:
    x, amax = cases(dtype)[name]
    differ, floor, tie = differences(x, amax)
    unexplained = differ & ~floor & ~tie
    assert not unexplained.any(), f"{int(unexplained.sum())} of {x.numel()} elements"


@pytest.mark.parametrize("dtype", DTYPES)
def test_under_the_floor_modelopts_kernel_keeps_nothing(dtype: torch.dtype) -> None:
    x, amax = cases(dtype)["tiny"]
    below = under_the_floor(x, amax)
    assert below.any()
    assert (fp4_fake_quant_block(x, amax)[below] == 0).all()
    assert (nvfp4.fake_quantize(x, amax)[below] != 0).any()


def test_gradient_is_the_identity() -> None:
    x = torch.randn(64, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    upstream = torch.randn_like(x)
    nvfp4.fake_quantize(x, torch.tensor(3.0, device="cuda")).backward(upstream)
    assert x.grad is not None
    assert torch.equal(x.grad, upstream)


def test_traces_into_a_compiled_function() -> None:
    def step(x: Tensor, weight: Tensor) -> Tensor:
        return nvfp4.fake_quantize(x, amax) @ nvfp4.fake_quantize(weight, amax).t()

    amax = torch.tensor(4.0, device="cuda")
    x, weight = (torch.randn(64, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(2))
    out = torch.compile(step, fullgraph=True)(x, weight)
    out.sum().backward()
    torch.testing.assert_close(out, step(x, weight))
    assert weight.grad is not None


def table() -> None:
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'case':<28}{'dtype':<10}{'elements':>10}{'differ':>9}{'floor':>9}{'tie':>9}{'other':>7}")
    for dtype in DTYPES:
        for name, (x, amax) in cases(dtype).items():
            differ, floor, tie = differences(x, amax)
            counts = [int(t.sum()) for t in (differ, floor, tie, differ & ~floor & ~tie)]
            columns = f"{counts[0]:>9}{counts[1]:>9}{counts[2]:>9}{counts[3]:>7}"
            print(f"{name:<28}{str(dtype)[6:]:<10}{x.numel():>10}{columns}")
    print(f"\n{'shape':<16}{'copy':>9}{'ours':>9}{'ModelOpt':>9}   ms of GPU time;   host time per call, us")
    for shape in ((16384, 4096), (16384, 576), (2048, 1536), (576, 1536)):
        x = torch.randn(shape, device="cuda", dtype=torch.bfloat16)
        amax = x.abs().max()
        calls = (
            x.clone,
            lambda x=x, amax=amax: nvfp4.fake_quantize(x, amax),
            lambda x=x, amax=amax: fp4_fake_quant_block(x, amax),
        )
        print(f"{shape!s:<16}" + "".join(f"{gpu_time(c):>9.4f}" for c in calls), end="        ")
        print("".join(f"{host_time(c):>9.1f}" for c in calls))


def gpu_time(call: object) -> float:
    from triton.testing import do_bench

    return float(do_bench(call, return_mode="median"))


def host_time(call: object, repeats: int = 200) -> float:
    import time

    assert callable(call)
    call()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    elapsed = time.perf_counter() - start
    torch.cuda.synchronize()
    return elapsed / repeats * 1e6


if __name__ == "__main__":
    table()

"""The gradient of fake quantisation passes straight through, optionally clipped."""

import pytest
import torch

from quant.formats import nvfp4


def gradient(x: torch.Tensor, upstream: torch.Tensor, **options: object) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    nvfp4.fake_quantize(leaf, **options).backward(upstream)  # type: ignore[arg-type]
    assert leaf.grad is not None
    return leaf.grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("amax", [None, torch.tensor(0.5)])
def test_identity(dtype: torch.dtype, amax: torch.Tensor | None) -> None:
    x, upstream = torch.randn(3, 32).to(dtype), torch.randn(3, 32).to(dtype)
    assert torch.equal(gradient(x, upstream, amax=amax), upstream)


def test_clipped_stops_only_what_lies_beyond_amax() -> None:
    x, upstream = torch.linspace(-2, 2, 32), torch.randn(32)
    amax = torch.tensor(1.0)
    assert torch.equal(gradient(x, upstream, amax=amax, clip_gradient=True), upstream * (x.abs() <= 1))


def test_the_mean_slope_is_one() -> None:
    """What justifies the estimator: over many steps, the rounded function rises as its input does."""
    x = torch.linspace(0.0, 5.0, 16 * 400).reshape(400, 16)
    rise = nvfp4.fake_quantize(x + 0.5, torch.tensor(6.0)) - nvfp4.fake_quantize(x, torch.tensor(6.0))
    assert (rise.mean() / 0.5 - 1).abs() < 0.05


def test_contributions_of_a_shared_input_add_up() -> None:
    x = torch.randn(2, 16, requires_grad=True)
    quantised = nvfp4.fake_quantize(x)
    (3 * quantised.sum() + quantised.sum()).backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.full_like(x, 4))


def test_a_linear_layer_trains_through_it() -> None:
    torch.manual_seed(0)
    weight = torch.randn(8, 32, requires_grad=True)
    inputs, target = torch.randn(64, 32), torch.randn(64, 32) @ torch.randn(32, 8)
    amax, losses = weight.detach().abs().max() * 2, []
    for _ in range(60):
        loss = ((inputs @ nvfp4.fake_quantize(weight, amax).t() - target) ** 2).mean()
        losses.append(loss.item())
        (step,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight -= 0.3 * step
    assert losses[-1] < 0.9 * losses[0]


def test_nothing_is_saved_for_an_identity_gradient() -> None:
    saved: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        nvfp4.fake_quantize(torch.randn(2, 16, requires_grad=True))
    assert not saved


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamo_traces_it_whole() -> None:
    x = torch.randn(4, 32, requires_grad=True)
    compiled = torch.compile(nvfp4.fake_quantize, backend="eager", fullgraph=True)
    out = compiled(x, torch.tensor(2.0))
    assert torch.equal(out, nvfp4.fake_quantize(x, torch.tensor(2.0)))
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))

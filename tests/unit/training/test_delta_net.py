"""The chunked gated delta rule equals its defining recurrence and transformers' code, forward and backward."""

import pytest
import torch
from torch import Tensor

from quant.training import delta_net


def inputs(length: int, dtype: torch.dtype, heads: int = 3) -> list[Tensor]:
    """Rows of keys that resemble each other, as a model's do."""
    torch.manual_seed(length)
    shape = (2, length, heads)
    key = torch.randn(*shape, 16, dtype=dtype) + 2 * torch.randn(2, 1, heads, 16, dtype=dtype)
    found = [torch.randn(*shape, 16, dtype=dtype), key, torch.randn(*shape, 24, dtype=dtype)]
    found += [-0.3 * torch.rand(shape, dtype=dtype), torch.rand(shape, dtype=dtype)]
    return [each.requires_grad_() for each in found]


def recurrence(query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor) -> Tensor:
    """Token by token, as the module's docstring writes it."""
    query, key = (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6) for x in (query, key))
    state = query.new_zeros(query.shape[0], query.shape[2], query.shape[3], value.shape[3])
    outputs = []
    for t in range(query.shape[1]):
        state = state * g[:, t, :, None, None].exp()
        error = value[:, t] - torch.einsum("bhk,bhkv->bhv", key[:, t], state)
        state = state + torch.einsum("bhk,bhv->bhkv", key[:, t], error * beta[:, t, :, None])
        outputs.append(torch.einsum("bhk,bhkv->bhv", query[:, t] * query.shape[-1] ** -0.5, state))
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("length", [1, 7, 64, 100, 192])
def test_chunks_are_the_recurrence_and_so_are_their_gradients(length: int) -> None:
    given = inputs(length, torch.float64)
    found, expected = delta_net.gated_delta_rule(*given), recurrence(*given)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    weight = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad((found * weight).sum(), given), torch.autograd.grad((expected * weight).sum(), given),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_heads_taken_in_slices_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(100, torch.float32, heads=5)
    whole = delta_net.gated_delta_rule(*given)
    monkeypatch.setattr(delta_net, "SLICE", 2 * 100 * 2)
    assert torch.equal(delta_net.gated_delta_rule(*given), whole)


def test_the_forward_pass_is_that_of_transformers() -> None:
    from transformers.models.qwen3_5 import modeling_qwen3_5

    query, key, value, g, beta = inputs(150, torch.float32)
    expected, _ = modeling_qwen3_5.torch_chunk_gated_delta_rule(
        query, key, value, g=g, beta=beta, use_qk_l2norm_in_kernel=True
    )
    torch.testing.assert_close(delta_net.gated_delta_rule(query, key, value, g, beta), expected, rtol=1e-4, atol=1e-5)


def versions(monkeypatch: pytest.MonkeyPatch, found: dict[str, str], major: int = 9) -> None:
    monkeypatch.setattr(delta_net, "_version", found.get)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (major, 0))
    monkeypatch.setattr(delta_net.importlib, "import_module", lambda _: None)


@pytest.mark.parametrize(
    ("installed", "major", "name", "message"),
    [
        ({"triton": "3.6.0"}, 9, "chunks", "pip install flash-linear-attention"),
        ({"fla-core": "0.6.0", "triton": "3.6.0"}, 9, "chunks", "pip install 'triton>=3.7.1'"),
        ({"fla-core": "0.6.0", "triton": "3.7.0"}, 9, "chunks", "pip install 'triton>=3.7.1'"),
        ({"fla-core": "0.4.2", "triton": "3.7.1"}, 9, "chunks", "pip install -U flash-linear-attention"),
        ({"fla-core": "0.6.0", "triton": "3.7.1"}, 9, "fla", "Triton 3.7.1"),
        ({"fla-core": "0.6.0", "triton": "3.6.0", "tilelang": "0.1.9"}, 9, "fla", "fla 0.6.0"),
        ({"fla-core": "0.6.0", "triton": "3.6.0"}, 10, "fla", "fla 0.6.0"),
    ],
)
def test_fla_runs_only_where_its_backward_pass_is_right(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], major: int, name: str, message: str
) -> None:
    versions(monkeypatch, installed, major)
    found = delta_net.choose("cuda")
    assert found.name == name
    assert message in found.why

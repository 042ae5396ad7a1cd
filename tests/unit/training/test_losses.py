"""The fused losses equal the plain ones, in value and gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from quant.training import losses
from quant.training.losses import TeacherTargets, head_loss


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, teacher: TeacherTargets, ce: float, kl: float) -> Tensor:
    logits = hidden @ weight.T
    log_q = logits.log_softmax(-1)
    log_q_k = log_q.gather(-1, teacher.tokens.long())
    p = teacher.log_p.exp()
    left_p, left_q = 1 - p.sum(-1), 1 - log_q_k.exp().sum(-1)
    divergence = (p * (teacher.log_p - log_q_k)).sum(-1)
    if teacher.tokens.shape[1] < weight.shape[0]:
        divergence = divergence + left_p * (left_p / left_q).log()
    return (ce * functional.cross_entropy(logits, targets, reduction="sum") + kl * divergence.sum()) / len(targets)


@pytest.mark.parametrize(("ce", "kl"), [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7)])
@pytest.mark.parametrize("k", [1, 5, 64])
def test_value_and_gradients_are_those_of_the_plain_computation(
    ce: float, kl: float, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "PIECE", 64 * 3)  # several pieces of three positions
    torch.manual_seed(0)
    hidden, weight = torch.randn(10, 16).double(), torch.randn(64, 16).double() * 0.3
    targets = torch.randint(0, 64, (10,))
    log_p, tokens = torch.randn(10, 64).log_softmax(-1).topk(k)
    teacher = TeacherTargets(tokens.int(), log_p)
    mine = [hidden.float().requires_grad_(), weight.float().requires_grad_()]
    theirs = [hidden.clone().requires_grad_(), weight.clone().requires_grad_()]
    loss, _, _ = head_loss(*mine, targets, teacher, ce=ce, kl=kl, count=10)
    expected = plain(theirs[0], theirs[1], targets, TeacherTargets(tokens, log_p.double()), ce, kl)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    (loss * 2).backward()
    (expected * 2).backward()
    for a, b in zip(mine, theirs, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=1e-4, atol=1e-6)


def test_kl_to_itself_is_nothing_and_has_no_gradient() -> None:
    torch.manual_seed(1)
    hidden, weight = torch.randn(4, 16), torch.randn(64, 16)
    log_p, tokens = (hidden @ weight.T).log_softmax(-1).topk(8)
    hidden.requires_grad_()
    loss, _, kl = head_loss(
        hidden, weight, torch.zeros(4, dtype=torch.long), TeacherTargets(tokens, log_p), ce=0.0, kl=1.0, count=4
    )
    loss.backward()
    assert abs(kl.item()) < 1e-5
    assert hidden.grad is not None
    assert hidden.grad.abs().max() < 1e-5

"""Cross-entropy and KL divergence from a teacher over a large vocabulary, without storing all logits.

The loss of n positions over a vocabulary of V would need n x V logits, their softmax and their gradient. Here hidden
states go through lm_head in pieces, and the gradient of each piece is computed in the forward pass (as in Liger
Kernel, arXiv 2410.10989). So only one piece is in memory at a time.

Of the teacher, only the probabilities of the `k` most likely tokens are known; the remaining probability is treated as
one more outcome. KL over these k + 1 outcomes is a lower bound of the full KL, and equal to it for k = V.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PIECE = 64 * 2**20
"""Number of logits computed at a time (positions x vocabulary)."""
_TINY = 1e-9


@dataclass(frozen=True)
class TeacherTargets:
    """A teacher's distribution at n positions.

    Attributes:
        tokens: integer `(n, k)`, its most likely tokens.
        log_p: float `(n, k)`, their log-probabilities in nats.
    """

    tokens: Tensor
    log_p: Tensor


def remainder(log_p: Tensor) -> Tensor:
    """Probability of all other tokens: float32 `(n,)`, never below 0."""
    return (1.0 - log_p.float().exp().sum(-1)).clamp_min(0.0)


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        teacher: TeacherTargets | None,
        ce: float,
        kl: float,
        count: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        grad_hidden = torch.empty_like(hidden)
        wants_weight = weight.requires_grad
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        sum_ce = hidden.new_zeros((), dtype=torch.float32)
        sum_kl = hidden.new_zeros((), dtype=torch.float32)
        step = max(1, PIECE // weight.shape[0])
        for start in range(0, hidden.shape[0], step):
            part = hidden[start : start + step]
            log_q = (part @ weight.T).float().log_softmax(-1)
            wanted = targets[start : start + step, None]
            sum_ce -= log_q.gather(-1, wanted).sum()
            if kl and teacher is not None:
                tokens = teacher.tokens[start : start + step].long()
                log_p = teacher.log_p[start : start + step].float()
                log_q_k = log_q.gather(-1, tokens)
                p, p_left = log_p.exp(), remainder(log_p)
                q_left = remainder(log_q_k).clamp_min(_TINY)
                own = (p * (log_p - log_q_k)).sum(-1)
                left = torch.where(p_left > _TINY, p_left * (p_left.clamp_min(_TINY) / q_left).log(), 0.0)
                sum_kl += (own + left).sum()
                # With q = softmax(z): q (1 - p_left / q_left) outside of the k tokens, q - p on them.
                ratio = torch.where(p_left > _TINY, p_left / q_left, 0.0)
                grad = log_q.exp_()
                on_k = grad.gather(-1, tokens) - p
                grad = grad.mul_((1.0 - ratio)[:, None] * kl + ce) if ce else grad.mul_((1.0 - ratio)[:, None] * kl)
                if ce:
                    q_k = on_k + p
                    grad.scatter_(-1, tokens, on_k * kl + q_k * ce)
                    grad.scatter_add_(-1, wanted, torch.full_like(wanted, -ce, dtype=grad.dtype))
                else:
                    grad.scatter_(-1, tokens, on_k * kl)
            else:
                grad = log_q.exp_().mul_(ce)
                grad.scatter_add_(-1, wanted, torch.full_like(wanted, -ce, dtype=grad.dtype))
            scaled = (grad / count).to(hidden.dtype)
            grad_hidden[start : start + step] = scaled @ weight
            if grad_weight is not None:
                grad_weight += scaled.T.float() @ part.float()
        ctx.save_for_backward(grad_hidden, *([grad_weight] if grad_weight is not None else []))
        loss = (ce * sum_ce + kl * sum_kl) / count
        ctx.mark_non_differentiable(sum_ce, sum_kl)
        return loss, sum_ce, sum_kl

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        grad_hidden, *rest = ctx.saved_tensors
        grad_weight = rest[0] * grad_outputs[0] if rest else None
        return grad_hidden * grad_outputs[0].to(grad_hidden.dtype), grad_weight, None, None, None, None, None


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    teacher: TeacherTargets | None = None,
    *,
    ce: float,
    kl: float,
    count: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`(ce x cross-entropy + kl x KL(teacher || model)) / count`, summed over positions, with gradients.

    Args:
        hidden: `(n, width)`, the last hidden states at the positions with a loss.
        weight: `(vocabulary, width)`, lm_head; gets a gradient if it requires one.
        targets: int64 `(n,)`.
        teacher: needed if `kl` is not 0.
        count: number of positions of the optimiser step, over all micro-batches and devices.

    Returns:
        The loss, and the sums of cross-entropy and KL in nats (without gradient).
    """
    loss, sum_ce, sum_kl = _HeadLoss.apply(hidden, weight, targets, teacher, ce, kl, count)
    return loss, sum_ce, sum_kl

"""Compares a quantised model with its reference: KL divergence and top-1 agreement on the same tokens.

KL(reference || model) is the mean over positions of sum_v p(v) (log p(v) - log q(v)), in nats per token; top-1
agreement is the share of positions whose most likely next token is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from quant.checkpoint import loading

#: Number of positions that are compared at most, because vocabularies are large.
MAX_POSITIONS = 512


@dataclass(frozen=True)
class Quality:
    """Mean KL in nats per token, share of equal top tokens, and the number of positions compared."""

    kl: float
    top1: float
    positions: int

    def as_dict(self) -> dict[str, float | int]:
        """For the provenance."""
        return {key: round(value, 6) for key, value in asdict(self).items()}


@torch.inference_mode()
def logits(model: Any, sequences: Sequence[Sequence[int]], limit: int = MAX_POSITIONS) -> list[Tensor]:
    """Logits of the first sequences, `limit` positions in all: one CPU tensor `(length, vocabulary)` per sequence."""
    found: list[Tensor] = []
    left = limit
    for sequence in sequences:
        if left < 2:
            break
        ids = torch.tensor([list(sequence)[:left]], device=loading.device_of(model))
        found.append(model(input_ids=ids, use_cache=False).logits[0].cpu())
        left -= ids.shape[1]
    return found


def agreement(reference: Sequence[Tensor], candidate: Sequence[Tensor]) -> Quality:
    """Compare two lists of logits of the same tokens, in float32, on the GPU if there is one."""
    divergence, same, positions = 0.0, 0, 0
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for one, other in zip(reference, candidate, strict=True):
        p, q = one.to(device).float(), other.to(device).float()
        log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
        divergence += float((log_p.exp() * (log_p - log_q)).sum())
        same += int((p.argmax(-1) == q.argmax(-1)).sum())
        positions += p.shape[0]
    return Quality(divergence / positions, same / positions, positions)


def layer_outputs(model: Any, sequences: list[list[int]]) -> dict[str, Any]:
    """Output of every attention, DeltaNet and MLP block over the sequences, by module name, float32 on the CPU."""
    found: dict[str, list[Any]] = {}
    hooks = []

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            found.setdefault(name, []).append(hidden.detach().float().cpu().flatten(0, -2))

        return hook

    for name, module in model.named_modules():
        if name.endswith((".self_attn", ".linear_attn", ".mlp")) and "visual" not in name:
            hooks.append(module.register_forward_hook(keep(name)))
    with torch.inference_mode():
        for sequence in sequences:
            model(input_ids=torch.tensor([sequence], device=loading.device_of(model)), use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def layer_errors(reference: dict[str, Any], candidate: dict[str, Any]) -> dict[str, float]:
    """Relative error ||candidate - reference|| / ||reference|| of each block's output."""
    return {
        name: float((candidate[name] - out).norm() / out.norm().clamp_min(1e-12)) for name, out in reference.items()
    }

"""Finds layers that a server fuses into one matrix, and gives their parts a common scale.

vLLM computes q/k/v, gate/up and DeltaNet's in_proj_qkv/z (in_proj_b/a) in one multiplication, with one global scale
per group: it takes the largest and does not rescale the blocks of the others. So the layers of a group must share the
format and every per-tensor scale, and this before training starts; otherwise the served weights differ from the
trained ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

#: Last components of the layers' names, by the name of vLLM's fused module.
FUSED: dict[str, tuple[str, ...]] = {
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "in_proj_qkvz": ("in_proj_qkv", "in_proj_z"),
    "in_proj_ba": ("in_proj_b", "in_proj_a"),
}
_MEMBER = {member: fused for fused, members in FUSED.items() for member in members}


def fused_groups(modules: Iterable[str]) -> dict[str, list[str]]:
    """Group module names by the fused module that they are part of: `…self_attn.qkv_proj` -> its existing members.

    Modules that are not fused are left out.
    """
    groups: dict[str, list[str]] = {}
    for name in modules:
        parent, _, last = name.rpartition(".")
        if fused := _MEMBER.get(last):
            groups.setdefault(f"{parent}.{fused}", []).append(name)
    return groups


def tie_fused_amax(model: nn.Module) -> int:
    """Set the amax of all members of a fused group to the largest among them, for weights and for inputs.

    Call it after calibration and before training or export. Only per-tensor amax is touched (NVFP4's global amax, FP8
    per tensor). Returns the number of quantisers changed.
    """
    import torch

    modules = {name: module for name, module in model.named_modules() if hasattr(module, "weight_quantizer")}
    changed = 0
    for members in fused_groups(modules).values():
        for kind in ("weight_quantizer", "input_quantizer"):
            quantizers: list[Any] = [getattr(modules[name], kind) for name in members]
            quantizers = [q for q in quantizers if q.is_enabled and q.amax is not None and q.amax.numel() == 1]
            if len(quantizers) < 2:
                continue
            largest = torch.stack([q.amax.reshape(()) for q in quantizers]).max()
            for quantizer in quantizers:
                if not torch.equal(quantizer.amax.reshape(()), largest):
                    quantizer.amax = largest.reshape(quantizer.amax.shape).clone()
                    changed += 1
    return changed

"""Chooses the size of forward passes by the free GPU memory, and gradient checkpointing if it is needed.

A pass of n tokens takes about `base + slope x n` bytes. Two short passes measure both, and the largest n that fits is
computed. Without checkpointing a step takes two thirds of the time, so it is avoided unless passes would become too
short to keep a GPU busy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from quant.training.batches import MULTIPLE

MOST_TOKENS = 16384
"""Padded tokens per pass if memory does not limit them."""
ENOUGH_TOKENS = 4096
"""Passes of this many tokens keep a GPU busy; shorter ones are used only if even checkpointing does not help."""
_SHARE = 0.70
"""Share of the free memory that passes may use; the rest is for fragmentation and passes of other shapes."""


@dataclass(frozen=True)
class Passes:
    """How a batch is divided into forward passes.

    Attributes:
        micro_tokens: padded tokens per forward pass.
        checkpointing: store only the layers' inputs and recompute the rest in the backward pass.
        chosen: who chose it: "given" by the user, "measured", "saved" in the resumed state, or "smaller" after an
            out-of-memory error.
    """

    micro_tokens: int = MOST_TOKENS
    checkpointing: bool = False
    chosen: str = "given"

    def as_dict(self) -> dict[str, Any]:
        """For quant_run.json and the saved state."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.micro_tokens} tokens per pass, {'with' if self.checkpointing else 'no'} gradient checkpointing"


def smaller(passes: Passes, longest: int, checkpoints: bool) -> Passes | None:
    """What to try after an out-of-memory error: half the tokens, then checkpointing.

    Args:
        longest: padded tokens of the longest row, the minimum of a pass.
        checkpoints: whether the user leaves checkpointing open.

    Returns None if no smaller pass is possible.
    """
    if passes.micro_tokens > longest:
        half = max(longest, min(passes.micro_tokens // 2, MOST_TOKENS))
        return replace(passes, micro_tokens=half, chosen="smaller")
    if not passes.checkpointing and checkpoints:
        return replace(passes, checkpointing=True, chosen="smaller")
    return None


def choose(
    measure: Callable[[int, bool], int | None],
    room: int,
    longest: int,
    most: int,
    *,
    micro_tokens: int | None = None,
    checkpointing: bool | None = None,
) -> Passes:
    """The passes that fit.

    Args:
        measure: function (tokens, checkpointing) -> peak bytes of such a pass; None if it runs out of memory.
        room: bytes that passes may use.
        longest: padded tokens of the longest row.
        most: padded tokens of a batch.
        micro_tokens, checkpointing: given by the user; None: to be chosen.
    """
    most = max(longest, min(most, MOST_TOKENS))
    kinds = (False, True) if checkpointing is None else (checkpointing,)
    wanted = micro_tokens or max(longest, min(most, ENOUGH_TOKENS))
    for kind in kinds:
        fits = _tokens(measure, int(room * _SHARE), longest, most, kind)
        if fits >= wanted or kind is kinds[-1]:
            break
    tokens = micro_tokens or max(longest, min(most, fits // MULTIPLE * MULTIPLE))
    return Passes(tokens, kind, "measured" if micro_tokens is None or checkpointing is None else "given")


def _tokens(measure: Callable[[int, bool], int | None], room: int, longest: int, most: int, kind: bool) -> int:
    """Tokens that fit into `room` bytes."""
    # At least two rows if they fit, because compiled code for one row is different.
    few = min(most, longest * max(2, ENOUGH_TOKENS // 4 // longest))
    many = min(most, 2 * few)
    measure(few, kind)  # allocated only by the first pass: kernels, workspaces
    small = measure(few, kind)
    if small is None or small > room:
        return 0
    if many == few:
        return most
    large = measure(many, kind)
    if large is None:
        return few
    slope = max(1.0, (large - small) / (many - few))
    return int(few + (room - small) / slope)

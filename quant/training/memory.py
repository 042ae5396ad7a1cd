"""How a batch is cut into forward passes: as large as memory allows, with gradient checkpointing where it must be.

A pass of n tokens takes about `base + slope x n` bytes. Both are measured by two short passes, and what fits is
computed. Without checkpointing a step costs two thirds of what it costs with it, so that comes first, unless passes
would become too short to fill a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from quant.training.batches import MULTIPLE

MOST_TOKENS = 16384
"""Padded tokens a pass where nothing limits them."""
ENOUGH_TOKENS = 4096
"""Passes of this many tokens fill a GPU; fewer are taken only where checkpointing would not fit either."""
_SHARE = 0.8
"""Of what is free; the rest is for what the allocator cannot use and for passes of other shapes."""


@dataclass(frozen=True)
class Passes:
    """How a batch is cut.

    Attributes:
        micro_tokens: padded tokens a forward pass.
        checkpointing: keep the layers' inputs alone and compute the rest again in the backward pass.
        chosen: "given" by the user, "measured", "saved" with the state that is resumed, or "smaller" after an
            out-of-memory error.
    """

    micro_tokens: int = MOST_TOKENS
    checkpointing: bool = False
    chosen: str = "given"

    def as_dict(self) -> dict[str, Any]:
        """For quant_run.json and the saved state."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.micro_tokens} tokens a pass, {'with' if self.checkpointing else 'no'} gradient checkpointing"


def smaller(passes: Passes, longest: int, checkpoints: bool) -> Passes | None:
    """What to try after an out-of-memory error: half the tokens, then checkpointing.

    Args:
        longest: padded tokens of the longest row, below which no pass can go.
        checkpoints: whether the user leaves checkpointing open.

    Returns None where nothing is smaller.
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
        measure: most bytes that a pass of so many tokens holds, with or without checkpointing; None where it runs out
            of memory.
        room: bytes that passes may take.
        longest: padded tokens of the longest row.
        most: padded tokens of a batch.
        micro_tokens, checkpointing: given by the user; None is to be chosen.
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
    # Two rows at least, where there is room for them: compiled code for one row is another.
    few = min(most, longest * max(2, ENOUGH_TOKENS // 4 // longest))
    many = min(most, 2 * few)
    measure(few, kind)  # what the first pass alone takes: kernels, workspaces
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

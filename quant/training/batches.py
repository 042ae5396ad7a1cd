"""Makes batches of similar length: little padding, the same order for the same seed, no example left out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quant.training.conversations import Example

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MULTIPLE = 32
"""Lengths are rounded up to a multiple of this, so that compiled code and matrix kernels see few shapes."""


def padded(length: int) -> int:
    """`length` rounded up to MULTIPLE."""
    return -(-length // MULTIPLE) * MULTIPLE


def plan(lengths: Sequence[int], batch_tokens: int, seed: int) -> list[list[int]]:
    """Indices of one epoch's batches; each has as many rows of similar length as fit into `batch_tokens`.

    Args:
        lengths: tokens of each example.
        batch_tokens: maximum of rows x padded length; a longer row is a batch of its own.
        seed: seed of the order. Examples of the same padded length are shuffled, and so are the batches.
    """
    order = list(range(len(lengths)))
    chance = random.Random(seed)
    chance.shuffle(order)
    order.sort(key=lambda index: padded(lengths[index]))  # a stable sort keeps the shuffled order within a length
    batches: list[list[int]] = []
    for index in order:
        # Sorted by length, so the last row is the longest.
        if batches and (len(batches[-1]) + 1) * padded(lengths[index]) <= batch_tokens:
            batches[-1].append(index)
        else:
            batches.append([index])
    chance.shuffle(batches)
    return batches


@dataclass(frozen=True)
class Batch:
    """One padded batch.

    Attributes:
        input_ids: int64 `(rows, length)`, padded on the right. No mask is needed, because the model is causal.
        positions: int64 `(n,)`, flat indices of the hidden states that predict a token with a loss.
        targets: int64 `(n,)`, these tokens.
        rows: indices of the examples.
        tokens: number of tokens without padding.
    """

    input_ids: Tensor
    positions: Tensor
    targets: Tensor
    rows: tuple[int, ...]
    tokens: int

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; the copy to a GPU is asynchronous."""
        if device.type != "cuda":
            return self
        ids, positions, targets = (
            each.pin_memory().to(device, non_blocking=True) for each in (self.input_ids, self.positions, self.targets)
        )
        return Batch(ids, positions, targets, self.rows, self.tokens)


def collate(examples: Sequence[Example], rows: Sequence[int], pad: int) -> Batch:
    """Put examples together; the hidden state at a token predicts the next one."""
    import torch

    chosen = [examples[row] for row in rows]
    length = padded(max(len(example.ids) for example in chosen))
    ids = torch.full((len(chosen), length), pad)
    learnt = torch.zeros((len(chosen), length), dtype=torch.bool)
    for row, example in enumerate(chosen):
        count = len(example.ids)
        ids[row, :count] = torch.tensor(example.ids)
        learnt[row, :count] = torch.tensor(example.learnt)
    targets = learnt.flatten().nonzero().flatten()
    return Batch(ids, targets - 1, ids.flatten()[targets], tuple(rows), sum(len(e.ids) for e in chosen))


def nothing(pad: int) -> Batch:
    """A batch of padding without a loss, for a process that must take part in the others' forward passes."""
    import torch

    none = torch.empty(0, dtype=torch.long)
    return Batch(torch.full((1, MULTIPLE), pad), none, none, (), 0)


def shares(rows: Sequence[int], lengths: Sequence[int], tokens: int, size: int) -> list[list[list[int]]]:
    """Micro-batches of one batch for each of `size` processes: rows are divided, all get the same number of passes.

    A process with fewer rows gets empty micro-batches at the end.
    """
    parts = [micro_batches(part, lengths, tokens) if (part := rows[rank::size]) else [] for rank in range(size)]
    most = max(map(len, parts))
    return [part + [[]] * (most - len(part)) for part in parts]


def micro_batches(rows: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Divide one batch into parts of at most `tokens` padded tokens, or of one row."""
    longest = padded(max(lengths[row] for row in rows))
    count = max(1, tokens // longest)
    return [list(rows[start : start + count]) for start in range(0, len(rows), count)]

"""CUDA graphs of the decoder's forward and backward pass: one launch where there were thousands.

At the sizes of a small model a training step waits for launches, not for arithmetic. Batches come in few shapes, and
in the same ones each epoch; a shape that comes often enough to pay for it is captured when it is first met, by
`torch.cuda.make_graphed_callables`, and replayed after that: the same kernels on the same numbers. The loss stays
outside, for the number of learnt tokens varies; so do the optimiser and the first of all, shapes that are rare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from quant.training.batches import padded
from quant.training.teacher import hidden_states

USES = 8
"""A capture costs about as much as five steps; a shape that comes less often is not captured."""

Shape = tuple[int, int]
Capture = Callable[["Body", Tensor], Callable[[Tensor], Tensor]]


class Body(nn.Module):
    """From token ids to the last hidden states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        """`(rows, length)` -> `(rows x length, width)`."""
        return hidden_states(self.model, input_ids)


def shapes(micros: Sequence[Sequence[int]], lengths: Sequence[int]) -> Counter[Shape]:
    """How often each shape of padded input comes among micro-batches."""
    return Counter((len(rows), padded(max(lengths[row] for row in rows))) for rows in micros if rows)


class Graphs:
    """Hidden states by replayed graphs; shapes that come fewer than USES times run as they always do.

    Args:
        expected: how often each shape will come.
        capture: makes a graph; CUDA's, but for tests.
    """

    def __init__(self, model: Any, expected: Counter[Shape], capture: Capture | None = None) -> None:
        self.model, self.expected = model, expected
        self.captured: dict[Shape, Callable[[Tensor], Tensor]] = {}
        self._capture = capture or _CudaCapture()

    def __call__(self, input_ids: Tensor) -> Tensor:
        """Hidden states, in a buffer that the next call of this shape overwrites."""
        shape = (input_ids.shape[0], input_ids.shape[1])
        if shape not in self.captured:
            if self.expected[shape] < USES:
                return hidden_states(self.model, input_ids)
            self.captured[shape] = self._capture(Body(self.model), input_ids)
        return self.captured[shape](input_ids)


def own_gradients(parameters: Sequence[Tensor]) -> None:
    """Give each parameter a gradient of its own: a graph's lies in a buffer that its next replay overwrites."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad = parameter.grad.clone()


class _CudaCapture:
    def __init__(self) -> None:
        # One pool for all: no graph's activations outlive its own backward pass, which follows its forward pass.
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, body: Body, input_ids: Tensor) -> Callable[[Tensor], Tensor]:
        found: Any = torch.cuda.make_graphed_callables(body, (input_ids.clone(),), pool=self._pool)
        return found

"""Computes and stores the teacher's most likely tokens at every learnt position.

So the teacher runs only once and not in every epoch, it need not fit into memory with the student, and a resumed run
does not run it again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quant.checkpoint.loading import head_weight
from quant.errors import UsageError
from quant.quantize.progress import ProgressBar
from quant.training.batches import Batch, collate, plan
from quant.training.conversations import Example
from quant.training.distributed import World
from quant.training.losses import PIECE, TeacherTargets


@dataclass(frozen=True)
class TeacherCache:
    """Targets of every learnt position of all examples, concatenated.

    Attributes:
        tokens: int32 `(positions, k)`.
        log_p: float16 `(positions, k)`.
        offsets: int64 `(examples + 1,)`: the positions of example i are offsets[i] to offsets[i + 1].
    """

    tokens: Tensor
    log_p: Tensor
    offsets: Tensor

    def of(self, rows: Sequence[int], device: Any) -> TeacherTargets:
        """Targets of some examples, in their order."""
        index = _positions(self.offsets, rows)
        return TeacherTargets(self.tokens[index].to(device), self.log_p[index].to(device))

    def save(self, path: Path) -> None:
        """Write the cache atomically."""
        from safetensors.torch import save_file

        partial = path.with_name(f"{path.name}.partial")
        save_file({"tokens": self.tokens, "log_p": self.log_p, "offsets": self.offsets}, partial)
        os.replace(partial, path)

    @classmethod
    def load(cls, path: Path) -> TeacherCache:
        """Read what `save` wrote."""
        from safetensors.torch import load_file

        held = load_file(path)
        return cls(held["tokens"], held["log_p"], held["offsets"])


@torch.inference_mode()
def ask(
    model: Any, examples: Sequence[Example], pad: int, k: int, tokens: int, world: World | None = None
) -> TeacherCache:
    """Run a BF16 teacher over all examples; processes divide the batches, and each gets all answers.

    Args:
        model: a causal LM in evaluation mode.
        k: number of most likely tokens to store; at most the size of the vocabulary.
        tokens: padded tokens per forward pass.
    """
    counts = torch.tensor([sum(example.learnt) for example in examples])
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    weight = head_weight(model)
    k = min(k, weight.shape[0])
    world = world or World()
    kept = torch.zeros((int(offsets[-1]), k), dtype=torch.int32)
    log_p = torch.zeros((int(offsets[-1]), k), dtype=torch.float16)
    lengths = [len(example.ids) for example in examples]
    batches = plan(lengths, tokens, 0)[world.rank :: world.size]
    queue = list(batches)
    with ProgressBar("teacher", sum(lengths[row] for rows in batches for row in rows), "tok") as progress:
        while queue:
            rows = queue.pop(0)
            answers = _answers(model, collate(examples, rows, pad), weight, k)
            if answers is None and len(rows) == 1:
                raise UsageError(
                    f"out of GPU memory with one conversation of {lengths[rows[0]]} tokens; shorten it, or take a "
                    "recipe without a teacher (qat-*)"
                )
            if answers is None:
                torch.cuda.empty_cache()
                queue[:0] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
                continue
            index = _positions(offsets, rows)
            kept[index], log_p[index] = answers
            progress.add(sum(lengths[row] for row in rows))
    return TeacherCache(world.total(kept), world.total(log_p), offsets)


def _answers(model: Any, batch: Batch, weight: Tensor, k: int) -> tuple[Tensor, Tensor] | None:
    """The `k` most likely tokens at every learnt position, and their log-probabilities; None if memory runs out."""
    try:
        hidden = hidden_states(model, batch.input_ids.to(weight.device))
        hidden = hidden[batch.positions.to(weight.device)]
        step = max(1, PIECE // weight.shape[0])
        pieces = [(part @ weight.T).float().log_softmax(-1).topk(k) for part in hidden.split(step)]
    except torch.OutOfMemoryError:
        return None
    return torch.cat([p.indices for p in pieces]).int().cpu(), torch.cat([p.values for p in pieces]).half().cpu()


def _positions(offsets: Tensor, rows: Sequence[int]) -> Tensor:
    parts = [torch.arange(int(offsets[row]), int(offsets[row + 1])) for row in rows]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)


def hidden_states(model: Any, input_ids: Tensor) -> Tensor:
    """Last hidden states of a causal LM, before lm_head: `(rows x length, width)`. Padding is on the right."""
    found: Tensor = model.model(input_ids=input_ids, use_cache=False).last_hidden_state
    return found.flatten(0, 1)

"""A teacher's answers, computed once: its most likely tokens at every learnt position, kept on disk.

So the teacher runs once and not in every epoch, need not fit beside the student, and a resumed run does not ask it
again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quant.quantize.progress import ProgressBar
from quant.training.batches import collate, plan
from quant.training.conversations import Example
from quant.training.distributed import World
from quant.training.losses import PIECE, TeacherTargets


@dataclass(frozen=True)
class TeacherCache:
    """Targets of every learnt position of every example, one after the other.

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
        """Write the cache; it is there whole or not at all."""
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
    """Run a BF16 teacher over all examples; processes share the batches, and all get all answers.

    Args:
        model: a causal LM in evaluation mode.
        k: most likely tokens kept; at most the vocabulary.
        tokens: padded tokens a forward pass.
    """
    counts = torch.tensor([sum(example.learnt) for example in examples])
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    weight = model.get_output_embeddings().weight
    k = min(k, weight.shape[0])
    world = world or World()
    kept = torch.zeros((int(offsets[-1]), k), dtype=torch.int32)
    log_p = torch.zeros((int(offsets[-1]), k), dtype=torch.float16)
    lengths = [len(example.ids) for example in examples]
    batches = plan(lengths, tokens, 0)[world.rank :: world.size]
    with ProgressBar("teacher", sum(lengths[row] for rows in batches for row in rows), "tok") as progress:
        for rows in batches:
            batch = collate(examples, rows, pad)
            hidden = hidden_states(model, batch.input_ids.to(weight.device))
            hidden = hidden[batch.positions.to(weight.device)]
            step = max(1, PIECE // weight.shape[0])
            pieces = [
                (part @ weight.T).float().log_softmax(-1).topk(k)
                for part in hidden.split(step)
            ]  # fmt: skip
            index = _positions(offsets, rows)
            kept[index] = torch.cat([piece.indices for piece in pieces]).int().cpu()
            log_p[index] = torch.cat([piece.values for piece in pieces]).half().cpu()
            progress.add(batch.tokens)
    return TeacherCache(world.total(kept), world.total(log_p), offsets)


def _positions(offsets: Tensor, rows: Sequence[int]) -> Tensor:
    parts = [torch.arange(int(offsets[row]), int(offsets[row + 1])) for row in rows]
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.long)


def hidden_states(model: Any, input_ids: Tensor) -> Tensor:
    """Last hidden states of a causal LM, before its head: `(rows x length, width)`. Padding stands on the right."""
    found: Tensor = model.model(input_ids=input_ids, use_cache=False).last_hidden_state
    return found.flatten(0, 1)

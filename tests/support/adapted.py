"""Makes a small model with quantised LoRA layers, and a training loop with synthetic examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quant import recipe
from quant.checkpoint import loading
from quant.quantize.quantize import quantize
from quant.training.conversations import Example
from quant.training.layers import installed
from quant.training.loop import How, Trainer


def adapted(directory: Path, name: str = "qat-lora", device: str = "cpu") -> tuple[Any, Any]:
    """A peft model with quantisers and non-zero B, and its base model."""
    from peft import LoraConfig, get_peft_model

    model = loading.load_model(directory, device)
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    torch.manual_seed(0)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=names))
    quantize(wrapped, recipe.load(name), [list(range(40))] * 4, 0)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        for n, parameter in model.named_parameters():
            if "lora_B" in n:
                parameter.normal_(0, 0.02)
    return wrapped, model


def examples(count: int = 24, lengths: tuple[int, int] = (30, 60)) -> list[Example]:
    """Rows of alternating lengths, so that batches have several shapes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for index in range(count):
        size = lengths[index % 2]
        ids = torch.randint(0, 256, (size,), generator=generator).tolist()
        made.append(Example(tuple(ids), (False,) + (True,) * (size - 1), index))
    return made


@contextmanager
def trainer(
    directory: Path,
    how: How,
    rows: list[Example] | None = None,
    *,
    checkpointing: bool = False,
    device: str = "cpu",
) -> Iterator[Trainer]:
    """A training loop of about fifteen steps for the adapters."""
    _, model = adapted(directory, device=device)
    training = recipe.Training(
        method="lora", ce=1.0, kl=0.0, learning_rate=1e-3, epochs=3, batch_tokens=256, max_length=1024, rank=4
    )
    with installed(model) as layers:
        parameters = {}
        for at, layer in layers.items():
            for which in ("lora_a", "lora_b"):
                parameters[f"{at}.{which}"] = getattr(layer, which).requires_grad_(True)
        if checkpointing:
            model.train()
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        yield Trainer(model, parameters, rows or examples(), training, how, 0)

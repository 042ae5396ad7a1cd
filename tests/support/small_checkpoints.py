"""Small checkpoints for tests of preflight's findings, and the findings as text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from quant.checkpoint.view import Problem, View, view

DOWN, UP, GATE = (f"model.layers.0.mlp.{part}_proj" for part in ("down", "up", "gate"))
ATTENTION = "model.layers.0.self_attn"
Tensors = dict[str, Tensor]
Edit = Callable[[Tensors], Any]
E4M3 = torch.float8_e4m3fn


def told(findings: Iterable[Problem]) -> list[str]:
    """Each finding whole: point, level, place, problem and fix."""
    return [f"{one.point} {one.level} {one}" for one in findings]


def checkpoint(directory: Path, tensors: Tensors, config: dict[str, Any] | None = None) -> View:
    (directory / "config.json").write_text(json.dumps(config or {}))
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, directory / "model.safetensors")
    return view(directory)[0]


def codes(*values: int, shape: tuple[int, ...]) -> Tensor:
    """E4M3 by codes; the last one is repeated."""
    flat = [*values, *[values[-1]] * (math.prod(shape) - len(values))][: math.prod(shape)]
    return torch.tensor(flat, dtype=torch.uint8).view(E4M3).reshape(shape)


def bytes_of(value: int, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.uint8)


def few(high: int, low: int, share: float, size: int) -> Tensor:
    """Packed bytes, `share` of them `high`, the others `low`."""
    return torch.tensor([high if i < share * size else low for i in range(size)], dtype=torch.uint8).reshape(16, -1)

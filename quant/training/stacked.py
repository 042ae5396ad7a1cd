"""Merges and quantises the weights of layers with adapters once per optimiser step, many at a time.

Weights change only when the optimiser steps. Merging and quantising each of them in every forward pass would cost a
small model hundreds of tiny kernel launches, and the GPU would wait for the host. Here layers of the same shape are
stacked, merged by one batched product and quantised by one launch. Every layer gets its own copy of the result, which
equals `TrainedLinear.quantized_weight` bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quant.formats import nvfp4
from quant.training.layers import Kind, TrainedLinear

LIMIT = 2 * 2**30
"""Bytes of prepared weights that are always allowed; more only up to a quarter of the free GPU memory."""
CHUNK = 32 * 2**20
"""Number of weights merged at a time; each temporarily takes about 14 bytes (FP32, BF16 and copies)."""


@dataclass
class _Chunk:
    """Layers of one shape, rank, scaling and kind."""

    layers: list[TrainedLinear]
    weights: list[Tensor]
    a: list[Tensor]
    b: list[Tensor]
    amax: Tensor
    prepared: list[Tensor]
    kind: Kind
    scaling: float
    batched: bool

    def refresh(self) -> None:
        # The same operations as TrainedLinear.effective_weight.
        products = _products(torch.stack(self.b) * self.scaling, torch.stack(self.a), self.batched)
        found = products.add_(torch.stack(self.weights)).to(self.weights[0].dtype)
        if self.layers[0].weight_scales is not None:
            found = torch.stack([layer.quantized(each) for layer, each in zip(self.layers, found, strict=True)])
        elif self.kind == "nvfp4":
            found = nvfp4.fake_quantize_stack(found, self.amax)
        # Separate tensors, not views of the stack, so that compiled code is the same for all layers.
        torch._foreach_copy_(self.prepared, list(found.unbind()))


def _products(b: Tensor, a: Tensor, batched: bool) -> Tensor:
    """`b[i] @ a[i]` for all i."""
    return torch.bmm(b, a) if batched else torch.stack([left @ right for left, right in zip(b, a, strict=True)])


def _batches_alike(layers: list[TrainedLinear]) -> bool:
    """Whether the GPU's batched product sums in the same order as its single product, so that results are equal.

    This depends only on the shapes, so it is tested with 30 layers of random numbers. On a CPU calls are cheap.
    """
    first = layers[0]
    assert first.lora_a is not None
    assert first.lora_b is not None
    if first.weight.device.type != "cuda":
        return False
    chance = torch.Generator(first.weight.device).manual_seed(0)
    a, b = (
        torch.randn((len(layers), *like.shape), generator=chance, device=like.device)
        for like in (first.lora_a, first.lora_b)
    )
    return torch.equal(_products(b, a, True), _products(b, a, False))


class Stacked:
    """Updates `prepared` of the given layers; call `refresh` after every change of their adapters.

    Layers without an adapter, and of formats that are not stacked (FP8), compute their weights as before; so do all
    layers if there is not enough memory for the copies.
    """

    def __init__(self, layers: Sequence[TrainedLinear], wanted: bool = True) -> None:
        for layer in layers:
            layer.prepared = None  # left from another training
        chosen = [
            layer for layer in layers
            if wanted and layer.lora_a is not None and layer.lora_a.dtype == torch.float32
            and layer.weight_kind != "fp8"
        ]  # fmt: skip
        self.chunks = [_chunk(part) for part in _parts(chosen)] if chosen and _affordable(chosen) else []

    @torch.no_grad()
    def refresh(self) -> None:
        """Merge and quantise all weights, in place, and let the layers use them."""
        for chunk in self.chunks:
            chunk.refresh()
            if chunk.layers[0].prepared is None:
                for layer, prepared in zip(chunk.layers, chunk.prepared, strict=True):
                    layer.prepared = prepared

    def drop(self) -> None:
        """Drop the prepared weights; layers merge their own weights again."""
        for chunk in self.chunks:
            for layer in chunk.layers:
                layer.prepared = None


def _affordable(layers: list[TrainedLinear]) -> bool:
    wanted = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    device = layers[0].weight.device
    if wanted <= LIMIT or device.type != "cuda":
        return wanted <= LIMIT
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return wanted <= (torch.cuda.mem_get_info(device)[0] + unused) // 4


def _parts(layers: list[TrainedLinear]) -> Iterator[list[TrainedLinear]]:
    """Layers that can be stacked, at most CHUNK weights at a time."""
    alike: dict[object, list[TrainedLinear]] = {}
    for layer in layers:
        assert layer.lora_a is not None
        key = (
            layer.weight.shape, layer.weight.dtype, layer.weight.device, layer.lora_a.shape, layer.scaling,
            layer.weight_kind, layer.weight_scales is None,
        )  # fmt: skip
        alike.setdefault(key, []).append(layer)
    for group in alike.values():
        size = max(1, CHUNK // group[0].weight.numel())
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _chunk(layers: list[TrainedLinear]) -> _Chunk:
    first = layers[0]
    return _Chunk(
        layers=layers,
        weights=[layer.weight for layer in layers],
        a=[layer.lora_a for layer in layers if layer.lora_a is not None],
        b=[layer.lora_b for layer in layers if layer.lora_b is not None],
        amax=torch.stack([layer.weight_amax for layer in layers]),
        prepared=[torch.empty_like(layer.weight, requires_grad=False) for layer in layers],
        kind=first.weight_kind,
        scaling=first.scaling,
        batched=_batches_alike(layers),
    )

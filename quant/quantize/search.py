"""Searches block scales in a calibrated model, and measures how far its weights are from BF16. Needs no data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

from quant.formats import nvfp4
from quant.formats.nvfp4_search import Search, global_amax, search_scales


def nvfp4_layers(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every layer whose weight is quantised to NVFP4, with its weight quantiser."""
    for module in model.modules():
        quantizer: Any = getattr(module, "weight_quantizer", None)
        if getattr(quantizer, "is_enabled", False) and quantizer.block_sizes:
            yield module, quantizer


@contextmanager
def _present(module: Any) -> Iterator[None]:
    """Copy a layer's weight to the device that computes, if it is in host memory."""
    if not hasattr(module, "_hf_hook"):
        yield
        return
    from accelerate.utils import align_module_device

    with align_module_device(module):
        yield


@torch.no_grad()
def search_weights(model: Any, search: Search) -> None:
    """Search the block scales of all NVFP4 weights and freeze them. Fused groups must share their amax already."""
    from quant.quantize.modelopt_backend import set_searched
    from quant.quantize.progress import ProgressBar

    layers = list(nvfp4_layers(model))
    with ProgressBar("search", sum(module.weight.numel() for module, _ in layers), "weight") as progress:
        for module, quantizer in layers:
            amax = global_amax(quantizer.amax.float(), search)
            with _present(module):
                scales = search_scales(module.weight, nvfp4.global_scale(amax), search)
            set_searched(quantizer, scales, amax)
            progress.add(module.weight.numel())


@dataclass(frozen=True)
class WeightError:
    """||quantised - BF16|| / ||BF16|| over all NVFP4 weights (Frobenius norm): with the scales found, and with max
    scales.
    """

    found: float
    max: float

    def as_dict(self) -> dict[str, float]:
        """For the provenance."""
        return asdict(self)


@torch.no_grad()
def weight_error(model: Any, search: Search | None) -> WeightError | None:
    """The weight error of a quantised model; None if no weight is NVFP4.

    Call it before the export, which packs in place.

    `search` is that of `search_weights`, or None.
    """
    from quant.quantize.modelopt_backend import global_scale_amax

    found, by_max, length = 0.0, 0.0, 0.0
    room = 1.0 if search is None else float(global_amax(torch.ones(()), search))
    for module, quantizer in nvfp4_layers(model):
        amax = global_scale_amax(quantizer) / room
        with _present(module):
            weight = module.weight.float()
            plain = nvfp4.fake_quantize(module.weight, amax.to(weight.device))
            found += float((quantizer(module.weight).float() - weight).square().sum())
        by_max += float((plain.float() - weight).square().sum())
        length += float(weight.square().sum())
    return WeightError((found / length) ** 0.5, (by_max / length) ** 0.5) if length else None

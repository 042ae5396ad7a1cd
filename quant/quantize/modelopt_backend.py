"""Registers NVFP4 as a ModelOpt quantisation backend, so that calibration, QAT and QAD run without CUDA.

ModelOpt's own NVFP4 forward pass needs a CUDA kernel. A quantiser whose configuration names this backend calls
`formats.nvfp4.fake_quantize` instead. ModelOpt still does calibration, AWQ, peft support, saving and export. Its
export is plain torch, and the exported weights equal those of this forward pass bit for bit.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from modelopt.torch.quantization.nn.modules import tensor_quantizer
from torch import Tensor

from quant.formats import nvfp4

BACKEND = "annie_nvfp4"
"""Value of ``backend`` in a quantiser's ``cfg``."""


def register_backend() -> str:
    """Register the backend with ModelOpt. May be called twice. Needed before a saved quantiser is restored.

    Returns:
        The name to put under ``backend``.
    """
    if not tensor_quantizer.is_registered_quant_backend(BACKEND):
        tensor_quantizer.register_quant_backend(BACKEND, _entrypoint)
    return BACKEND


def with_backend(config: dict[str, Any]) -> dict[str, Any]:
    """Copy of a ModelOpt quantisation config in which every dynamic NVFP4 quantiser uses this backend.

    Args:
        config: ``{"quant_cfg": [{"quantizer_name": ..., "cfg": {...}}, ...], "algorithm": ...}`` as ModelOpt's
            constants have it. Entries of other formats are not changed.
    """
    config = copy.deepcopy(config)
    for entry in config["quant_cfg"]:
        cfg = entry.get("cfg")
        for attributes in cfg if isinstance(cfg, list) else [cfg]:
            if attributes and _is_nvfp4(attributes.get("num_bits"), attributes.get("block_sizes")):
                attributes["backend"] = register_backend()
    return config


def _is_nvfp4(num_bits: Any, block_sizes: Any) -> bool:
    def pair(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    return (
        bool(block_sizes)
        and pair(num_bits) == (2, 1)
        and pair(block_sizes.get("scale_bits")) == (4, 3)
        and block_sizes.get("type") == "dynamic"
        and not block_sizes.get("four_over_six")
        and block_sizes.get(-1) == nvfp4.BLOCK_SIZE
    )


def is_searched(quantizer: Any) -> bool:
    """Whether `set_searched` froze block scales."""
    return getattr(quantizer, "_global_amax", None) is not None


def set_searched(quantizer: Any, scales: Tensor, amax: Tensor) -> None:
    """Freeze a weight quantiser's block scales, in the attributes that ModelOpt's export reads.

    Args:
        quantizer: an NVFP4 weight quantiser of this backend.
        scales: float8_e4m3fn block scales, `(out, in / 16)`.
        amax: largest magnitude that the global scale is made for, one element; zero counts as 6.
    """
    amax = amax.detach().float().reshape(())
    amax = torch.where(amax == 0, nvfp4.E2M1_MAX, amax)
    if hasattr(quantizer, "_amax"):
        del quantizer._amax
    quantizer.register_buffer("_amax", scales.float() * (amax / nvfp4.E4M3_MAX))
    quantizer.register_buffer("_global_amax", amax.clone())


def global_scale_amax(quantizer: Any) -> Tensor:
    """The amax that a quantiser's global scale is made for, with or without searched block scales."""
    found = getattr(quantizer, "_global_amax", None)
    amax: Tensor = quantizer.amax if found is None else found
    return amax.detach().reshape(())


def searched_scales(quantizer: Any, weight: Tensor) -> Tensor:
    """The block scales that `set_searched` froze, as ModelOpt's export computes them; see `is_searched`."""
    from modelopt.torch.quantization.qtensor import NVFP4QTensor

    scales: Tensor = NVFP4QTensor.get_weights_scaling_factor_from_quantizer(quantizer, weight)[0]
    return scales


def _entrypoint(inputs: Tensor, quantizer: Any) -> Tensor:
    if not _is_nvfp4(quantizer.num_bits, quantizer.block_sizes):
        raise NotImplementedError(
            f"backend {BACKEND} does NVFP4 with dynamic blocks of 16 on the last dimension; this quantizer has "
            f"num_bits={quantizer.num_bits}, block_sizes={quantizer.block_sizes}: remove `backend` from its cfg"
        )
    if is_searched(quantizer):  # see quant.quantize.search
        scale = nvfp4.global_scale(global_scale_amax(quantizer))
        return nvfp4.fake_quantize_scaled(inputs, searched_scales(quantizer, inputs), scale)
    amax = quantizer._get_amax(inputs)
    return nvfp4.fake_quantize(inputs, amax.amax(), clip_gradient=not quantizer._pass_through_bwd)

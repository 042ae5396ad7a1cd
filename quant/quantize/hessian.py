"""NVFP4 weights quantised by the inputs that they meet: local Hessian and GPTQ.

A layer computes `X W'`, so an error `E` in its weights adds `tr(E H E')` to the squared error of its output, where
`H = X' X` is summed over the tokens of calibration. Both methods lower that figure, not the squared error of `W`.

*Local Hessian* (ModelOpt's `local_hessian`) searches each block's scale as the sweep of `nvfp4_search` does. It
weighs the error of a block by its own 16 x 16 part of `H`.

*GPTQ* (Frantar et al., arXiv 2210.17323) quantises the columns of a weight from left to right. Columns to the right
of each are changed to compensate its error, through the inverse of all of `H`. Decoder layers are done in order, so
that each sees inputs that come from quantised layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from quant.errors import UsageError
from quant.formats import nvfp4
from quant.formats.nvfp4_search import search_scales, search_weighted
from quant.quantize.modelopt_backend import set_searched
from quant.quantize.progress import ProgressBar
from quant.quantize.search import nvfp4_layers

#: Share of the mean diagonal of `H` that GPTQ adds to the diagonal, so that it can be inverted.
DAMPING = 0.05


@contextmanager
def _moments(layers: Sequence[tuple[Any, Any]], block: int | None) -> Iterator[dict[int, Tensor]]:
    """Sum `X' X` over the inputs of each layer, with its weight in BF16; by the id of the module.

    Float32 `(in, in)`, or `(in / block, block, block)` where only blocks on the diagonal are wanted.
    """
    found: dict[int, Tensor] = {}
    latest: list[Any] = [None, None]  # layers of a fused group get the same tensor, one after the other

    def add(module: Any, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0] is not latest[0]:
            x = module.input_quantizer(inputs[0]).detach().flatten(0, -2).float()
            if block is None:
                product = x.T @ x
            else:
                columns = x.unflatten(-1, (-1, block)).transpose(0, 1)
                product = columns.transpose(1, 2) @ columns
            latest[:] = inputs[0], product
        known = found.get(id(module))
        found[id(module)] = latest[1].clone() if known is None else known.add_(latest[1])

    hooks = [module.register_forward_pre_hook(add) for module, _ in layers]
    for _, quantizer in layers:
        quantizer.disable()
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        for _, quantizer in layers:
            quantizer.enable()


@torch.no_grad()
def local_hessian(model: Any, forward: Callable[[Any], None]) -> None:
    """Search the block scales of all NVFP4 weights by the local Hessian and freeze them.

    Args:
        model: calibrated by max, fused groups tied.
        forward: runs the calibration data through it, without padding.
    """
    layers = list(nvfp4_layers(model))
    with _moments(layers, nvfp4.BLOCK_SIZE) as moments:
        forward(model)
    with ProgressBar("search", sum(module.weight.numel() for module, _ in layers), "weight") as progress:
        for module, quantizer in layers:
            amax = quantizer.amax.float()
            scales = search_weighted(module.weight, nvfp4.global_scale(amax), moments.pop(id(module)))
            set_searched(quantizer, scales, amax)
            progress.add(module.weight.numel())


@torch.no_grad()
def gptq(model: Any, forward: Callable[[Any], None]) -> None:
    """Quantise all NVFP4 weights by GPTQ, in place; see `local_hessian` for the arguments.

    Block scales come from the sweep of `nvfp4_search`, before any column is changed.

    Raises:
        UsageError: an NVFP4 layer is outside of the decoder layers.
    """
    decoder = _decoder_layers(model)
    inputs, keywords = _layer_inputs(decoder, forward, model)
    with ProgressBar("gptq", len(decoder), "layer") as progress:
        for layer, each in zip(decoder, keywords, strict=True):
            inside = list(nvfp4_layers(layer))
            if inside:
                with _moments(inside, None) as moments:
                    _run(layer, inputs, each)
                for module, quantizer in inside:
                    amax = quantizer.amax.float()
                    weight, scales = gptq_weight(module.weight, nvfp4.global_scale(amax), moments.pop(id(module)))
                    module.weight.copy_(weight)
                    set_searched(quantizer, scales, amax)
            inputs = _run(layer, inputs, each)
            progress.add(1)


def _decoder_layers(model: Any) -> list[Any]:
    """The decoder layers in their order: the list of modules that holds all NVFP4 weights."""
    wanted = {id(module) for module, _ in nvfp4_layers(model)}
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and wanted <= {id(each) for each in module.modules()}:
            return list(module)
    raise UsageError("algorithm gptq: an NVFP4 layer is outside of the decoder layers; keep it in bf16, or take mse")


def _layer_inputs(
    decoder: Sequence[Any], forward: Callable[[Any], None], model: Any
) -> tuple[list[Tensor], list[list[dict[str, Any]]]]:
    """What the first decoder layer gets, a tensor a sequence, and the other arguments of every layer.

    The layers pass their input on unchanged meanwhile, so that this costs no more than the embedding.
    """
    inputs: list[Tensor] = []
    keywords: list[list[dict[str, Any]]] = [[] for _ in decoder]

    def noting(index: int) -> Callable[..., Tensor]:
        def passed_on(hidden_states: Tensor, **kwargs: Any) -> Tensor:
            if index == 0:
                inputs.append(hidden_states)
            keywords[index].append(kwargs)
            return hidden_states

        return passed_on

    for index, layer in enumerate(decoder):
        layer.forward = noting(index)
    try:
        forward(model)
    finally:
        for layer in decoder:
            del layer.forward
    return inputs, keywords


def _run(layer: Any, inputs: Sequence[Tensor], keywords: Sequence[dict[str, Any]]) -> list[Tensor]:
    outputs = [layer(hidden, **each) for hidden, each in zip(inputs, keywords, strict=True)]
    return [output[0] if isinstance(output, tuple) else output for output in outputs]


def gptq_weight(weight: Tensor, scale: Tensor, moments: Tensor) -> tuple[Tensor, Tensor]:
    """One weight by GPTQ.

    Args:
        weight: `(out, in)`, in a multiple of 16.
        scale: its global scale, float32 scalar.
        moments: `X' X` of its inputs, float32 `(in, in)`.

    Returns:
        The dequantised weight, float32 `(out, in)`, and its block scales, float8_e4m3fn `(out, in / 16)`.
    """
    left = weight.detach().float().clone()
    scales = search_scales(left, scale, "mse")
    steps = scales.float() * scale
    quantized = torch.empty_like(left)
    factor = _inverse_factor(moments)
    for start in range(0, left.shape[1], nvfp4.BLOCK_SIZE):
        end = start + nvfp4.BLOCK_SIZE
        block, step = left[:, start:end].contiguous(), steps[:, start // nvfp4.BLOCK_SIZE]
        errors = torch.empty_like(block)
        for column in range(nvfp4.BLOCK_SIZE):
            row = factor[start + column, start:end]
            values = block[:, column]
            rounded = nvfp4.round_e2m1(values / step) * step
            error = (values - rounded) / row[column]
            block[:, column:] -= error.outer(row[column:])
            quantized[:, start + column], errors[:, column] = rounded, error
        left[:, end:] -= errors @ factor[start:end, end:]
    return quantized, scales


def _inverse_factor(moments: Tensor) -> Tensor:
    """The upper Cholesky factor of the inverse of damped moments; an input that was always zero costs nothing."""
    damped = moments.clone()
    diagonal = damped.diagonal()
    diagonal += DAMPING * diagonal.mean()
    diagonal[diagonal == 0] = 1.0
    lower = torch.linalg.cholesky(damped)
    return torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)

"""Searches the block scales of NVFP4 weights with the smallest squared error.

Both searches choose one E4M3 scale per block. The result is plain NVFP4, which servers load like any other.

*Sweep* (ModelOpt's `mse` with `fp8_scale_sweep`): the best of all 126 positive E4M3 values. Only few of them have
to be tried. Let s be the smallest scale with which nothing saturates. All values of the grid of 2 s up to the block's
largest value are in the grid of s, so a scale of 2 s or more is never better than half of it. Below s, the largest
value alone has an error of `(amax - 6 s)**2`, which soon exceeds the smallest error found. The error is that of
float32 products; ModelOpt first rounds them to the weight's dtype, so of two scales that are nearly equal it may
choose the other.

*Four over six* (Cook et al., arXiv 2512.02010): the largest value of a block becomes 6 or 4, whichever gives the
smaller error. For 4 a block needs a scale 1.5 times as large, so the tensor's scale is made for block scales of up to
256 instead of 448.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from quant.formats import nvfp4, nvfp4_native

Search = Literal["mse", "four_over_six"]

#: Largest block scale with four over six, before the factor of 1.5.
FOUR_OVER_SIX_MAX = 256.0
_LARGEST_CODE = 126  # E4M3's code of 448; codes of positive values grow with them
_OCTAVES = 16  # two octaves of E4M3 codes, eight each
_CHUNK = 2**17  # elements searched at a time: they stay in the cache


def global_amax(amax: Tensor, search: Search) -> Tensor:
    """The argument for `nvfp4.global_scale`, for a tensor whose largest magnitude is `amax`; one element."""
    return amax * (nvfp4.E4M3_MAX / FOUR_OVER_SIX_MAX) if search == "four_over_six" else amax


@torch.no_grad()
def search_scales(weight: Tensor, scale: Tensor, search: Search) -> Tensor:
    """The E4M3 scale of each block with the smallest squared error; of equals that of max, then the closest to it.

    Args:
        weight: `(..., K)` float32, bfloat16 or float16, K a multiple of 16.
        scale: the tensor's global scale, float32 scalar.
        search: see the module.

    Returns:
        float8_e4m3fn, `(..., K / 16)`, in [2**-9, 448]; for a block of zeros the scale of max.

    Raises:
        ValueError: K is no multiple of 16.
        TypeError: `weight` has another dtype.
    """
    start = nvfp4.block_scales(weight, scale)
    if search == "mse" and (native := nvfp4_native.sweep(weight.detach(), start, scale.item())) is not None:
        return native
    find = _sweep if search == "mse" else _four_or_six
    blocks = weight.detach().reshape(-1, nvfp4.BLOCK_SIZE).split(_CHUNK // nvfp4.BLOCK_SIZE)
    codes = start.view(torch.uint8).flatten().split(_CHUNK // nvfp4.BLOCK_SIZE)
    found = [find(x.float() / scale, code.int()) for x, code in zip(blocks, codes, strict=True)]
    return torch.cat(found).to(torch.uint8).view(torch.float8_e4m3fn).reshape(start.shape)


@torch.no_grad()
def search_weighted(weight: Tensor, scale: Tensor, moments: Tensor) -> Tensor:
    """The E4M3 scale of each block with the least error of the layer's output, up to two octaves around that of max.

    ModelOpt tries all 126 values. A scale of more than four times that of max rounds most of a block to zero, and one
    of less than a quarter cuts most of it off.

    Args:
        weight: `(out, in)` float32, bfloat16 or float16, in a multiple of 16.
        scale: the tensor's global scale, float32 scalar.
        moments: `X' X` over the inputs of each block, float32 `(in / 16, 16, 16)`.

    Returns:
        float8_e4m3fn, `(out, in / 16)`; of equals the one nearest to that of max, then the smaller.
    """
    start = nvfp4.block_scales(weight, scale)
    rows = max(1, _CHUNK // weight.shape[1])
    found = []
    for part, codes in zip(weight.detach().split(rows), start.view(torch.uint8).split(rows), strict=True):
        x = part.float().reshape(len(part), -1, nvfp4.BLOCK_SIZE).transpose(0, 1) / scale
        own = codes.int().transpose(0, 1)
        best, least = own.clone(), _weighted_error(x, own, moments)
        for offset in sorted(range(-_OCTAVES, _OCTAVES + 1), key=abs)[1:]:
            tried = own + offset
            error = _weighted_error(x, tried.clamp(1, _LARGEST_CODE), moments)
            better = (error < least) & (tried >= 1) & (tried <= _LARGEST_CODE)
            best, least = torch.where(better, tried, best), torch.where(better, error, least)
        found.append(best.transpose(0, 1))
    return torch.cat(found).to(torch.uint8).view(torch.float8_e4m3fn)


def _weighted_error(x: Tensor, codes: Tensor, moments: Tensor) -> Tensor:
    scales = _value(codes)[..., None]
    error = nvfp4.round_e2m1(x / scales) * scales - x
    return (error @ moments * error).sum(-1)


def _value(codes: Tensor) -> Tensor:
    return codes.to(torch.uint8).view(torch.float8_e4m3fn).float()


def _error(x: Tensor, codes: Tensor) -> Tensor:
    scales = _value(codes)[..., None]
    error = (nvfp4.round_e2m1(x / scales) * scales - x).square_()
    for half in (8, 4, 2, 1):  # a fixed order of summation, so that all machines get the same result
        error = error[..., :half] + error[..., half:]
    return error[..., 0]


def _four_or_six(x: Tensor, six: Tensor) -> Tensor:
    amax = x.abs().amax(-1)
    four = (amax / 4).clamp(nvfp4.E4M3_MIN, nvfp4.E4M3_MAX).to(torch.float8_e4m3fn).view(torch.uint8).int()
    return torch.where(_error(x, four) < _error(x, six), four, six)


def _sweep(x: Tensor, start: Tensor) -> Tensor:
    best, error = start.clone(), _error(x, start)
    amax = x.abs().amax(-1)

    def attempt(offset: int, worth: Callable[[Tensor], Tensor]) -> bool:
        codes = start + offset
        tried = (codes >= 1) & (codes <= _LARGEST_CODE) & worth(codes)
        rows = tried.nonzero().flatten()
        if len(rows) == 0:
            return False
        if len(rows) == len(codes):  # no copy needed
            new = _error(x, codes)
            better = new < error
            torch.where(better, codes, best, out=best)
            torch.minimum(new, error, out=error)
            return True
        new = _error(x[rows], codes[rows])
        better = new < error[rows]
        best[rows[better]], error[rows[better]] = codes[rows[better]], new[better]
        return True

    # `start` is rounded to the nearest, so the smallest scale without saturation is `start` or the next. From code 16
    # on (2**-5), half of a scale is also a scale; for smaller codes, all scales up to there are tried.
    largest = (start + 8).clamp(min=15)
    offset = 1
    while attempt(offset, lambda codes: codes <= largest):
        offset += 1
    offset = -1
    while attempt(offset, lambda codes: (amax - nvfp4.E2M1_MAX * _value(codes.clamp(min=1))).square() < error):
        offset -= 1
    return best

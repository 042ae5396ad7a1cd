"""NVFP4, the 4-bit floating-point format of NVIDIA's Blackwell GPUs, in plain torch.

The format
----------
A tensor is cut along its last dimension into blocks of 16 elements. Each element is stored as E2M1, each
block has a scale stored as E4M3, and the whole tensor has one scale stored as FP32::

    value = E2M1(element) * E4M3(block scale) * FP32(global scale)            4 + 8/16 = 4.5 bits a weight

*E2M1* has one sign bit, two exponent bits and one mantissa bit. The code is ``s eem``, and the eight magnitudes are

    ====== === === === === === === === ===
    code     0   1   2   3   4   5   6   7
    value    0  .5   1 1.5   2   3   4   6
    ====== === === === === === === === ===

There is no infinity and no NaN. The distance between neighbours is 0.5 below 2, 1 below 4 and 2 above, so rounding is
to the nearest multiple of that step, and a tie goes to the even code: .25 -> 0, .75 -> 1, 1.25 -> 1, 1.75 -> 2,
2.5 -> 2, 3.5 -> 4, 5 -> 4. What lies beyond 6 saturates. Two codes share a byte, the even element in the low nibble.

*The block scale* maps the largest magnitude of the block onto 6, the largest E2M1 value. It is held in E4M3 (four
exponent bits, three mantissa bits, largest value 448, smallest positive value 2**-9). Because this range is narrow,
there is also a global scale.

*The global scale* maps the largest magnitude of the tensor, ``amax``, onto the largest block scale times the
largest element::

    global_scale = amax / (6 * 448)
    block_scale  = E4M3(clamp(block_amax / (6 * global_scale), 2**-9, 448))      an all-zero block has 1
    element      = E2M1(x / (block_scale * global_scale))

For a weight, ``amax`` is frozen at calibration and the block scales follow the weight as it trains. For an
activation, ``amax`` is a calibrated constant (static) or is taken from the tensor itself (dynamic); the block
scales are always dynamic. Projections that the server fuses (q/k/v, gate/up) must share one ``amax``.

There is only one zero here: values that round to zero become +0.0, as in ModelOpt's dequantisation. The packed code of
a small negative value is still 8 (minus zero), as in ModelOpt; vLLM unpacks it to -0.0, which is equal to +0.0.

An ``amax`` of zero, from a tensor that was always zero during calibration, counts as 6: ModelOpt's export replaces the
zero of an activation by that number, and a global scale of zero would lead to a division by zero.

Agreement with others
---------------------
Bit for bit the same as ModelOpt's packing and dequantisation (``NVFP4QTensor`` in
``modelopt/torch/quantization/qtensor/nvfp4_tensor.py``), and as vLLM's dequantisation (``dequantize_to_dtype`` in
``vllm/model_executor/layers/quantization/utils/nvfp4_emulation_utils.py``). A CPU and a GPU may differ in the last
place of the global scale: torch divides by 2688 on a CPU and multiplies by its reciprocal on a GPU. ModelOpt's export
uses torch and behaves in the same way.

ModelOpt's Triton kernel for training on a GPU (``fp4_kernel_hopper.py``) is not its export. Blocks of tiny values
become zero there: where ``block_scale * global_scale`` is below 1e-5 it uses 1 instead, and it does not clamp the
block scale from below. And its division is approximate, so that a quotient on a tie may round the other way,
for an element or for the scale of a block; bfloat16 tensors, whose numbers are coarse, have such ties
(``python tests/gpu/test_nvfp4_triton.py`` counts them). Therefore training on a GPU uses this module's forward pass,
which agrees with the export, and not ModelOpt's.

The format is described in NVIDIA, "Pretraining Large Language Models with NVFP4", arXiv 2509.25149, section 2, and
E2M1 in the OCP Microscaling Formats (MX) Specification v1.0, section 5.3.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from quant.formats import nvfp4_native

BLOCK_SIZE = 16
"""Elements that share one block scale."""

E2M1_MAX = 6.0
E4M3_MAX = 448.0
E4M3_MIN = 2.0**-9
"""Smallest positive E4M3 value. A block scale is never smaller; otherwise it would round to zero."""

E2M1_VALUES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Magnitude of the codes 0 to 7; the codes 8 to 15 are their negatives."""

_FLOAT_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_SMALLEST_FLOAT32 = 2.0**-149


class NVFP4Tensor(NamedTuple):
    """A quantised tensor of shape ``(..., K)``, in the layout of a ModelOpt checkpoint.

    Attributes:
        packed: uint8, ``(..., K / 2)``; element ``2 i`` in the low nibble of byte ``i``. On disk: ``weight``.
        block_scale: float8_e4m3fn, ``(..., K / 16)``. On disk: ``weight_scale``.
        global_scale: float32, a scalar. On disk: ``weight_scale_2``.
    """

    packed: Tensor
    block_scale: Tensor
    global_scale: Tensor


def global_scale(amax: Tensor) -> Tensor:
    """FP32 scale of a whole tensor: ``amax / (6 * 448)``.

    Args:
        amax: largest magnitude of the tensor, one element, any floating dtype; zero counts as 6.

    Returns:
        float32 scalar on the device of ``amax``.

    Raises:
        ValueError: ``amax`` has more than one element.
    """
    amax = _one_element(amax).float()
    scale = torch.where(amax == 0, E2M1_MAX, amax) / (E2M1_MAX * E4M3_MAX)
    return scale.clamp_min(_SMALLEST_FLOAT32)  # below 1e-42 the quotient is 0, and a scale of 0 divides by zero


def block_scales(x: Tensor, scale: Tensor) -> Tensor:
    """E4M3 scale of every block of 16.

    Args:
        x: ``(..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        scale: the tensor's global scale, float32 scalar.

    Returns:
        float8_e4m3fn, ``(..., K / 16)``: in [2**-9, 448], and 1 for a block of zeros.

    Raises:
        ValueError: K is no multiple of 16.
        TypeError: ``x`` has another dtype.
    """
    _check(x)
    block_amax = x.detach().unflatten(-1, (-1, BLOCK_SIZE)).abs().amax(-1).float()
    unrounded = block_amax / (E2M1_MAX * scale)
    unrounded = torch.where(unrounded == 0, 1.0, unrounded)
    return unrounded.clamp(E4M3_MIN, E4M3_MAX).to(torch.float8_e4m3fn)


def round_e2m1(y: Tensor) -> Tensor:
    """Round to the nearest E2M1 value; ties go to the even code, magnitudes beyond 6 to 6.

    Adding and subtracting ``1.5 * 2**23 * step`` leaves a float32 rounded to a multiple of ``step``, because at that
    size ``step`` is the last place; the step follows from the exponent bits of ``y``.

    Args:
        y: float32, any shape, already divided by its scale. NaN stays NaN.

    Returns:
        float32 of the same shape; zero is +0.0.
    """
    y = y.clamp(-E2M1_MAX, E2M1_MAX)
    exponent = (y.view(torch.int32) & 0x7F800000).clamp_min(0x3F800000)  # of |y|, or of 1 for smaller values
    magic = (exponent + ((22 << 23) | 0x400000)).view(torch.float32)  # 1.5 * 2**(22 + exponent)
    return (y + magic) - magic


def pack(codes: Tensor) -> Tensor:
    """Put two 4-bit codes in a byte, the even element in the low nibble.

    Args:
        codes: uint8 ``(..., K)`` with values 0 to 15, K even.

    Returns:
        uint8 ``(..., K / 2)``.
    """
    return (codes[..., 1::2] << 4) | codes[..., 0::2]


def unpack(packed: Tensor) -> Tensor:
    """Inverse of :func:`pack`: uint8 ``(..., K / 2)`` -> uint8 codes ``(..., K)``."""
    return torch.stack((packed & 0x0F, packed >> 4), dim=-1).flatten(-2)


def fake_quantize_scaled(x: Tensor, scales: Tensor, scale: Tensor) -> Tensor:
    """Fake quantisation with given block scales; the gradient passes straight through.

    Args:
        x: ``(..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        scales: float8_e4m3fn block scales, ``(..., K / 16)``; larger values saturate.
        scale: global scale, float32 scalar.

    Returns:
        Of the shape and dtype of ``x``.
    """
    _check(x)
    result: Tensor = _ScaledStraightThrough.apply(x, scales, scale)
    return result


class _ScaledStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scales: Tensor, scale: Tensor) -> Tensor:
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            native = nvfp4_native.fake_quantize_scaled(x.detach(), scales, scale.item())
            if native is not None:
                return native
        return _fake_quantize(x, scales, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        return grad_outputs[0], None, None


def quantize(x: Tensor, amax: Tensor | None = None) -> NVFP4Tensor:
    """Quantise and pack, bit for bit as ModelOpt's export does.

    Args:
        x: ``(..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        amax: largest magnitude that the global scale is made for, one element; ``None`` takes that of ``x``.

    Returns:
        The packed codes with their block scales and global scale.

    Raises:
        ValueError: K is no multiple of 16, or ``amax`` has more than one element.
        TypeError: ``x`` has another dtype.
    """
    x = x.detach()
    _check(x)
    scale = global_scale(x.abs().amax() if amax is None else amax.to(x.device))
    scales = block_scales(x, scale)
    y = x.unflatten(-1, (-1, BLOCK_SIZE)).float() / (scales.float() * scale).unsqueeze(-1)
    y = y.flatten(-2).nan_to_num(nan=E2M1_MAX)
    values = torch.tensor(E2M1_VALUES, device=x.device)
    codes = torch.searchsorted(values, round_e2m1(y).abs()).to(torch.uint8)
    return NVFP4Tensor(pack(codes | ((y < 0).to(torch.uint8) << 3)), scales, scale)


def dequantize(tensor: NVFP4Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Dequantise a packed tensor; computed in float32, rounded once to ``dtype``.

    Args:
        tensor: packed ``(..., K / 2)``, block scales ``(..., K / 16)``, global scale.
        dtype: of the result.

    Returns:
        ``(..., K)`` of ``dtype``.
    """
    values = torch.tensor((*E2M1_VALUES, 0.0, *(-v for v in E2M1_VALUES[1:])), device=tensor.packed.device)
    elements = values[unpack(tensor.packed).int()].unflatten(-1, (-1, BLOCK_SIZE))
    scale = tensor.block_scale.float() * tensor.global_scale
    return (elements * scale.unsqueeze(-1)).flatten(-2).to(dtype)


def fake_quantize_reference(x: Tensor, scale: Tensor) -> Tensor:
    """``dequantize(quantize(x))`` in one step and without a gradient: the definition that faster code must equal.

    Args:
        x: ``(..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        scale: global scale, float32 scalar.

    Returns:
        Of the shape and dtype of ``x``.
    """
    return _fake_quantize(x, block_scales(x, scale), scale)


def _fake_quantize(x: Tensor, block_scale: Tensor, scale: Tensor) -> Tensor:
    scales = (block_scale.float() * scale).unsqueeze(-1)
    # Only a denormal global scale can make the product zero; 0 / 0 must not become NaN then.
    y = x.detach().unflatten(-1, (-1, BLOCK_SIZE)).float() / scales.clamp_min(_SMALLEST_FLOAT32)
    return (round_e2m1(y) * scales).flatten(-2).to(x.dtype)


def fake_quantize(x: Tensor, amax: Tensor | None = None, *, clip_gradient: bool = False) -> Tensor:
    """Quantise and dequantise, with a gradient: the forward pass of quantisation-aware training.

    The value is exactly ``dequantize(quantize(x, amax), x.dtype)``. Rounding has no useful derivative, so the gradient
    passes straight through (Bengio et al., arXiv 1308.3432): identity by default, because with block scales that
    follow ``x`` hardly anything is clipped; with ``clip_gradient`` it is zero where ``|x| > amax``.

    Args:
        x: ``(..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        amax: frozen largest magnitude, one element (static); ``None`` takes that of ``x`` (dynamic).
        clip_gradient: zero the gradient of elements beyond ``amax``.

    Returns:
        Of the shape and dtype of ``x``; every value is one that the packed format can hold.

    Raises:
        ValueError: K is no multiple of 16, or ``amax`` has more than one element.
        TypeError: ``x`` has another dtype.
    """
    _check(x)
    if x.numel() == 0:
        return x
    amax = x.detach().abs().amax() if amax is None else _one_element(amax).to(x.device)
    result: Tensor = _StraightThrough.apply(x, amax, clip_gradient)
    return result


@torch.no_grad()
def fake_quantize_stack(x: Tensor, amax: Tensor) -> Tensor:
    """`fake_quantize` of many tensors of one shape, each with its own ``amax``, without a gradient.

    One kernel launch on a GPU; on a CPU one call per tensor, where calls are cheap.

    Args:
        x: ``(L, ..., K)`` float32, bfloat16 or float16, K a multiple of 16.
        amax: ``(L,)``.

    Returns:
        Of the shape and dtype of ``x``; slice i is, bit for bit, ``fake_quantize(x[i], amax[i])``.

    Raises:
        ValueError: K is no multiple of 16, or ``amax`` does not have one element per slice.
        TypeError: ``x`` has another dtype.
    """
    _check(x)
    if x.dim() < 2 or amax.shape != x.shape[:1]:
        raise ValueError(f"a stack of {tuple(x.shape)} needs one amax per slice, got shape {tuple(amax.shape)}")
    if x.numel() == 0:
        return x
    amax = amax.to(x.device)
    if x.device.type == "cuda":
        from quant.formats import nvfp4_triton

        return nvfp4_triton.fake_quantize_stack(x, amax)
    return torch.stack([fake_quantize(each, own) for each, own in zip(x, amax, strict=True)])


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, amax: Tensor, clip_gradient: bool) -> Tensor:
        ctx.clip_gradient = clip_gradient
        if clip_gradient:
            ctx.save_for_backward(x.detach().abs() <= amax.to(x.dtype))
        if x.device.type == "cuda":
            from quant.formats import nvfp4_triton

            return nvfp4_triton.fake_quantize(x.detach(), amax)
        scale = global_scale(amax)
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            native = nvfp4_native.fake_quantize("export", x.detach(), scale.item())
            if native is not None:
                return native
        return fake_quantize_reference(x, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None]:
        (grad,) = grad_outputs
        if ctx.clip_gradient:
            (inside,) = ctx.saved_tensors
            grad = grad * inside
        return grad, None, None


def _check(x: Tensor) -> None:
    if x.dtype not in _FLOAT_DTYPES:
        raise TypeError(f"NVFP4 quantises float32, bfloat16 or float16, got {x.dtype}")
    if x.dim() == 0 or x.shape[-1] % BLOCK_SIZE:
        raise ValueError(f"NVFP4 needs a last dimension that is a multiple of {BLOCK_SIZE}, got {tuple(x.shape)}")


def _one_element(amax: Tensor) -> Tensor:
    if amax.numel() != 1:
        raise ValueError(f"amax must have one element for NVFP4, got shape {tuple(amax.shape)}")
    return amax.detach().reshape(())

"""Fast quantised linear layers for training, with the same results as ModelOpt's modules.

ModelOpt's modules decide in Python at every call what a quantiser does, and autograd computes the gradient of
`weight + scaling * B @ A` through a gradient of the full weight. Here the forward pass is

    y = Qx(x) @ Qw(W + scaling * B @ A)^T + bias

with straight-through gradients of both Q, so the adapter's gradients need no gradient of the weight:

    dB = scaling * dy^T (Qx(x) A^T)        dA = scaling * (dy B)^T Qx(x)

which is the same amount of work as LoRA without quantisation. The modules use the model's own parameters and its
quantisers' amax; `installed` puts them into a model while it trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from quant.formats import fp8, nvfp4
from quant.formats.fused import fused_groups

Kind = Literal["none", "nvfp4", "fp8"]


@torch.library.custom_op("annie_quant::nvfp4", mutates_args=())
def _nvfp4(x: Tensor, amax: Tensor) -> Tensor:
    """`quant.formats.nvfp4.fake_quantize` as one opaque call for compilers; its gradient is the identity."""
    found = nvfp4.fake_quantize(x.detach(), amax)
    return found.clone() if found is x else found


@_nvfp4.register_fake
def _(x: Tensor, amax: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _straight_through(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    return grad, None


_nvfp4.register_autograd(_straight_through)


def fake_quantize(x: Tensor, amax: Tensor, kind: Kind, *, weight: bool, traced: bool = False) -> Tensor:
    """Quantise and dequantise; the gradient passes straight through. `kind` "none" returns `x` itself.

    With `traced` a compiler sees NVFP4's Triton kernel and launches it itself, which takes microseconds; an opaque
    call takes a tenth of a millisecond. On a CPU there is no such kernel.
    """
    if kind == "nvfp4":
        if traced and x.device.type == "cuda":
            return nvfp4.fake_quantize(x, amax)
        found: Tensor = _nvfp4(x, amax)
        return found
    return fp8.fake_quantize(x, amax, weight=weight) if kind == "fp8" else x


class _LoRALinear(torch.autograd.Function):
    """`x @ weight^T + bias`, where `weight` includes the adapter, and only the adapter gets a gradient."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scaling = scaling
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (grad,) = grad_outputs
        x, weight, a, b = ctx.saved_tensors
        flat, flat_x = grad.flatten(0, -2), x.flatten(0, -2)
        narrow_a, narrow_b = a.to(x.dtype), b.to(x.dtype)
        grad_b = flat.T @ (flat_x @ narrow_a.T)
        grad_a = (flat @ narrow_b).T @ flat_x
        return grad @ weight, None, None, grad_a.to(a.dtype) * ctx.scaling, grad_b.to(b.dtype) * ctx.scaling, None


def merged_weight(weight: Tensor, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """`weight + scaling * b @ a` in float64, rounded once to the weight's dtype, so that all machines get the same
    result.

    The factors are BF16 values: a product has 16 bits, so a sum of a few dozen is exact unless exponents differ
    widely.
    """
    return (weight.double() + scaling * (b.double() @ a.double())).to(weight.dtype)


class SharedInput:
    """The quantised input of layers with the same input: the first layer computes it, the last one releases it.

    A compiler does not see that two launches of a Triton kernel compute the same, so they are shared explicitly.
    """

    def __init__(self, users: int) -> None:
        self.users, self.left = users, 0
        self.x: Tensor | None = None
        self.quantized: Tensor | None = None

    def of(self, layer: TrainedLinear, x: Tensor) -> Tensor:
        """`layer.quantized_input(x)`, computed once for all users."""
        if self.quantized is None or self.x is not x:
            self.x, self.quantized, self.left = x, layer.quantized_input(x), self.users
        found = self.quantized
        self.left -= 1
        if self.left == 0:
            self.x = self.quantized = None
        return found


class TrainedLinear(nn.Module):
    """A linear layer as it will be served: quantised weight that includes the adapter, quantised input.

    Attributes:
        weight: `(out, in)`, the base weight; trained itself if there is no adapter and it requires a gradient.
        lora_a, lora_b: float32 `(rank, in)` and `(out, rank)`, or None.
        weight_amax, input_amax: one element each.
        settled: training is over, and the adapter is merged in float64, like `merge` does.
        weight_scales: uint8 codes of searched E4M3 block scales `(out, in / 16)`, which stay fixed, or None.
        prepared: `quantized_weight()`, if quant.training.stacked keeps it up to date; None after `settled`.
        shared: the shared quantised input, if other layers have the same input.
        traced: for the input, see `fake_quantize`.
    """

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, lora: tuple[nn.Parameter, nn.Parameter] | None,
                 scaling: float, weight_kind: Kind, weight_amax: Tensor, input_kind: Kind, input_amax: Tensor,
                 weight_scales: Tensor | None = None) -> None:  # fmt: skip
        super().__init__()
        self.weight, self.bias = weight, bias
        self.lora_a: nn.Parameter | None
        self.lora_b: nn.Parameter | None
        self.lora_a, self.lora_b = lora or (None, None)
        self.scaling, self.weight_kind, self.input_kind = scaling, weight_kind, input_kind
        self.settled, self.traced = False, False
        self.prepared: Tensor | None = None
        self.shared: SharedInput | None = None
        self.register_buffer("weight_amax", weight_amax, persistent=False)
        self.register_buffer("input_amax", input_amax, persistent=False)
        self.register_buffer("weight_scales", weight_scales, persistent=False)
        self.weight_amax: Tensor
        self.input_amax: Tensor
        self.weight_scales: Tensor | None

    def effective_weight(self) -> Tensor:
        """Weight with merged adapter, rounded once to the weight's dtype: what the export packs."""
        if self.lora_a is None or self.lora_b is None:
            return self.weight
        if self.settled:
            return merged_weight(self.weight, self.lora_a, self.lora_b, self.scaling)
        delta = (self.lora_b * self.scaling) @ self.lora_a
        return (self.weight.float() + delta).to(self.weight.dtype)

    def quantized_weight(self) -> Tensor:
        """The quantised weight that the forward pass uses."""
        return self.quantized(self.effective_weight())

    def quantized(self, weight: Tensor) -> Tensor:
        """`weight` as it is served in this layer."""
        if self.weight_scales is None:
            return fake_quantize(weight, self.weight_amax, self.weight_kind, weight=True)
        scales = self.weight_scales.view(torch.float8_e4m3fn)
        return nvfp4.fake_quantize_scaled(weight, scales, nvfp4.global_scale(self.weight_amax))

    def quantized_input(self, x: Tensor) -> Tensor:
        """The quantised input that the forward pass uses."""
        return fake_quantize(x, self.input_amax, self.input_kind, weight=False, traced=self.traced)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in)` -> `(..., out)`."""
        x = self.quantized_input(x) if self.shared is None else self.shared.of(self, x)
        if self.lora_a is None or self.lora_b is None:
            return nn.functional.linear(x, self.quantized_weight(), self.bias)
        if self.prepared is not None and not self.settled:
            weight = self.prepared
        else:
            with torch.no_grad():
                weight = self.quantized_weight()
        found: Tensor = _LoRALinear.apply(x, weight, self.bias, self.lora_a, self.lora_b, self.scaling)
        return found


@dataclass(frozen=True)
class _Place:
    parent: nn.Module
    child: str
    original: nn.Module


def _kind(quantizer: Any) -> Kind:
    if quantizer is None or not quantizer.is_enabled:
        return "none"
    return "nvfp4" if quantizer.block_sizes else "fp8"


def _amax(quantizer: Any, kind: Kind, like: Tensor) -> Tensor:
    if kind == "none":
        return torch.zeros((), device=like.device)
    from quant.quantize.modelopt_backend import global_scale_amax

    return global_scale_amax(quantizer).to(like.device)


def _scales(quantizer: Any, kind: Kind, weight: Tensor) -> Tensor | None:
    if kind != "nvfp4":
        return None
    from quant.quantize.modelopt_backend import is_searched, searched_scales

    if not is_searched(quantizer):
        return None
    return searched_scales(quantizer, weight).to(weight.device).view(torch.uint8)


def _trained(module: Any) -> TrainedLinear | None:
    """The replacement of a ModelOpt or peft module; None if it is neither quantised nor adapted."""
    base = module.base_layer if hasattr(module, "base_layer") else module
    adapted = hasattr(module, "lora_A") and "default" in module.lora_A
    kinds = [_kind(getattr(module, f"{which}_quantizer", None)) for which in ("weight", "input")]
    if not isinstance(base, nn.Linear) or not (adapted or any(kind != "none" for kind in kinds)):
        return None
    weight: Any = base.weight
    lora = (module.lora_A["default"].weight, module.lora_B["default"].weight) if adapted else None
    return TrainedLinear(
        weight, base.bias, lora, float(module.scaling["default"]) if adapted else 1.0,
        kinds[0], _amax(getattr(module, "weight_quantizer", None), kinds[0], weight),
        kinds[1], _amax(getattr(module, "input_quantizer", None), kinds[1], weight),
        _scales(getattr(module, "weight_quantizer", None), kinds[0], weight),
    )  # fmt: skip


def _plain(module: Any) -> nn.Module | None:
    """A ModelOpt module that quantises nothing, as its original class; None for any other module.

    It has the same parameters, buffers and children, except for the quantisers. ModelOpt's classes look up attributes
    through callbacks that torch.compile cannot trace.
    """
    if not hasattr(module, "_dm_attribute_manager"):  # checks for ModelOpt's classes without importing it
        return None
    from modelopt.torch.quantization.nn import TensorQuantizer

    children: dict[str, nn.Module] = module._modules
    quantizers = {name for name, child in children.items() if isinstance(child, TensorQuantizer)}
    if any(getattr(children[name], "is_enabled", False) for name in quantizers):
        return None
    original: type[nn.Module] = module.get_original_cls_by_level(level=0)
    twin = original.__new__(original)
    vars(twin).update({name: value for name, value in vars(module).items() if name != "_dm_attribute_manager"})
    vars(twin)["_modules"] = {name: child for name, child in children.items() if name not in quantizers}
    return twin


@contextmanager
def installed(model: nn.Module) -> Iterator[dict[str, TrainedLinear]]:
    """Replace every quantised or adapted linear layer of `model`; the originals are restored at the end.

    Other modules that ModelOpt has wrapped without quantising them (a linear layer in BF16, a convolution, an
    attention block) are replaced by their original classes, so that a compiler sees none of ModelOpt's modules.

    Args:
        model: the base model, with or without peft's layers.

    Yields the replacements of linear layers by module name. They share the parameters of the originals.
    """
    places: list[_Place] = []
    found: dict[str, TrainedLinear] = {}
    inside: list[str] = []
    for name, module in list(model.named_modules()):
        if not name or name.startswith(tuple(inside)):
            continue
        trained = _trained(module)
        new = trained if trained is not None else _plain(module)
        if new is None:
            continue
        parent_name, _, child = name.rpartition(".")
        parent = model.get_submodule(parent_name)
        places.append(_Place(parent, child, module))
        if trained is not None:
            found[name] = trained
            inside.append(f"{name}.")  # peft's adapters and its base layer
        setattr(parent, child, new)
    try:
        yield found
    finally:
        for place in reversed(places):
            setattr(place.parent, place.child, place.original)


def share_inputs(model: nn.Module, *, traced: bool = False) -> None:
    """Let the layers of a fused group use the same tensor as amax of their common input.

    The values are equal already. With one tensor a compiler sees that q/k/v, or gate/up, quantise the same input with
    the same scale, and does it once. With `traced` inputs it does not see this, and the layers share the quantised
    input.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, TrainedLinear)}
    for layer in layers.values():
        layer.traced, layer.shared = traced, None
    for members in fused_groups(layers).values():
        first = layers[members[0]]
        users = [first]
        for other in (layers[name] for name in members[1:]):
            if other.input_kind == first.input_kind and torch.equal(other.input_amax, first.input_amax):
                other.input_amax = first.input_amax
                users.append(other)
        if traced and len(users) > 1 and first.input_kind == "nvfp4":
            shared = SharedInput(len(users))
            for user in users:
                user.shared = shared


def lift_quantizers(model: Any) -> None:
    """Move the quantisers of layers that had none of peft's adapters when they were quantised: around the adapter."""
    for module in model.modules():
        base = getattr(module, "base_layer", None)
        for which in ("input_quantizer", "weight_quantizer", "output_quantizer"):
            if base is not None and hasattr(base, which):
                setattr(module, which, getattr(base, which))


@torch.no_grad()
def merge_adapters(model: Any, trained: dict[str, TrainedLinear]) -> Any:
    """Write the effective weights into the base layers, move the quantisers there, and remove peft.

    peft's own merge rounds differently from the forward pass, and a difference in the last place can change FP4
    values.

    Args:
        model: a peft model with its original layers.
        trained: the result of `installed`.

    Returns:
        The base model, with ModelOpt's quantisers on plain layers.
    """
    modules = dict(model.get_base_model().named_modules())
    for name, layer in trained.items():
        if layer.lora_a is None:
            continue
        module: Any = modules[name]
        base = module.base_layer
        base.weight.copy_(layer.effective_weight())
        for which in ("input_quantizer", "weight_quantizer", "output_quantizer"):
            if hasattr(module, which):
                setattr(base, which, getattr(module, which))
    return model.unload()

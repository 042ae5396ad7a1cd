"""The fast layers equal ModelOpt's, and their gradients are straight-through."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from quant.export import verify
from quant.formats import fp8, nvfp4
from quant.training.layers import Kind, TrainedLinear, installed, merge_adapters
from tests.support.adapted import adapted


def layer(kind: Kind, inputs: Kind) -> TrainedLinear:
    torch.manual_seed(0)
    weight = nn.Parameter((torch.randn(32, 64) * 0.1).bfloat16(), requires_grad=False)
    a, b = nn.Parameter(torch.randn(4, 64) * 0.1), nn.Parameter(torch.randn(32, 4) * 0.1)
    return TrainedLinear(weight, None, (a, b), 2.0, kind, torch.tensor(0.6), inputs, torch.tensor(3.0))


@pytest.mark.parametrize(("kind", "inputs"), [("nvfp4", "nvfp4"), ("nvfp4", "none"), ("fp8", "fp8"), ("none", "none")])
def test_output_and_gradients_are_those_of_the_definition(kind: Kind, inputs: Kind) -> None:
    made = layer(kind, inputs)
    x = torch.randn(2, 5, 64).bfloat16().requires_grad_()
    out = made(x)
    out.float().pow(2).sum().backward()
    assert made.lora_a is not None
    assert made.lora_b is not None

    def rounded(value: torch.Tensor, how: Kind, amax: torch.Tensor, weight: bool) -> torch.Tensor:
        if how == "nvfp4":
            return nvfp4.fake_quantize(value, amax)
        return fp8.fake_quantize(value, amax, weight=weight) if how == "fp8" else value

    a, b = (p.detach().clone().requires_grad_() for p in (made.lora_a, made.lora_b))
    y = x.detach().clone().requires_grad_()
    merged = (made.weight.float() + (b * 2.0) @ a).to(torch.bfloat16)
    expected = rounded(y, inputs, made.input_amax, False) @ rounded(merged, kind, made.weight_amax, True).T
    expected.float().pow(2).sum().backward()
    assert torch.equal(out, expected)
    for mine, theirs in ((x, y), (made.lora_a, a), (made.lora_b, b)):
        assert mine.grad is not None
        assert theirs.grad is not None
        scale = theirs.grad.float().abs().max()
        assert (mine.grad.float() - theirs.grad.float()).abs().max() <= 0.02 * scale  # BF16 sums in another order


def test_the_forward_pass_is_modelopts_and_the_merged_models(tiny_llama: Path) -> None:
    """Q(W + BA) in training, in ModelOpt's LoRA layers, and in what is exported: the same bits in every weight."""
    wrapped, model = adapted(tiny_llama)
    ids = torch.arange(64)[None]
    with torch.no_grad():
        theirs = model(ids).logits
        module = model.get_submodule("model.layers.0.mlp.up_proj")
        delta = (module.scaling["default"] * module.lora_B["default"].weight) @ module.lora_A["default"].weight
        theirs_weight = module.weight_quantizer(module.base_layer.weight + delta.bfloat16())
        with installed(model) as layers:
            ours = model(ids).logits
            digests = {name: verify.digest(each.quantized_weight()) for name, each in layers.items()}
        assert (model(ids).logits == theirs).all()  # the originals are back
        merged = merge_adapters(wrapped, layers)
        after = merged(ids).logits
    assert torch.equal(ours, after)
    assert verify.computed_digests(merged) == digests
    # ModelOpt rounds B A to BF16 before it adds it, we do not: of the quantised weights only a few are others.
    name = "model.layers.0.mlp.up_proj"
    same = (theirs_weight == merged.get_submodule(name).weight_quantizer(merged.get_submodule(name).weight)).float()
    assert same.mean() > 0.98


def test_fused_groups_share_their_amax(tiny_llama: Path) -> None:
    _, model = adapted(tiny_llama)
    with installed(model) as layers:
        for block in (0, 1):
            prefix = f"model.layers.{block}"
            for group in (
                ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                ("mlp.gate_proj", "mlp.up_proj"),
            ):
                assert len({float(layers[f"{prefix}.{name}"].weight_amax) for name in group}) == 1
                assert len({float(layers[f"{prefix}.{name}"].input_amax) for name in group}) == 1


def test_nothing_inside_the_adapter_is_quantised(tiny_llama: Path) -> None:
    wrapped, _ = adapted(tiny_llama)
    on = [n for n, m in wrapped.named_modules() if n.endswith("_quantizer") and m.is_enabled]
    assert on
    assert not [n for n in on if "lora_" in n or "base_layer" in n]


def test_no_module_of_modelopts_is_left_in_a_model_that_trains(tiny_llama: Path) -> None:
    """Also those that quantise nothing: compiled code cannot follow their attributes."""
    from modelopt.torch.opt.dynamic import DynamicModule
    from modelopt.torch.quantization.nn import TensorQuantizer

    from quant import recipe
    from quant.checkpoint import loading
    from quant.quantize.quantize import quantize

    model = loading.load_model(tiny_llama, "cpu")
    chosen = recipe.load("nvfp4-mlp-only")  # attention stays BF16, but ModelOpt wraps it all the same
    ids = torch.arange(3, 40)[None]
    quantize(model, chosen, [ids[0].tolist()] * 2, 0)
    before = {name: type(module) for name, module in model.named_modules()}
    parameters = {name: id(parameter) for name, parameter in model.named_parameters()}
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        with installed(model):
            assert not [name for name, m in model.named_modules() if isinstance(m, DynamicModule | TensorQuantizer)]
            kept = {name: id(parameter) for name, parameter in model.named_parameters()}
            assert kept == parameters
            assert torch.equal(model(input_ids=ids).logits, expected)
    assert {name: type(module) for name, module in model.named_modules()} == before

"""Weights quantised in stacks and shared inputs give the same bits with fewer calls."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from quant.formats import nvfp4
from quant.formats.nvfp4_search import search_scales
from quant.training import stacked
from quant.training.layers import Kind, TrainedLinear, installed, share_inputs
from quant.training.loop import How, decoder_layers
from quant.training.stacked import Stacked
from tests.support.adapted import adapted, trainer

OLD, NEW = How(stacked=False, traced=False), How()


def layers_of(kind: Kind, dtype: torch.dtype, shapes: list[tuple[int, int]]) -> list[TrainedLinear]:
    torch.manual_seed(0)
    made = []
    for out, size in shapes:
        weight = nn.Parameter((torch.randn(out, size) * 0.1).to(dtype), requires_grad=False)
        a, b = nn.Parameter(torch.randn(16, size) * 0.1), nn.Parameter(torch.randn(out, 16) * 0.1)
        amax = torch.rand(()) + 0.1
        made.append(TrainedLinear(weight, None, (a, b), 1.7, kind, amax, kind, torch.tensor(3.0)))
    return made


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
def test_a_stack_is_quantised_as_its_slices_are(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (torch.randn(5, 7, 48) * torch.exp(3 * torch.randn(5, 7, 1))).to(dtype)
    amax = torch.tensor([0.0, 0.3, 1.0, 7.3, 100.0])
    found = nvfp4.fake_quantize_stack(x, amax)
    assert torch.equal(found, torch.stack([nvfp4.fake_quantize(x[i], amax[i]) for i in range(5)]))
    assert nvfp4.fake_quantize_stack(x[:0], amax[:0]).shape == (0, 7, 48)
    for wrong in (amax[:4], amax[0]):
        with pytest.raises(ValueError, match="needs one amax per slice"):
            nvfp4.fake_quantize_stack(x, wrong)


def test_stacked_weights_keep_each_layers_own_searched_scales() -> None:
    layers = layers_of("nvfp4", torch.bfloat16, [(64, 96)] * 4)
    for layer in layers[:3]:
        scale = nvfp4.global_scale(layer.weight_amax)
        layer.weight_scales = search_scales(layer.weight, scale, "mse").view(torch.uint8)
    made = Stacked(layers)
    assert sorted(len(chunk.layers) for chunk in made.chunks) == [1, 3]
    made.refresh()
    for layer in layers:
        assert layer.prepared is not None
        assert torch.equal(layer.prepared, layer.quantized_weight())
    by_max = nvfp4.fake_quantize(layers[0].effective_weight(), layers[0].weight_amax)
    assert not torch.equal(layers[0].quantized_weight(), by_max)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["nvfp4", "none"])
@pytest.mark.parametrize("batched", [False, True])
def test_stacked_weights_are_those_of_the_layers_bit_for_bit(
    kind: Kind, dtype: torch.dtype, batched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = layers_of(kind, dtype, [(64, 96), (32, 96), (64, 96), (64, 96), (96, 64)])
    monkeypatch.setattr(stacked, "CHUNK", 2 * 64 * 96)  # three of one shape: two, and one
    made = Stacked(layers)
    assert sorted(len(chunk.layers) for chunk in made.chunks) == [1, 1, 1, 2]
    for chunk in made.chunks:
        chunk.batched = batched
    for _ in range(2):
        made.refresh()
        for layer in layers:
            assert layer.prepared is not None
            assert not layer.prepared.requires_grad
            if batched:  # a CPU's batched product may add up in another order, which is why only GPUs are asked
                assert (layer.prepared != layer.quantized_weight()).float().mean() < 0.01
            else:
                assert torch.equal(layer.prepared, layer.quantized_weight())
        with torch.no_grad():
            for layer in layers:
                assert layer.lora_b is not None
                layer.lora_b.mul_(1.5)  # in place, as an optimiser steps
    made.drop()
    assert all(layer.prepared is None for layer in layers)


def test_what_is_not_stacked_goes_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    fp8 = layers_of("fp8", torch.bfloat16, [(64, 96)])
    plain = [TrainedLinear(fp8[0].weight, None, None, 1.0, "nvfp4", torch.tensor(1.0), "none", torch.tensor(1.0))]
    for layers in (fp8, plain):
        Stacked(layers).refresh()
        assert layers[0].prepared is None
    usual = layers_of("nvfp4", torch.bfloat16, [(64, 96)])
    Stacked(usual).refresh()
    assert usual[0].prepared is not None
    monkeypatch.setattr(stacked, "LIMIT", 1000)
    Stacked(usual).refresh()  # no room; and what another training left is gone
    assert usual[0].prepared is None


def test_once_settled_a_layer_merges_by_itself() -> None:
    (layer,) = layers_of("nvfp4", torch.bfloat16, [(64, 96)])
    made = Stacked([layer])
    made.refresh()
    x = torch.randn(3, 96).bfloat16()
    assert layer.prepared is not None
    layer.prepared.zero_()
    assert not layer(x).any()
    layer.settled = True
    assert torch.equal(layer(x), nn.functional.linear(layer.quantized_input(x), layer.quantized_weight()))


@pytest.mark.parametrize("kind", ["nvfp4", "none"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_is_the_same_to_the_last_bit(kind: Kind, checkpointing: bool, tiny_llama: Path) -> None:
    found = []
    for how in (OLD, NEW, replace(OLD, micro_tokens=128), replace(NEW, micro_tokens=128)):
        with trainer(tiny_llama, how, checkpointing=checkpointing) as made:
            if kind == "none":
                for module in made.model.modules():
                    if isinstance(module, TrainedLinear):
                        module.weight_kind = module.input_kind = "none"
                made.weights = Stacked([m for m in made.model.modules() if isinstance(m, TrainedLinear)], how.stacked)
            made.run()
            assert all(m.prepared is None for m in made.model.modules() if isinstance(m, TrainedLinear))
            found.append((made.history, made.values()))
    for (old, old_values), (new, new_values) in (found[:2], found[2:]):
        assert len(old) > 5
        assert old == new
        assert all(torch.equal(old_values[key], new_values[key]) for key in old_values)


def test_steps_without_a_run_use_what_the_last_one_trained(tiny_llama: Path) -> None:
    with trainer(tiny_llama, NEW) as made:
        layers = [m for m in made.model.modules() if isinstance(m, TrainedLinear)]
        for number in range(2):
            made.step(number)
            for layer in layers:
                assert layer.prepared is not None
                assert torch.equal(layer.prepared, layer.quantized_weight())


def test_a_shared_input_is_quantised_once_and_let_go(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, model = adapted(tiny_llama)
    calls: list[int] = []
    plain = TrainedLinear.quantized_input
    monkeypatch.setattr(TrainedLinear, "quantized_input", lambda self, x: (calls.append(1), plain(self, x))[1])
    ids = torch.arange(64)[None]
    with installed(model) as layers, torch.no_grad():
        share_inputs(model)
        alone = model(ids).logits
        assert len(calls) == 14
        calls.clear()
        share_inputs(model, traced=True)
        assert torch.equal(model(ids).logits, alone)
        assert len(calls) == 8  # q/k/v, o, gate/up, down of two layers
        for layer in layers.values():
            assert layer.shared is None or (layer.shared.x, layer.shared.quantized, layer.shared.left) == (
                None,
                None,
                0,
            )
        up, gate = layers["model.layers.0.mlp.up_proj"], layers["model.layers.0.mlp.gate_proj"]
        one, other = torch.randn(3, 128).bfloat16(), torch.randn(3, 128).bfloat16()
        up(one)  # and no second user: the next input is another, and is not taken for it
        assert torch.equal(gate(other), nn.functional.linear(gate.quantized_input(other), gate.quantized_weight()))


def test_compiled_layers_quantise_a_shared_input_once_and_no_weight(tiny_llama: Path) -> None:
    """What dynamo sees, before anything is taken together: all calls of the Triton kernel would stay."""

    def steps(how: How) -> tuple[list[dict[str, float]], list[int]]:
        counts: list[int] = []

        def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
            counts.append(sum("annie_quant" in str(node.target) for node in graph.graph.nodes))
            return graph

        torch._dynamo.reset()
        with trainer(tiny_llama, how) as made:
            for layer in decoder_layers(made.model):
                layer.compile(backend=backend, fullgraph=True)
            found = [made.step(number) for number in range(6)]
        torch._dynamo.reset()
        return found, counts

    old, old_counts = steps(OLD)
    new, new_counts = steps(NEW)
    assert old == new
    assert set(old_counts) == {14}
    assert set(new_counts) == {4}
    assert len(new_counts) == len(old_counts)  # nothing tells the layers apart that did not before

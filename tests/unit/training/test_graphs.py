"""What CUDA graphs need that a CPU can tell: which shapes are captured, gradients that are not overwritten, one
quantisation of a shared input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quant import cli, loading, nvfp4, recipe
from quant.ptq import quantize
from quant.training.conversations import Example
from quant.training.graphs import USES, Body, Graphs, shapes
from quant.training.layers import installed, share_inputs
from quant.training.loop import How, Trainer, decoder_layers


def like_cuda(body: Body, sample: Tensor) -> Callable[[Tensor], Tensor]:
    """A stand-in for a captured graph: it keeps its input, output and gradients in buffers, as CUDA's do."""
    static_in = sample.clone()
    parameters = [p for p in body.parameters() if p.requires_grad]
    held: dict[str, Any] = {"out": None, "grads": None}

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, ids: Tensor, *_: Tensor) -> Tensor:
            assert ids.shape == static_in.shape
            static_in.copy_(ids)
            with torch.enable_grad():
                held["live"] = body(static_in)
            if held["out"] is None:
                held["out"] = held["live"].detach().clone()
            held["out"].copy_(held["live"])
            return held["out"].detach()  # type: ignore[no-any-return]

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            found = torch.autograd.grad(held["live"], parameters, grads[0])
            if held["grads"] is None:
                held["grads"] = [grad.clone() for grad in found]
            for buffer, grad in zip(held["grads"], found, strict=True):
                buffer.copy_(grad)
            return None, *(buffer.detach() for buffer in held["grads"])

    return lambda ids: Replay.apply(ids, *parameters)  # type: ignore[no-any-return]


def adapted(directory: Path) -> tuple[Any, Any]:
    from peft import LoraConfig, get_peft_model

    model = loading.load_model(directory, "cpu")
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    torch.manual_seed(0)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=names))
    quantize(wrapped, recipe.load("qat-lora"), [list(range(40))] * 4, 0)
    return wrapped, model


def losses(directory: Path, graphs: bool, micro_tokens: int) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    examples = [
        Example(tuple(torch.randint(5, 250, (60,), generator=generator).tolist()), (False,) * 20 + (True,) * 40, 0)
        for _ in range(8)
    ]
    training = recipe.Training(method="lora", ce=1.0, kl=0.0, learning_rate=1e-3, batch_tokens=256, epochs=3)
    _, model = adapted(directory)
    with installed(model) as layers:
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        parameters: dict[str, nn.Parameter] = {}
        for name, layer in layers.items():
            assert layer.lora_a is not None
            assert layer.lora_b is not None
            parameters[f"{name}.lora_a"], parameters[f"{name}.lora_b"] = layer.lora_a, layer.lora_b
        for parameter in parameters.values():
            parameter.requires_grad_(True)
        trainer = Trainer(model, parameters, examples, training, How(micro_tokens=micro_tokens), 0)
        if graphs:
            trainer.objective.graphs = Graphs(model, Counter({(2, 64): USES, (4, 64): USES}), like_cuda)
        trainer.run()
        if graphs:
            assert trainer.objective.graphs is not None
            assert len(trainer.objective.graphs.captured) == 1
    return [row["loss"] for row in trainer.history]


def test_replayed_steps_are_the_plain_ones_also_where_two_micro_batches_replay_one_graph(tiny_llama: Path) -> None:
    assert losses(tiny_llama, True, 128) == losses(tiny_llama, False, 128)


def test_only_shapes_that_come_often_are_captured() -> None:
    lengths = [10, 33, 64]
    expected = shapes([[0, 1], [1, 2], [0]] * (USES - 1) + [[2, 1], []], lengths)
    assert expected == {(2, 64): 2 * USES - 1, (1, 32): USES - 1}
    asked: list[tuple[int, ...]] = []

    def capture(_: Body, ids: Tensor) -> Callable[[Tensor], Tensor]:
        asked.append(tuple(ids.shape))
        return lambda ids: ids

    class Model(nn.Module):
        def model(self, input_ids: Tensor, use_cache: bool) -> Any:
            return type("Out", (), {"last_hidden_state": input_ids[..., None].float()})

    graphs = Graphs(Model(), expected, capture)
    for shape in ((2, 64), (1, 32), (2, 64)):
        graphs(torch.zeros(shape, dtype=torch.long))
    assert asked == [(2, 64)]


def test_compiled_layers_quantise_the_input_of_a_fused_group_once(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, model = adapted(tiny_llama)
    counted: list[int] = []
    plain = nvfp4.fake_quantize
    monkeypatch.setattr(nvfp4, "fake_quantize", lambda x, amax: counted.append(x.dim()) or plain(x, amax))
    ids = torch.arange(64)[None]
    with installed(model):
        share_inputs(model)
        expected = model(ids).logits
        assert counted.count(3) == 2 * 7  # activations: q, k, v, o, gate, up, down of two layers
        counted.clear()
        first = decoder_layers(model)[0]
        first.compile(backend="aot_eager_decomp_partition")
        found = model(ids).logits
        assert counted.count(3) == 4 + 7  # qkv, o, gate_up, down; the second layer is not compiled
        found.sum().backward()
        first._compiled_call_impl = None
    assert torch.equal(found, expected)


def test_graphs_are_refused_where_they_cannot_be(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", tiny_llama, "--data", data, "--out", tmp_path / "out", "--recipe", "qat-full"]
    assert cli.main([str(word) for word in ("qat", *words, "--cuda-graphs")]) == 2
    assert "--cuda-graphs is for LoRA" in capsys.readouterr().err

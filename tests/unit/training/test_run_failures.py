"""Failures of training are one line with status 2, and finished work is kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from quant import cli

TINY = (
    *("--set", "training.batch_tokens=2048", "--set", "training.max_length=1024", "--set", "training.epochs=1"),
    *("--set", "training.learning_rate=5e-4", "--set", "training.rank=4", "--set", "calibration.samples=4"),
    *("--set", "training.holdout=2"),
)


def quant(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command said itself; transformers and ModelOpt may say more above it."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("python -m quant")]
    assert len(lines) == 1
    return lines[0]


def qat(model: Path, data: Path, out: Path, *more: object, recipe: str = "qat-lora") -> int:
    return quant("qat", "--model", model, "--recipe", recipe, "--data", data, "--out", out, *TINY, *more)


@pytest.fixture(scope="module")
def whole(tiny_llama: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert qat(tiny_llama, data, out) == 0
    return out


GOOD = '{"messages": [{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2."}]}\n'
TOOL = {"type": "function", "function": {"name": "add", "parameters": {
    "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False,
}}}  # fmt: skip
CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": "one"}'}}
MISCALLED = {"tools": [TOOL], "messages": [{"role": "user", "content": "?"},
             {"role": "assistant", "content": None, "tool_calls": [CALL]}]}  # fmt: skip
LONG = {"messages": [{"role": "user", "content": "x" * 5000}, {"role": "assistant", "content": "2."}]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + '{"messages": [', "data.jsonl:2"),
        (GOOD + '{"messages": "no list"}\n', "data.jsonl:2"),
        ("", "data.jsonl"),
        ("\n\n", "data.jsonl"),
        (GOOD + json.dumps(MISCALLED) + "\n", "data.jsonl:2"),
        (GOOD + json.dumps(LONG) + "\n", "data.jsonl:2"),
        ("\x00\xff", "data.jsonl"),
    ],
    ids=["broken line", "no list", "empty", "blank", "tool call fails its schema", "too long", "binary"],
)
@pytest.mark.parametrize("limit", [1024, 16384])
def test_bad_data_is_named_by_its_line_before_anything_starts(
    content: str, message: str, limit: int, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_bytes(content.encode("latin-1"))
    assert qat(tiny_llama, data, tmp_path / "out", "--set", f"training.max_length={limit}") == 2
    assert message in told(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


def test_a_teacher_of_other_tokens_is_refused(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_llama, teacher)
    tokenizer = json.loads((teacher / "tokenizer.json").read_text())
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer).replace("<|im_start|>", "<|begin|>"))
    assert qat(tiny_llama, data, tmp_path / "out", "--teacher", teacher, recipe="qad-lora") == 2
    assert "its tokenizer has other tokens" in told(capsys)
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps({**config, "vocab_size": 512}))
    assert qat(tiny_llama, data, tmp_path / "out", "--teacher", teacher, recipe="qad-lora") == 2
    assert "vocab_size is 512" in told(capsys)
    assert not (tmp_path / ".out.training").exists()


def other_base(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    from safetensors.torch import load_file, save_file

    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    change(weights)
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_merge_refuses_a_base_that_was_not_trained(
    tiny_llama: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(weights: dict[str, Any]) -> None:
        weights["model.layers.0.mlp.up_proj.weight"][0, 0] += 1

    base = other_base(tiny_llama, tmp_path / "base", change)
    assert quant("merge", "--model", base, "--adapter", whole / "adapter", "--out", tmp_path / "out") == 2
    message = told(capsys)
    assert "was made from another base: 1 of 14 layers" in message
    assert "model.layers.0.mlp.up_proj" in message
    assert not (tmp_path / "out").exists()


def test_a_model_of_zeros_is_one_line(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = other_base(tiny_llama, tmp_path / "base", lambda weights: [w.zero_() for w in weights.values()] and None)
    assert qat(base, data, tmp_path / "out") in {1, 2}
    told(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["memory", "interrupt"])
def test_out_of_memory_and_an_interrupt_in_the_forward_pass_lose_no_step(
    kind: str, tiny_llama: Path, data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from quant.training.loop import Trainer

    backward, out = Trainer._backward, tmp_path / "out"

    def short(self: Trainer, *arguments: Any) -> Any:
        if len(self.history) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.") if kind == "memory" else KeyboardInterrupt
        return backward(self, *arguments)

    monkeypatch.setattr(Trainer, "_backward", short)
    assert qat(tiny_llama, data, out) == (2 if kind == "memory" else 130)
    assert ("out of memory; lower" if kind == "memory" else "interrupted") in told(capsys)
    assert not out.exists()
    assert len(torch.load(tmp_path / ".out.training/state.pt", weights_only=True)["history"]) == 2
    monkeypatch.setattr(Trainer, "_backward", backward)
    assert qat(tiny_llama, data, out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_running_out_of_gpu_memory_takes_smaller_passes_and_goes_on(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.training.loop import Trainer

    backward, out = Trainer._backward, tmp_path / "out"

    def short(self: Trainer, *arguments: Any) -> Any:
        if self.passes.micro_tokens > 2048:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return backward(self, *arguments)

    monkeypatch.setattr(Trainer, "_backward", short)
    assert qat(tiny_llama, data, out, "--micro-tokens", "4096") == 0
    assert "going on with 2048 tokens per pass" in capsys.readouterr().out
    record = json.loads((out / "quant_run.json").read_text())["training"]
    assert (record["micro_tokens"], record["checkpointing"], record["chosen"]) == (2048, False, "smaller")
    assert [shortage["passes"]["micro_tokens"] for shortage in record["shortages"]] == [4096]


def test_an_interrupt_within_the_optimisers_step_saves_no_half_step(
    tiny_llama: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, out, done = torch.optim.AdamW.step, tmp_path / "out", []

    def interrupted(self: Any, *arguments: Any) -> Any:
        found = step(self, *arguments)
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(torch.optim.AdamW, "step", interrupted)
    assert qat(tiny_llama, data, out, "--save-seconds", "0") == 130
    assert len(torch.load(tmp_path / ".out.training/state.pt", weights_only=True)["history"]) == 2
    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    assert qat(tiny_llama, data, out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_an_interrupt_while_a_step_is_applied_keeps_that_step(
    tiny_llama: Path, data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU nearly all of the time is spent there, waiting for the sums of the step."""
    from quant.training import divergence

    check, out = divergence.check, tmp_path / "out"

    def interrupted(step: int, *arguments: Any) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        check(step, *arguments)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started us with `&`
    monkeypatch.setattr(divergence, "check", interrupted)
    try:
        assert qat(tiny_llama, data, out) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(torch.load(tmp_path / ".out.training/state.pt", weights_only=True)["history"]) == 3
    monkeypatch.setattr(divergence, "check", check)
    assert qat(tiny_llama, data, out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    record = json.loads((out / "quant_run.json").read_text())
    assert record["training"]["tokens_per_second"] * record["seconds"]["train"] < record["training"]["tokens"] - 1


def test_the_rest_of_a_removed_state_is_nobodys_and_a_damaged_one_is_named(
    tiny_llama: Path, data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, state = tmp_path / "out", tmp_path / ".out.training"
    state.mkdir()
    torch.save({"history": [1] * 99, "masters": {}, "optimizer": {}}, state / "state.pt")
    assert qat(tiny_llama, data, out) == 0
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    # A kill after the result was whole leaves its state, which is all that is left to remove.
    state.mkdir()
    (state / "identity.json").write_text("{}")
    assert qat(tiny_llama, data, out, "--resume") == 0
    assert "nothing is left to resume" in capsys.readouterr().out
    assert not state.exists()
    assert qat(tiny_llama, data, out) == 2
    assert "exists already" in told(capsys)


def test_a_damaged_state_is_named(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.training.loop import Trainer

    def stop(self: Trainer, number: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", stop)
    assert qat(tiny_llama, data, tmp_path / "out") == 130
    capsys.readouterr()
    state = tmp_path / ".out.training/state.pt"
    state.write_bytes(state.read_bytes()[:-500])
    assert qat(tiny_llama, data, tmp_path / "out", "--resume") == 2
    message = told(capsys)
    assert "state.pt: is damaged" in message
    assert "start again" in message

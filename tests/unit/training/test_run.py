"""Training commands: their files, that the loss falls, and that kills and bad input lose nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quant import cli
from quant.preflight.check import preflight

ROOT = Path(__file__).parents[3]
TINY = (
    *("--set", "training.batch_tokens=4096", "--set", "training.max_length=1024", "--set", "training.epochs=4"),
    *("--set", "training.learning_rate=5e-4", "--set", "training.rank=4", "--set", "calibration.samples=8"),
)


def quant(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def provenance(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "quant_run.json").read_text())
    return content


@pytest.mark.parametrize("name", ["qat-lora", "qad-lora", "qat-full", "qad-full"])
def test_a_recipe_trains_and_its_export_is_what_was_trained(
    name: str, tiny_llama: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert quant("qat", "--model", tiny_llama, "--recipe", name, "--data", data, "--out", out, *TINY) == 0
    made = provenance(out)
    assert made["bit_check"] == {"equal": True, "layers": 14}
    assert made["quality"]["merged"]["kl"] == pytest.approx(0, abs=1e-6)
    assert made["training"]["steps"] == len((out / "training.jsonl").read_text().splitlines())
    assert not preflight(out, reference=tiny_llama)
    assert not (tmp_path / ".out.training").exists()
    if name == "qat-lora":
        assert made["training"]["last_loss"] < made["training"]["first_loss"]
        assert (out / "training.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("name", "start", "settings"),
    [
        ("qat-lora", "nvfp4-mse-act-headroom", ('algorithm="mse"', 'activations="headroom"')),
        ("qad-full", "nvfp4-four-over-six", ('algorithm="four_over_six"',)),
    ],
)
def test_training_keeps_the_block_scales_that_were_searched_and_serves_what_it_trained(
    name: str,
    start: str,
    settings: tuple[str, ...],
    tiny_llama: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch
    from safetensors.torch import load_file

    out = tmp_path / "out"
    asked = [word for setting in ("training.epochs=1", *settings) for word in ("--set", setting)]
    assert quant("qat", "--model", tiny_llama, "--recipe", name, "--data", data, "--out", out, *TINY, *asked) == 0
    assert provenance(out)["bit_check"] == {"equal": True, "layers": 14}
    assert quant("ptq", "--model", tiny_llama, "--recipe", start, "--calib", data, "--out", tmp_path / "ptq") == 0
    trained, untrained = (load_file(where / "model.safetensors") for where in (out, tmp_path / "ptq"))
    for key in untrained:
        if key.endswith(("weight_scale", "weight_scale_2")):
            assert torch.equal(trained[key].float(), untrained[key].float())
    packed = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(trained[packed], untrained[packed])
    if name.endswith("lora"):
        capsys.readouterr()
        again = tmp_path / "again"
        assert quant("merge", "--model", tiny_llama, "--adapter", out / "adapter", "--out", again) == 0
        assert "all equal to the original ones, bit for bit" in capsys.readouterr().out
        assert (out / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_distillation_brings_the_quantised_model_nearer_to_its_teacher(
    tiny_llama: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = ("--set", "training.epochs=10", "--set", "training.learning_rate=1e-3", "--set", "training.holdout=0")
    assert (
        quant("qat", "--model", tiny_llama, "--recipe", "qad-lora", "--data", data, "--out", out, *TINY, *settings)
        == 0
    )
    quality = provenance(out)["quality"]
    assert quality["after"]["kl"] < 0.8 * quality["before"]["kl"]


@pytest.fixture(scope="module")
def trained(tiny_llama: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "qat"
    assert quant("qat", "--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY) == 0
    return out


def test_merge_builds_the_same_checkpoint_again_from_base_and_adapter(
    tiny_llama: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = tmp_path / "again"
    assert quant("merge", "--model", tiny_llama, "--adapter", trained / "adapter", "--out", again) == 0
    assert "all equal to the original ones, bit for bit" in capsys.readouterr().out
    assert (trained / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()


def test_fine_tuning_in_bf16_leaves_an_adapter_that_peft_loads(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from peft import PeftModel

    from quant.checkpoint import loading

    out, again = tmp_path / "sft", tmp_path / "again"
    assert quant("sft", "--model", tiny_llama, "--recipe", "sft-lora", "--data", data, "--out", out, *TINY) == 0
    ids = torch.arange(50)[None]
    with torch.no_grad():
        merged = loading.load_model(out, "cpu")(ids).logits
        wrapped = PeftModel.from_pretrained(loading.load_model(tiny_llama, "cpu"), out / "adapter")(ids).logits
    assert (merged - wrapped).abs().max() < 0.05 * wrapped.abs().max()
    capsys.readouterr()
    assert quant("merge", "--model", tiny_llama, "--adapter", out / "adapter", "--out", again) == 0
    assert "14 layers merged, all equal to the original ones, bit for bit" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    digests = out / "adapter" / "digests.json"
    digests.write_text(json.dumps(json.loads(digests.read_text()) | {"model.layers.0.mlp.up_proj": "0" * 64}))
    other = tmp_path / "other"
    assert quant("merge", "--model", tiny_llama, "--adapter", out / "adapter", "--out", other) == 0
    assert "1 of 14 differ from the original ones, such as model.layers.0.mlp.up_proj" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", ["nvfp4-default", "nvfp4-mse-act-headroom", "nvfp4-constant-amax"])
def test_what_ptq_calibrated_is_made_again_without_calibrating(
    recipe: str, tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, again, kept = tmp_path / "ptq", tmp_path / "again", tmp_path / "kept"
    command = ("ptq", "--model", tiny_llama, "--calib", data, "--keep", kept)
    assert quant(*command, "--recipe", "nvfp4-awq-lite", "--out", tmp_path / "awq") == 2
    assert "cannot be rebuilt from amax alone" in capsys.readouterr().err
    assert quant(*command, "--recipe", recipe, "--out", out) == 0
    capsys.readouterr()
    assert quant("merge", "--model", tiny_llama, "--adapter", kept, "--out", again) == 0
    assert "14 quantised layers, all equal to the original ones, bit for bit" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    another = ("merge", "--model", tiny_llama, "--adapter", kept, "--out", tmp_path / "another")
    for base in ({"model.layers.0": "0"}, {"model.layers.9.mlp.up_proj": "0"}):  # no weight, no such layer
        (kept / "base.json").write_text(json.dumps(base))
        assert quant(*another) == 2
        assert "was made from another base: 1 of 1 layers" in capsys.readouterr().err
    (kept / "recipe.json").write_text("[" * 100_000)
    assert quant(*another) == 2
    assert "is not an adapter directory written by qat, sft or ptq" in capsys.readouterr().err


def test_a_damaged_adapter_is_refused(
    tiny_llama: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(trained / "adapter", adapter)
    command = ("merge", "--model", tiny_llama, "--adapter", adapter, "--out", tmp_path / "m")
    whole = (adapter / "adapter_model.safetensors").read_bytes()
    (adapter / "adapter_model.safetensors").write_bytes(whole[:-100])
    assert quant(*command) == 2
    assert "is not an adapter" in capsys.readouterr().err
    (adapter / "adapter_model.safetensors").unlink()
    assert quant(*command) == 2
    assert "is missing" in capsys.readouterr().err
    (adapter / "adapter_model.safetensors").write_bytes(whole)
    (adapter / "quantizers.safetensors").unlink()
    assert quant(*command) == 2
    assert "has no model.layers.0.self_attn.q_proj.weight_amax" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "nvfp4-default"], "has no training part; run it with `annie-quant ptq`"),
        (["--recipe", "sft-lora"], "quantises nothing; run it with `annie-quant sft`"),
        (["--recipe", "qat-lora", "--teacher", "{model}"], "training.kl is 0"),
        (["--recipe", "qat-lora", "--set", "training.rank"], "--set training.rank: write KEY=VALUE"),
        (["--recipe", "qat-lora", "--set", "training.rnk=3"], "training.rnk: no such field"),
        (["--recipe", "qat-lora", "--set", "training.learning_rate=3.0"], "training.learning_rate"),
        (["--recipe", "qat-lora", "--set", 'algorithm="awq_lite"'], "awq_lite cannot be trained"),
        (["--recipe", "qat-lora", "--micro-tokens", "0"], "--micro-tokens 0"),
        (["--recipe", "qat-lora", "--data", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["--recipe", "qat-lora", "--set", "training.max_length=32"], "tokens, but max_length is 32"),
        (["--recipe", "qat-lora", "--for", "vllm-0.1"], "vllm-0.1"),
    ],
)
def test_bad_input_is_one_line_and_status_2_and_leaves_nothing(
    arguments: list[str],
    message: str,
    tiny_llama: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [each.replace("{model}", str(tiny_llama)) for each in arguments]
    assert quant("qat", "--model", tiny_llama, "--data", data, "--out", tmp_path / "out", *given) == 2
    err = capsys.readouterr().err.strip()
    assert message in err
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("free", [0.5, 2.0])
def test_a_model_larger_than_the_gpu_is_refused_before_it_is_loaded(
    free: float, tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With twice the memory the run goes on, until this machine turns out to have no GPU."""
    from quant.checkpoint import loading

    weights = loading.weight_bytes(tiny_llama)
    monkeypatch.setattr(loading, "default_device", lambda: "cuda")
    monkeypatch.setattr(loading, "free_bytes", lambda device: int(free * weights))
    loaded = []

    def load(*arguments: object) -> None:
        loaded.append(arguments)
        raise RuntimeError("no GPU")

    monkeypatch.setattr(loading, "load_model", load)
    out = tmp_path / "out"
    given = ("--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY)
    if free > 1:
        with pytest.raises(RuntimeError, match="no GPU"):
            quant("qat", *given)
        assert loaded
        return
    assert quant("qat", *given) == 2
    err = capsys.readouterr().err.strip()
    assert f"{tiny_llama}: " in err
    assert "GB of weights, but the GPU has" in err
    assert len(err.splitlines()) == 1
    assert not loaded
    assert not list(tmp_path.iterdir())


def test_a_run_that_diverges_says_so(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.training import loop

    plain = loop.head_loss

    def broken(*arguments: Any, **more: Any) -> Any:
        loss, ce, kl = plain(*arguments, **more)
        return loss * float("nan"), ce, kl

    monkeypatch.setattr(loop, "head_loss", broken)
    out = tmp_path / "out"
    assert quant("qat", "--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY) == 1
    assert "it diverged; lower training.learning_rate" in capsys.readouterr().err
    assert not out.exists()


def test_a_full_disk_leaves_the_old_state_and_no_checkpoint(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for the disk: the third state does not fit."""
    import resource

    import torch

    from quant.training.state import TrainingState

    save, limits = TrainingState.save, resource.getrlimit(resource.RLIMIT_FSIZE)
    saved = []

    def full(self: TrainingState, content: dict[str, Any]) -> None:
        saved.append(len(content["history"]))
        if len(saved) > 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            save(self, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(TrainingState, "save", full)
    out = tmp_path / "out"
    command = ("qat", "--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY)
    assert quant(*command, "--save-seconds", "0") == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert "the disk is full" in err[-1]
    assert "Traceback" not in "".join(err)
    assert not out.exists()
    directory = tmp_path / ".out.training"
    assert sorted(path.name for path in directory.iterdir()) == ["identity.json", "state.pt"]
    state = torch.load(directory / "state.pt", weights_only=True)
    assert len(state["history"]) == 2
    monkeypatch.setattr(TrainingState, "save", save)
    assert quant(*command, "--resume") == 0


def test_gradient_checkpointing_and_small_micro_batches_give_the_same_weights_but_for_rounding(
    tiny_llama: Path, data: Path, tmp_path: Path
) -> None:
    losses = []
    for name, more in (
        ("a", ()),
        ("b", ("--set", "training.gradient_checkpointing=true")),
        ("c", ("--micro-tokens", "1024")),
    ):
        out = tmp_path / name
        command = ("qat", "--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY, *more)
        assert quant(*command) == 0
        losses.append([json.loads(line)["loss"] for line in (out / "training.jsonl").read_text().splitlines()])
    assert losses[1] == losses[0]
    assert losses[2] == pytest.approx(losses[0], rel=0.02)


def test_killed_and_resumed_it_ends_in_the_same_bytes_as_left_alone(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in the middle of training, twice."""
    command = [
        "qat",
        "--model",
        tiny_llama,
        "--recipe",
        "qad-lora",
        "--data",
        data,
        *TINY,
        "--set",
        "training.epochs=12",
    ]
    assert quant(*command, "--out", tmp_path / "whole") == 0
    out, state = tmp_path / "killed", tmp_path / ".killed.training/state.pt"
    run = [sys.executable, "-m", "quant", *map(str, command), "--out", str(out), "--save-seconds", "0"]
    for more in ([], ["--resume"]):
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = subprocess.Popen([*run, *more], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            if state.exists() and state.stat().st_mtime_ns != before:
                break
            time.sleep(0.01)
        assert process.poll() is None, "it was to be killed in the middle"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not out.exists()
    assert quant(*command, "--out", out) == 2
    assert "continue it with --resume" in capsys.readouterr().err
    assert quant(*command, "--out", out, "--resume", "--set", "training.seed=5") == 2
    assert "--resume: recipe differs from the start of the run" in capsys.readouterr().err
    assert quant(*command, "--out", out, "--resume") == 0
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()
    assert (out / "training.jsonl").read_text() == (tmp_path / "whole/training.jsonl").read_text()
    assert not state.parent.exists()


def test_an_interrupt_keeps_the_state_and_is_one_line(
    tiny_llama: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quant.training.loop import Trainer

    step = Trainer.step

    def interrupted(self: Trainer, number: int) -> dict[str, float]:
        if number == 2:
            raise KeyboardInterrupt
        return step(self, number)

    out = tmp_path / "out"
    command = ("qat", "--model", tiny_llama, "--recipe", "qat-lora", "--data", data, "--out", out, *TINY)
    monkeypatch.setattr(Trainer, "step", interrupted)
    assert quant(*command) == 130
    err = capsys.readouterr().err
    assert "interrupted" in err
    assert "Traceback" not in err
    monkeypatch.setattr(Trainer, "step", step)
    assert quant(*command, "--resume") == 0
    assert provenance(out)["training"]["steps"] > 2

"""The process that torchrun starts for tests/unit/training/test_fsdp2.py and tests/gpu/test_fsdp2.py.

    torchrun --nproc-per-node 2 -m tests.support.fsdp2_worker MODEL DATA OUT

Process 0 writes its results to OUT/RECIPE.pt, and checkpoints to OUT/whole and OUT/killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor

from quant import cli
from quant.commands.arguments import training
from quant.training import loop, run
from quant.training.layers import installed
from quant.training.loop import How, Trainer
from quant.training.teacher import ask

CURVES = ("qat-lora", "qad-full")
SETTINGS = (
    "training.batch_tokens=768", "training.max_length=1024", "training.epochs=1", "training.learning_rate=5e-4",
    "training.rank=4", "training.holdout=2", "calibration.samples=4",
)  # fmt: skip


def command(recipe: str, model: Path, data: Path, out: Path, *more: str) -> list[str]:
    """Arguments of `quant qat`."""
    words = ["--model", str(model), "--recipe", recipe, "--data", str(data), "--out", str(out)]
    return words + [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]


def curve(recipe: str, model_directory: Path, data: Path, out: Path) -> dict[str, Any]:
    """Train with the loop only, without gradient clipping, because the norm is summed in another order."""
    parser = argparse.ArgumentParser()
    training(parser)
    words = command(recipe, model_directory, data, out, "training.max_grad_norm=1e9")
    job = run.prepare("qat", parser.parse_args(words))
    model = run.load_frozen(job)
    cache = ask(model, job.examples, job.pad, 16, 4096, job.world) if job.training.kl else None
    offloaded = any(parameter.is_meta for parameter in model.parameters())
    run.quantize_and_adapt(model, job, [list(example.ids) for example in job.examples[:4]])
    with installed(model) as layers:
        parameters = run._trainable(model, layers, job.training)
        trainer = Trainer(model, parameters, job.examples, job.training, How(), job.pad, cache, job.world)
        trainer.run()
        values = trainer.values()
        held = [p for p in model.parameters() if isinstance(p, DTensor)]
        share = sum(p.to_local().numel() for p in held) / max(1, sum(p.numel() for p in held))
    if job.world.first:
        job.state.remove()
    return {
        "history": trainer.history, "values": values, "share": share, "rows": [len(s) for s in trainer.steps],
        "offloaded": offloaded,
    }  # fmt: skip


def one_process(recipe: str, model: Path, data: Path, out: Path) -> dict[str, Any]:
    """The same in one process, which runs the two halves of each batch one after the other."""
    shares = loop.shares

    def in_turn(rows: Sequence[int], lengths: Sequence[int], tokens: int, size: int) -> list[list[list[int]]]:
        assert size == 1
        return [[micro for part in shares(rows, lengths, tokens, 2) for micro in part if micro]]

    with patch.object(loop, "shares", in_turn):
        return curve(recipe, model, data, out)


def quant(words: list[str], out: Path) -> int:
    """Run a quant command.

    It disconnects from the other processes at its end, so they connect again before the next.
    """
    if not dist.is_initialized():
        quant.met += 1  # type: ignore[attr-defined]
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", f"file://{out}/met-{quant.met}",  # type: ignore[attr-defined]
            rank=int(os.environ["RANK"]), world_size=int(os.environ["WORLD_SIZE"]),
        )  # fmt: skip
    return cli.main(words)


quant.met = 0  # type: ignore[attr-defined]


def resumed(model: Path, data: Path, out: Path) -> None:
    """The real command: once uninterrupted, and once stopped after two steps and resumed."""
    assert quant(["qat", *command("qad-lora", model, data, out / "whole")], out) == 0
    words = ["qat", *command("qad-lora", model, data, out / "killed"), "--save-seconds", "0"]
    step = Trainer.step

    def broken(self: Trainer, number: int) -> dict[str, float]:
        if number == 2:
            raise InterruptedError
        return step(self, number)

    with patch.object(Trainer, "step", broken), contextlib.suppress(InterruptedError):
        quant(words, out)
    assert quant(words, out) == 2  # in every process, although only process 0 uses it
    assert quant([*words, "--resume"], out) == 0


def main() -> None:
    model, data, out = map(Path, sys.argv[1:])
    for recipe in CURVES:
        found = curve(recipe, model, data, out / recipe)
        if dist.get_rank() == 0:
            torch.save(found, out / f"{recipe}.pt")
    resumed(model, data, out)


if __name__ == "__main__":
    main()

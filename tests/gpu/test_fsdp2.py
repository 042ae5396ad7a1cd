"""FSDP2 over two GPUs with NCCL: the loss curve of one GPU, a resumed run, and the bit check.

    pytest tests/gpu/test_fsdp2.py
        or, for the table:  python -m tests.gpu.test_fsdp2 [MODEL_DIR DATA.jsonl]

Without arguments a tiny Llama is made. Needs two CUDA GPUs, nvidia-modelopt, peft; skips itself elsewhere. On GPUs
attention's gradient adds up in no fixed order, so that what is equal to the bit on CPUs
(tests/unit/training/test_fsdp2.py) is near here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import torch

if torch.cuda.device_count() < 2:
    raise unittest.SkipTest("needs two CUDA GPUs")

from tests.support import fsdp2_worker, tiny
from tests.support.made_up import conversations, write

ROWS = 96
"""Conversations taken of a data file."""
LIMIT = 0.02
"""Largest difference of two losses, relative: BF16 and FP4 make steps of last places."""


def made_up(directory: Path) -> tuple[Path, Path]:
    """A tiny Llama and conversations."""
    model = directory / "model"
    model.mkdir()
    tiny.llama(model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return model, write(directory / "data.jsonl", conversations())


def two_gpus(model: Path, data: Path, out: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*command, "-m", fsdp2_worker.__name__, model, data, out], capture_output=True, text=True,
                          timeout=500, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def compared(model: Path, data: Path, out: Path) -> dict[str, tuple[list[float], list[float], dict[str, Any]]]:
    """Losses of one GPU and of two, by recipe, and what else two found."""
    two_gpus(model, data, out)
    found = {}
    for recipe in fsdp2_worker.CURVES:
        one = fsdp2_worker.one_process(recipe, model, data, out / f"{recipe}-one")
        two = torch.load(out / f"{recipe}.pt")
        losses = [[row["loss"] for row in each["history"]] for each in (one, two)]
        found[recipe] = (losses[0], losses[1], two)
    return found


def largest(one: list[float], two: list[float]) -> float:
    return max(abs(a - b) / abs(a) for a, b in zip(one, two, strict=True))


def test_two_gpus_train_as_one_and_what_they_export_is_what_was_trained(tmp_path: Path) -> None:
    model, data = made_up(tmp_path)
    for one, two, held in compared(model, data, tmp_path).values():
        assert math.isclose(one[0], two[0], rel_tol=1e-5)
        assert largest(one, two) < LIMIT
        assert abs(held["share"] - 0.5) < 0.01
    made = json.loads((tmp_path / "killed/quant_run.json").read_text())
    assert made["bit_check"]["equal"]
    assert made["processes"] == 2


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        if len(sys.argv) > 2:
            model, data = Path(sys.argv[1]), out / "data.jsonl"
            data.write_text("".join(Path(sys.argv[2]).read_text().splitlines(keepends=True)[:ROWS]))
        else:
            model, data = made_up(out)
        print("| recipe | steps | first loss, 1 and 2 GPUs | last loss | largest difference | share a GPU |")
        print("|---|---|---|---|---|---|")
        for recipe, (one, two, held) in compared(model, data, out).items():
            print(f"| {recipe} | {len(one)} | {one[0]:.5f} {two[0]:.5f} | {one[-1]:.5f} {two[-1]:.5f} | "
                  f"{largest(one, two):.2%} | {held['share']:.1%} |")  # fmt: skip
        for run in ("whole", "killed"):
            made = json.loads((out / run / "quant_run.json").read_text())
            print(f"{run}: {made['training']['tokens_per_second']:,.0f} tok/s, bit check {made['bit_check']}")
        same = len({(out / run / "model.safetensors").read_bytes() for run in ("whole", "killed")}) == 1
        print(f"stopped and resumed, the weights are {'the same bytes' if same else 'other bytes'}")


if __name__ == "__main__":
    main()

"""Two processes with FSDP2 train like one: same losses, same checkpoint after a kill, and the bit check."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from quant.checkpoint.provenance import Provenance
from quant.preflight.check import preflight
from quant.recipe import load as load_recipe
from quant.training import run
from quant.training.batches import shares
from quant.training.distributed import World
from quant.training.layers import installed
from tests.support import fsdp2_worker

ROOT = Path(__file__).parents[3]


def test_rows_are_dealt_out_and_every_process_goes_forward_as_often() -> None:
    lengths = [100] * 7
    parts = shares(range(7), lengths, 256, 3)
    assert sorted(row for part in parts for micro in part for row in micro) == list(range(7))
    assert {len(part) for part in parts} == {2}
    assert shares([4], lengths, 256, 2) == [[[4]], [[]]]
    assert shares([4, 5], lengths, 256, 1) == [[[4, 5]]]


@pytest.fixture(scope="module")
def few(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve conversations."""
    path = tmp_path_factory.mktemp("few") / "data.jsonl"
    path.write_text("".join(data.read_text().splitlines(keepends=True)[:12]))
    return path


@pytest.fixture(scope="module")
def together(tiny_llama: Path, few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes on this machine's CPU left."""
    out = tmp_path_factory.mktemp("fsdp2")
    # As `accelerate launch --use_fsdp` starts it: transformers would load no weights but in process 0.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_FSDP": "true",
                   "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}  # fmt: skip
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", fsdp2_worker.__name__, tiny_llama, few, out], cwd=ROOT, env=environment, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("holds an interrupted run") == 1, "said by one process"
    return out


@pytest.mark.parametrize("recipe", fsdp2_worker.CURVES)
def test_the_loss_curve_and_the_weights_are_those_of_one_process(
    recipe: str, together: Path, tiny_llama: Path, few: Path, tmp_path: Path
) -> None:
    two = torch.load(together / f"{recipe}.pt")
    one = fsdp2_worker.one_process(recipe, tiny_llama, few, tmp_path / "one")
    assert len(one["history"]) > 3
    assert min(one["rows"]) == 1, "a batch of one row leaves a process without any"
    assert [row["loss"] for row in two["history"]] == [row["loss"] for row in one["history"]]
    assert [row["norm"] for row in two["history"]] == pytest.approx([row["norm"] for row in one["history"]], rel=1e-5)
    for name, value in one["values"].items():
        assert torch.equal(two["values"][name], value), name
    assert two["share"] == pytest.approx(0.5, abs=0.01)
    assert one["share"] == 0
    assert two["offloaded"], "no process holds the whole model while it calibrates"
    assert not one["offloaded"]


def test_resumed_by_two_processes_it_ends_in_the_same_bytes(together: Path, tiny_llama: Path) -> None:
    whole, killed = together / "whole", together / "killed"
    assert (whole / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes()
    assert (whole / "training.jsonl").read_text() == (killed / "training.jsonl").read_text()
    made = json.loads((killed / "quant_run.json").read_text())
    assert made["bit_check"] == {"equal": True, "layers": 14}
    assert made["processes"] == 2
    assert not preflight(killed, reference=tiny_llama)
    assert not list(together.glob(".*")), "no state, no half-written directory"


def test_a_model_that_calibrates_from_its_files_has_the_same_layers(tiny_llama: Path) -> None:
    chosen = load_recipe("qad-lora")
    sequences = [list(range(5, 60)), list(range(9, 70))]
    found: list[dict[str, Any]] = []
    for size in (1, 2):
        job: Any = SimpleNamespace(
            recipe=chosen, training=chosen.training, world=World(0, size), provenance=Provenance("qat"), held_out=[],
            pad=0, device="cpu", arguments=SimpleNamespace(model=tiny_llama),
        )  # fmt: skip
        model = run.load_frozen(job)
        run.quantize_and_adapt(model, job, sequences)
        assert not any(hasattr(module, "_hf_hook") or "forward" in vars(module) for module in model.modules())
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight, "tied"
        with installed(model) as layers, torch.no_grad():
            logits = model(input_ids=torch.tensor([sequences[0]])).logits
            held = {f"{n}.{key}": getattr(layer, key) for n, layer in layers.items()
                    for key in ("weight", "lora_a", "weight_amax", "input_amax")}  # fmt: skip
            found.append({"logits": logits} | held)
    one, two = found
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)

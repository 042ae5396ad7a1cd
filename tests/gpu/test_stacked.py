"""On a CUDA GPU: weights quantised in stacks are those of the layers bit for bit, and compiled training is the same.

    pytest tests/gpu/test_stacked.py        or, for the tables:  python -m tests.gpu.test_stacked

Needs torch with CUDA, triton and nvidia-modelopt; skips itself elsewhere. Attention runs on deterministic kernels, so
that the losses of two ways can be compared at all.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts: cuBLAS is deterministic then

import pytest
import torch
from torch import Tensor, nn

if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

from quant.formats import nvfp4
from quant.training.layers import Kind, TrainedLinear
from quant.training.loop import How, compiled, decoder_layers
from quant.training.stacked import Stacked
from tests.support import tiny
from tests.support.adapted import examples, trainer

SHAPES = ((576, 576), (192, 576), (1536, 576), (576, 1536), (64, 48), (3, 16))
"""SmolLM2-135M's, and slices that are no whole number of the kernel's tiles."""
WAYS = {
    "layer by layer": How(compile=True, stacked=False, traced=False),
    "stacked": How(compile=True, traced=False),
    "traced": How(compile=True, stacked=False),
    "stacked and traced": How(compile=True),
}
STEPS = 10


def layers(kind: Kind, shape: tuple[int, int], count: int = 30, rank: int = 16) -> list[TrainedLinear]:
    torch.manual_seed(0)
    made = []
    for _ in range(count):
        weight = nn.Parameter((torch.randn(shape) * 0.1).bfloat16().cuda(), requires_grad=False)
        a = nn.Parameter((torch.randn(rank, shape[1]) * 0.1).cuda())
        b = nn.Parameter((torch.randn(shape[0], rank) * 0.1).cuda())
        amax = (torch.rand(()) + 0.1).cuda()
        made.append(TrainedLinear(weight, None, (a, b), 1.7, kind, amax, kind, amax))
    return made


def unequal(kind: Kind, shape: tuple[int, int]) -> tuple[int, int, str]:
    """Elements that differ between stacked and layer by layer, of how many, and how they were multiplied."""
    made = layers(kind, shape)
    stacked = Stacked(made)
    stacked.refresh()
    with torch.no_grad():
        differ = [int((layer.prepared != layer.quantized_weight()).sum()) for layer in made]
    how = "/".join("batched" if chunk.batched else "one by one" for chunk in stacked.chunks)
    return sum(differ), len(made) * made[0].weight.numel(), how


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(30, 576, 576), (3, 1, 16), (5, 63, 16), (5, 65, 16), (7, 3, 48)])
def test_a_stack_is_quantised_as_its_slices_are(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (torch.randn(shape) * torch.exp(3 * torch.randn(*shape[:-1], 1))).to(dtype).cuda()
    amax = torch.rand(shape[0]).cuda() * 10
    amax[0] = 0
    found = nvfp4.fake_quantize_stack(x, amax)
    alone = torch.stack([nvfp4.fake_quantize(each, own) for each, own in zip(x, amax, strict=True)])
    integers = torch.int32 if dtype is torch.float32 else torch.int16
    assert torch.equal(found.view(integers), alone.view(integers))
    defined = [nvfp4.fake_quantize_reference(each, nvfp4.global_scale(own)) for each, own in zip(x, amax, strict=True)]
    assert torch.equal(found.view(integers), torch.stack(defined).view(integers))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["nvfp4", "none"])
def test_stacked_weights_are_those_of_the_layers_bit_for_bit(kind: Kind, shape: tuple[int, int]) -> None:
    assert unequal(kind, shape)[0] == 0


@contextmanager
def deterministic() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # not a matter of order, and more to compile
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def model(directory: Path) -> Path:
    tiny.llama(directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return directory


def losses(directory: Path, how: How) -> tuple[list[float], Tensor, float]:
    """Of STEPS compiled steps, with all that was trained, and the seconds that the second half took."""
    torch._dynamo.reset()
    rows = examples(22, (60, 60))  # batches of 4 and, last in an epoch's plan, of 2: a size that becomes symbolic
    with deterministic(), trainer(directory, how, rows, device="cuda") as made:
        found = []
        with compiled(decoder_layers(made.model), how.compile):
            for number in range(STEPS):
                if number == STEPS // 2:
                    start = time.perf_counter()
                found.append(made.step(number)["loss"])  # waits for the GPU
        seconds = time.perf_counter() - start
        return found, torch.cat([value.flatten() for value in made.values().values()]), seconds


def test_compiled_training_is_the_same(tmp_path: Path) -> None:
    directory = model(tmp_path)
    old, new = (losses(directory, WAYS[name])[0] for name in ("layer by layer", "stacked and traced"))
    assert new == pytest.approx(old, rel=1e-6)


def table() -> None:
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| kind | shape | products | elements | unequal |\n|---|---|---|---|---|")
    for kind in ("nvfp4", "none"):
        for shape in SHAPES:
            differ, count, how = unequal(kind, shape)
            print(f"| {kind} | {shape} | {how} | {count} | {differ} |")
    print(f"\n| compiled | loss 1 | loss {STEPS} | largest difference | unequal parameters | ms a step |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        directory = model(Path(name))
        wanted, trained = None, None
        for way, how in WAYS.items():
            found, values, seconds = losses(directory, how)
            wanted, trained = wanted or found, values if trained is None else trained
            most = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
            print(f"| {way} | {found[0]:.6f} | {found[-1]:.6f} | {most:.1e} | {int((values != trained).sum())} | "
                  f"{seconds / (STEPS - STEPS // 2) * 1e3:.1f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    table()

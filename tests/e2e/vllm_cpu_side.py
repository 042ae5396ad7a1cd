"""The half of test_vllm_cpu.py that runs in the server's environment: `python vllm_cpu_side.py CHECK [ARGUMENT ...]`.

That environment has vLLM and this project, but neither pytest nor ModelOpt. Each function is one check; it ends with
an assertion, or prints what it found as JSON on its last line.
"""

import json
import os
import sys
from typing import Any

os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"

import torch
from torch import Tensor


def activations(dtype: torch.dtype) -> list[Tensor]:
    """Activations of ordinary and of awkward sizes, with zeros, outliers and values on the E2M1 grid."""
    torch.manual_seed(0)
    x = torch.randn(64, 256)
    tails = x * torch.exp(3 * torch.randn(64, 1))
    holes = tails.clone()
    holes[3], holes[4, 16:32] = 0, 0
    grid = (x * 4).round() / 4
    limit = 1e4 if dtype is torch.float16 else 1e30
    return [(v * s).clamp(-limit, limit).to(dtype) for v in (x, tails, holes, grid) for s in (1e-5, 1e-3, 1.0, 30.0)]


def dequantise(source: str, target: str) -> None:
    """vLLM's dequantisation of the packed tensors in `source`, written to `target`."""
    from safetensors.torch import load_file, save_file
    from vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils import dequantize_to_dtype

    tensors, out = load_file(source), {}
    for name in {key.split(".")[0] for key in tensors}:
        packed, block_scale, scale = (tensors[f"{name}.{part}"] for part in ("packed", "block_scale", "global_scale"))
        for dtype in (torch.float32, torch.bfloat16, torch.float16):
            out[f"{name}.{dtype}"] = dequantize_to_dtype(packed, block_scale, scale, dtype, 16, swizzle=False)
    save_file(out, target)


def inputs() -> None:
    """Both formulations of the activations, native and torch, equal vLLM's own."""
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.quantization.input_quant_fp8 import QuantFP8
    from vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils import ref_nvfp4_quant_dequant
    from vllm.model_executor.layers.quantization.utils.quant_utils import GroupShape

    from quant.vllm_cpu import kernels as kernels

    with set_current_vllm_config(VllmConfig()):
        fp8 = QuantFP8(static=True, group_shape=GroupShape.PER_TENSOR)
    compared = 0
    for dtype in (torch.bfloat16, torch.float32, torch.float16):
        for x in activations(dtype):
            for share in (0.3, 1.0, 100.0):
                amax = x.abs().max().float() * share
                inverse = 1.0 / (amax / (6 * 448))
                expected = ref_nvfp4_quant_dequant(x.clone(), inverse, 16)
                assert torch.equal(kernels.nvfp4_input(x, inverse.item()), expected)
                assert torch.equal(kernels.nvfp4_input_reference(x, inverse.item()), expected)

                scale = amax / 448
                rounded, _ = fp8.forward_native(x, scale)
                expected = (rounded.float() * scale).to(dtype)
                assert torch.equal(kernels.fp8_input(x, scale.item()), expected)
                assert torch.equal(kernels.fp8_input_reference(x, scale.item()), expected)
                compared += 1
    assert compared == 3 * 16 * 3


def nvfp4_layer(rows: int, columns: int, activation: bool, bias: Tensor | None) -> torch.nn.Module:
    """A layer as ModelOptLinearMethod leaves it to the kernel."""
    from quant.formats import nvfp4

    torch.manual_seed(rows)
    packed, block_scale, scale = nvfp4.quantize(torch.randn(rows, columns) * 0.05)
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(packed, requires_grad=False)
    layer.weight_scale = torch.nn.Parameter(block_scale, requires_grad=False)
    layer.weight_global_scale = torch.nn.Parameter(scale, requires_grad=False)
    layer.bias = bias
    if activation:
        layer.input_global_scale_inv = torch.nn.Parameter(
            torch.tensor(2688 / 4.5, dtype=torch.float32), requires_grad=False
        )
    return layer


def kernel() -> None:
    """The kernel's output equals that of vLLM's EmulationNvFp4LinearKernel: in bfloat16, to the last bit."""
    from vllm.model_executor.kernels.linear import EmulationNvFp4LinearKernel, NvFp4LinearLayerConfig

    from quant.vllm_cpu.kernels import CpuNvFp4LinearKernel

    for dtype in (torch.bfloat16, torch.float32):
        torch.set_default_dtype(dtype)
        for rows, columns in ((960, 576), (3072, 576), (576, 1536), (48, 64)):
            for bias in (None, torch.randn(rows, dtype=dtype)):
                theirs, ours = (nvfp4_layer(rows, columns, True, bias) for _ in range(2))
                emulation = EmulationNvFp4LinearKernel(NvFp4LinearLayerConfig())
                cpu = CpuNvFp4LinearKernel(NvFp4LinearLayerConfig())
                emulation.process_weights_after_loading(theirs)
                cpu.process_weights_after_loading(ours)
                for shape in ((1,), (2,), (3,), (17,), (130,)):
                    x = torch.randn(*shape, columns, dtype=dtype)
                    expected = emulation.apply_weights(theirs, x.clone(), bias)
                    out = cpu.apply_weights(ours, x, bias)
                    assert out.dtype == expected.dtype == dtype
                    # In float32, oneDNN's matrix product and torch's add up in different orders.
                    tolerance = 0 if dtype is torch.bfloat16 else 1e-5
                    torch.testing.assert_close(out, expected, rtol=tolerance, atol=tolerance)


def weight_only() -> None:
    """Without an input scale in the checkpoint, activations are left as they are."""
    from vllm.model_executor.kernels.linear import NvFp4LinearLayerConfig
    from vllm.model_executor.layers.quantization.utils.nvfp4_emulation_utils import dequantize_to_dtype

    from quant.vllm_cpu.kernels import CpuNvFp4LinearKernel

    torch.set_default_dtype(torch.bfloat16)
    layer = nvfp4_layer(96, 64, False, None)
    weight = dequantize_to_dtype(
        layer.weight, layer.weight_scale, layer.weight_global_scale, torch.bfloat16, 16, swizzle=False
    )
    kernel = CpuNvFp4LinearKernel(NvFp4LinearLayerConfig())
    kernel.process_weights_after_loading(layer)
    x = torch.randn(5, 64)
    assert torch.equal(kernel.apply_weights(layer, x), x @ weight.t())


def requantise() -> None:
    """FP8 shards come to the largest scale, to within a rounding; shards that have it already do not change."""
    from quant.vllm_cpu.kernels import requantize_with_max_scale

    torch.manual_seed(0)
    dense, widths = torch.randn(12, 32), [8, 4]
    scales = torch.tensor([dense[:8].abs().max() / 448, dense[8:].abs().max() / 448 / 5])
    dense[8:] /= 5
    weight = torch.cat([dense[:8] / scales[0], dense[8:] / scales[1]]).to(torch.float8_e4m3fn)
    before = weight.clone()
    common, after = requantize_with_max_scale(weight, scales, widths)
    assert common == scales[0]
    assert torch.equal(after[:8].float(), before[:8].float())
    error = (after[8:].float() * common - before[8:].float() * scales[1]).abs()
    assert (error <= (before[8:].float() * scales[1]).abs() / 16 + common * 2**-10).all()


def platforms() -> None:
    """register() changes nothing where the platform is not a CPU, and nothing the second time."""
    from unittest import mock

    os.environ["VLLM_PLUGINS"] = ""  # else vLLM has called it before we can look
    from vllm import platforms
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization import modelopt
    from vllm.platforms import PlatformEnum

    from quant.vllm_cpu import plugin

    assert PlatformEnum.CPU not in linear._POSSIBLE_NVFP4_KERNELS
    marlin, tables = linear.MarlinNvFp4LinearKernel, (linear._POSSIBLE_NVFP4_KERNELS, linear._POSSIBLE_FP8_KERNELS)
    before = [{platform: list(kernels) for platform, kernels in table.items()} for table in tables]
    with mock.patch.object(platforms.current_platform, "is_cpu", return_value=False):
        plugin.register()
    assert [dict(table) for table in tables] == before
    assert linear.MarlinNvFp4LinearKernel is marlin
    assert "quant.vllm_cpu.kernels" not in sys.modules
    assert modelopt.requantize_with_max_scale.__module__.startswith("vllm.")

    plugin.register()
    plugin.register()
    names = [kernel.__name__ for kernel in linear._POSSIBLE_NVFP4_KERNELS[PlatformEnum.CPU]]
    assert names == ["CpuNvFp4LinearKernel", "EmulationNvFp4LinearKernel"]
    assert [k.__name__ for k in linear._POSSIBLE_FP8_KERNELS[PlatformEnum.CPU]].count("CpuFp8LinearKernel") == 1
    assert linear.MarlinNvFp4LinearKernel.__name__ == "CpuNvFp4LinearKernel"  # what weight-only checkpoints get
    assert modelopt.requantize_with_max_scale.__module__ == "quant.vllm_cpu.kernels"
    assert "modelopt" not in sys.modules


def serve(checkpoint: str, tokens: str, weights: str, *options: str) -> None:
    """Run a checkpoint. Prints which kernels were chosen and the log probabilities of the vocabulary after each token.

    The dense weights that this project's kernels multiply with go to the safetensors file `weights`. With `plain`,
    layers multiply as vLLM's emulation does on every CPU, by PyTorch's product in BF16.
    """
    from safetensors.torch import save_file
    from vllm import LLM, SamplingParams
    from vllm.model_executor.layers.linear import LinearBase

    from quant.formats import cpu_bf16
    from quant.vllm_cpu import kernels as vllm_cpu_kernels

    if "plain" in options:
        cpu_bf16.install = lambda: None
    dense: dict[int, Tensor] = {}  # by the layer's id, and before vLLM packs them beyond recognition
    make_dense = vllm_cpu_kernels._make_dense

    def recorded(layer: Any, weight: Tensor) -> None:
        dense[id(layer)] = weight.clone()
        make_dense(layer, weight)

    vllm_cpu_kernels._make_dense = recorded
    arguments: dict[str, Any] = {"linear_backend": "emulation"} if "emulation" in options else {}
    llm = LLM(
        checkpoint,
        enforce_eager="compile" not in options,
        skip_tokenizer_init=True,
        max_model_len=64,
        max_logprobs=-1,
        **arguments,
    )
    sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=-1, logprobs=-1, detokenize=False)
    (output,) = llm.generate({"prompt_token_ids": json.loads(tokens)}, sampling, use_tqdm=False)
    rows = [*output.prompt_logprobs[1:], output.outputs[0].logprobs[0]]
    table = [[row[token].logprob for token in range(len(row))] for row in rows]

    model = llm.llm_engine.engine_core.engine_core.model_executor.driver_worker.worker.model_runner.model
    linear = {name: module for name, module in model.named_modules() if isinstance(module, LinearBase)}
    save_file({name: dense[id(module)] for name, module in linear.items() if id(module) in dense}, weights)
    kernels = {type(getattr(module.quant_method, "kernel", None)).__name__ for module in linear.values()}
    print(json.dumps({"kernels": sorted(kernels), "logprobs": table}))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

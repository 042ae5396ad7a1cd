"""vLLM plugin: serves NVFP4 and mixed NVFP4/FP8 checkpoints on a machine without a GPU.

vLLM loads it through the entry point group ``vllm.general_plugins`` if this package is installed in its environment;
on platforms other than the CPU it does nothing. vLLM 0.32 has no NVFP4 kernel for CPUs. Of its three FP8 kernels two
need AMX, one of which does not quantise activations, and the third fails at its first call. This plugin adds one
kernel for each format. Weights are dequantised once, when they are loaded, and then handled like BF16 weights. W4A4
activations are fake-quantised in one pass. The result equals vLLM's emulation kernel bit for bit, at about the speed
and with the memory of the BF16 model: it is for testing behaviour, not for saving memory. On a CPU without BF16
instructions layers multiply in FP32 (`quant.formats.cpu_bf16`), which adds up in another order than the emulation.
"""

from __future__ import annotations


def register() -> None:
    """Register the kernels before vLLM's slow emulation. Does nothing on other platforms or when called again."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization import modelopt
    from vllm.platforms import PlatformEnum

    from quant.formats import cpu_bf16
    from quant.vllm_cpu.kernels import CpuFp8LinearKernel, CpuNvFp4LinearKernel, requantize_with_max_scale

    nvfp4 = linear._POSSIBLE_NVFP4_KERNELS.setdefault(PlatformEnum.CPU, [])
    if CpuNvFp4LinearKernel in nvfp4:
        return
    nvfp4[:0] = [CpuNvFp4LinearKernel, linear.EmulationNvFp4LinearKernel]
    linear._POSSIBLE_FP8_KERNELS.setdefault(PlatformEnum.CPU, []).insert(0, CpuFp8LinearKernel)
    # Weight-only checkpoints do not use the list: vLLM 0.32 always chooses Marlin by this name.
    linear.MarlinNvFp4LinearKernel = CpuNvFp4LinearKernel
    # vLLM's function calls a CUDA operator if the shards of a fused FP8 layer have different scales, as in ModelOpt's
    # exports.
    modelopt.requantize_with_max_scale = requantize_with_max_scale
    cpu_bf16.install()

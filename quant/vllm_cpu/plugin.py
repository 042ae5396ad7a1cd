"""vLLM plugin: serves NVFP4 and mixed NVFP4/FP8 checkpoints on a machine without a GPU.

vLLM loads it by itself, through the entry point group ``vllm.general_plugins``, wherever this package is installed
beside vLLM; on any platform but the CPU it does nothing. vLLM 0.32 lists no NVFP4 kernel for CPUs; of its FP8 kernels
two want AMX, of which one leaves the activations unquantised, and the third fails at its first call. This adds one of
each. Weights are dequantised once, when they are loaded, and take vLLM's own BF16 path from
there; W4A4 activations are fake-quantised in one pass. The result is vLLM's emulation kernel's, bit for bit, at about
the speed of the BF16 model, and with its memory: it is for testing behaviour, not for saving space.
"""

from __future__ import annotations


def register() -> None:
    """Put the kernels before vLLM's slow emulation; does nothing on other platforms or when called again."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.kernels import linear
    from vllm.model_executor.layers.quantization import modelopt
    from vllm.platforms import PlatformEnum

    from quant.vllm_cpu.kernels import CpuFp8LinearKernel, CpuNvFp4LinearKernel, requantize_with_max_scale

    nvfp4 = linear._POSSIBLE_NVFP4_KERNELS.setdefault(PlatformEnum.CPU, [])
    if CpuNvFp4LinearKernel in nvfp4:
        return
    nvfp4[:0] = [CpuNvFp4LinearKernel, linear.EmulationNvFp4LinearKernel]
    linear._POSSIBLE_FP8_KERNELS.setdefault(PlatformEnum.CPU, []).insert(0, CpuFp8LinearKernel)
    # Weight-only checkpoints do not go through the list: vLLM 0.32 forces Marlin, by this name, whatever the platform.
    linear.MarlinNvFp4LinearKernel = CpuNvFp4LinearKernel
    # Calls a CUDA operator when the shards of a fused FP8 layer have scales of their own, as ModelOpt exports them.
    modelopt.requantize_with_max_scale = requantize_with_max_scale

"""NVFP4 fake quantisation on a CPU in one pass over the data: compiles nvfp4_native.cpp on first use and calls it.

It is forty times faster than separate torch operators, and equal bit for bit. Compiling takes half a second with g++;
the library is kept in the user's cache directory. Without a compiler, callers use torch. This module imports only
torch, because the vLLM plugin loads it in the server's environment.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("nvfp4_native.cpp")
# No fused multiply-add and no -ffast-math: the result must be rounded at the same places as in torch.
_FLAGS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp")

Arithmetic = Literal["export", "emulation", "fp8"]
Function = Callable[..., None]


def fake_quantize(arithmetic: Arithmetic, x: Tensor, scale: float) -> Tensor | None:
    """One-pass fake quantisation of a CPU tensor, without a gradient.

    Args:
        arithmetic: "export" is :func:`quant.formats.nvfp4.fake_quantize_reference`; "emulation" is vLLM's
            ``ref_nvfp4_quant_dequant``, which multiplies by reciprocals and turns tiny blocks into zeros; "fp8" is
            vLLM's FP8 with one static scale for the tensor.
        x: ``(..., K)``, K a multiple of 16 for NVFP4; float32 or bfloat16 on the CPU.
        scale: the global scale ("export"), its inverse ("emulation"), or amax / 448 ("fp8").

    Returns:
        Of the shape and dtype of ``x``, contiguous; ``None`` if there is no native code for this dtype, device or
        machine, and the caller has to use torch.
    """
    function = _function(arithmetic, x)
    if function is None:
        return None
    x = x.contiguous()
    out = torch.empty_like(x)
    function(x.data_ptr(), out.data_ptr(), x.numel(), scale)
    return out


def fake_quantize_scaled(x: Tensor, scales: Tensor, scale: float) -> Tensor | None:
    """As :func:`quant.formats.nvfp4.fake_quantize_scaled`, without a gradient; ``None`` if there is no native code.

    Args:
        x: ``(..., K)`` on the CPU, K a multiple of 16.
        scales: float8_e4m3fn block scales, ``(..., K / 16)``.
        scale: the global scale.
    """
    function = _function("scaled", x)
    if function is None:
        return None
    x, codes = x.contiguous(), scales.view(torch.uint8).contiguous()
    out = torch.empty_like(x)
    function(x.data_ptr(), codes.data_ptr(), out.data_ptr(), codes.numel(), scale)
    return out


def sweep(x: Tensor, start: Tensor, scale: float) -> Tensor | None:
    """The sweep of :mod:`quant.formats.nvfp4_search`; ``None`` if there is no native code.

    Args:
        x: ``(..., K)`` on the CPU, K a multiple of 16.
        start: float8_e4m3fn block scales of max, ``(..., K / 16)``.
        scale: the global scale.

    Returns:
        float8_e4m3fn, of the shape of ``start``.
    """
    function = _function("sweep", x)
    if function is None:
        return None
    x, codes = x.contiguous(), start.view(torch.uint8).clone(memory_format=torch.contiguous_format)
    function(x.data_ptr(), codes.data_ptr(), codes.numel(), scale)
    return codes.view(torch.float8_e4m3fn)


def _function(name: str, x: Tensor) -> Function | None:
    library = _library() if x.device.type == "cpu" else None
    return library.get((name, x.dtype)) if library else None


@functools.cache
def _library() -> dict[tuple[str, torch.dtype], Function] | None:
    try:
        library = ctypes.CDLL(str(_build()))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("NVFP4 runs on torch operators, about 40 times slower: %s", _reason(error))
        return None
    functions: dict[tuple[str, torch.dtype], Function] = {}
    for name in (*get_args(Arithmetic), "scaled", "sweep"):
        for dtype in (torch.bfloat16, torch.float32):
            function = getattr(library, f"{name}_{str(dtype).removeprefix('torch.')}")
            tensors = 3 if name == "scaled" else 2
            function.argtypes = (*[ctypes.c_void_p] * tensors, ctypes.c_int64, ctypes.c_float)
            function.restype = None
            functions[name, dtype] = function
    return functions


def _build() -> Path:
    """Path of the shared library for this source, these flags and this CPU; built if it is not there yet."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    key = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode() + _cpu().encode()).hexdigest()[:16]
    directory = _cache_directory()
    path = directory / f"nvfp4-{key}.so"
    if path.exists():
        return path
    if compiler is None:
        raise FileNotFoundError("no C++ compiler found (install g++, or name one in CXX)")
    # Several processes may build at once: each writes its own file, and the rename is atomic.
    with tempfile.NamedTemporaryFile(dir=directory, suffix=".so", delete=False) as file:
        temporary = Path(file.name)
    try:
        command = [compiler, *_FLAGS, "-fPIC", "-shared", str(_SOURCE), "-o", str(temporary)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _cpu() -> str:
    """Identifies what -march=native depends on, because machines of different kinds may share a home directory."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return platform.machine() + "".join(sorted({ln for ln in lines if ln.startswith(("flags", "Features"))}))


def _cache_directory() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = root / "annie-quant"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(directory, os.W_OK):
            return directory
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="annie-quant-"))


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return f"the C++ compiler failed: {error.stderr.strip().splitlines()[:1]}"
    return str(error)

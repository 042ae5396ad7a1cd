"""This machine: its GPUs, and the cores that a server started here may use."""

from __future__ import annotations

import os
import shutil
import subprocess


def local_gpus() -> tuple[str, ...]:
    """Names of this machine's GPUs, from `nvidia-smi`; () if there are none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip()) if done.returncode == 0 else ()


def local_cores() -> int:
    """Number of cores that this process, and so a server that it starts, may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

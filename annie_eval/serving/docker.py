"""vLLM in a Docker container: the exact command, for vLLM's own images and NVIDIA's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from annie_eval.serving.native import quiet_environment

INSIDE_PORT = 8000
MODEL = "/model"


def docker_command(
    image: str,
    model: Path,
    port: int,
    arguments: Sequence[str],
    *,
    name: str,
    api_key: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> list[str]:
    """`docker run` in the foreground, so that the container's output is the log and its end is seen.

    Args:
        arguments: vLLM's, without the model, host and port.
        name: of the container; by it, it is stopped and removed.
        api_key: pass VLLM_API_KEY on from the client's environment; its value is not on the command line.
        environment: VLLM_* settings of the caller that hold for a container too, are passed on by name.
    """
    # Entry points: vllm/vllm-openai is the server itself, NVIDIA's image (nvcr.io/nvidia/vllm) a shell wrapper.
    if image.startswith("nvcr.io/"):
        server = ["vllm", "serve", MODEL]
    else:
        server = ["--model", MODEL]
    # A user whom the image does not know has no home and no name, and caches want both.
    variables = [f"{key}={value}" for key, value in {**quiet_environment(), "HOME": "/tmp", "USER": "annie"}.items()]
    passed = sorted(key for key in environment if key.startswith("VLLM_") and not _of_the_host(key))
    variables += [key for key in passed if key not in quiet_environment()]
    if api_key:
        variables.append("VLLM_API_KEY")
    return [
        "docker",
        "run",
        "--rm",
        "--name",
        name,
        "--gpus",
        "all",
        "--shm-size=16g",  # CUDA and the workers share memory; Docker's own 64 MB are too little
        # The checkpoint is not trusted, and neither is the image that reads it: no root, nothing that root may do. A
        # published port needs a network that reaches out, so that one is left.
        "--user",
        f"{os.getuid()}:{os.getgid()}",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "-v",
        f"{model.resolve()}:{MODEL}:ro",
        "-p",
        f"127.0.0.1:{port}:{INSIDE_PORT}",
        *[part for variable in variables for part in ("-e", variable)],
        image,
        *server,
        "--host",
        "0.0.0.0",
        "--port",
        str(INSIDE_PORT),
        *arguments,
    ]


def _of_the_host(key: str) -> bool:
    """Whether a VLLM_* variable is about the machine outside, or the key."""
    return (
        key == "VLLM_API_KEY"
        or key.startswith(("VLLM_CPU_", "VLLM_HOST_"))
        or key.endswith(("_ROOT", "_PATH", "_DIR"))
    )

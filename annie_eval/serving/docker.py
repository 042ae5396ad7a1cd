"""Builds the command that runs vLLM in a Docker container, for vLLM's own images and NVIDIA's."""

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
    """`docker run` in the foreground, so that its output is the log and its end is noticed.

    Args:
        arguments: vLLM's, without the model, host and port.
        name: name of the container, with which it is stopped and removed.
        api_key: pass VLLM_API_KEY from the client's environment; its value is not on the command line.
        environment: the caller's environment; VLLM_* variables that apply to a container are passed by name.
    """
    # Entry points: vllm/vllm-openai is the server itself, NVIDIA's image (nvcr.io/nvidia/vllm) a shell wrapper.
    if image.startswith("nvcr.io/"):
        server = ["vllm", "serve", MODEL]
    else:
        server = ["--model", MODEL]
    # A user that the image does not know has no home and no name, but caches need both.
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
        "--shm-size=16g",  # CUDA and the workers use shared memory; Docker's default of 64 MB is too small
        # Neither the checkpoint nor the image is trusted: no root and no capabilities. A published port needs a
        # network with outside access, so network access remains.
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
    """Whether a VLLM_* variable is about the host, or is the API key."""
    return (
        key == "VLLM_API_KEY"
        or key.startswith(("VLLM_CPU_", "VLLM_HOST_"))
        or key.endswith(("_ROOT", "_PATH", "_DIR"))
    )

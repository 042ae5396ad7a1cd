"""The options of a server that a command starts: those of `pytest --model-dir`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annie_eval.serving import TargetSpec


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options, without the target itself."""
    parser.add_argument(
        "--profile",
        default="annie",
        metavar="NAME|PATH",
        help="whose serving flags (default: that of pyproject.toml, else annie)",
    )
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: unique, or the one listed)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument(
        "--serve",
        choices=("native", "docker"),
        default="native",
        help="how the checkpoint is served (default: native)",
    )
    parser.add_argument("--image", metavar="NAME", help="container image for --serve docker")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    parser.add_argument("--port", type=int, metavar="N", help="port for the server (default: a free one)")
    parser.add_argument(
        "--startup-timeout", type=float, default=900.0, metavar="S", help="for the server to start (default: 900)"
    )


def spec(arguments: argparse.Namespace, model_dir: Path | None, base_url: str | None = None) -> TargetSpec:
    """The target of these options; not checked yet."""
    from annie_eval.serving import TargetSpec

    return TargetSpec(
        model_dir=None if model_dir is None else model_dir.expanduser(),
        base_url=base_url,
        served_model=arguments.served_model,
        api_key_env=arguments.api_key_env,
        serve=arguments.serve,
        image=arguments.image,
        vllm_python=arguments.vllm_python,
        vllm_args=tuple(part for argument in arguments.vllm_arg for part in shlex.split(argument)),
        port=arguments.port,
        startup_timeout=arguments.startup_timeout,
    )

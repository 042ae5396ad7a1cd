"""`annie-eval doctor`: check a target's files, start its server and ask one question, without a gate."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from annie_eval.http_client import Response


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM")
    parser.add_argument("--base-url", metavar="URL", help="a server that is already there")
    parser.add_argument("--profile", default="annie", metavar="NAME|PATH", help="whose serving flags (default: annie)")
    parser.add_argument("--served-model", metavar="NAME", help="model name (default: the one the server lists)")
    parser.add_argument("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    parser.add_argument(
        "--serve", choices=("native", "docker"), default="native", help="how --model-dir is served (default: native)"
    )
    parser.add_argument("--image", metavar="NAME", help="container image for --serve docker")
    parser.add_argument("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    parser.add_argument("--vllm-arg", action="append", default=[], metavar="ARG", help="one more argument for vLLM")
    parser.add_argument("--port", type=int, metavar="N", help="port for the server (default: a free one)")
    parser.add_argument(
        "--startup-timeout", type=float, default=900.0, metavar="S", help="for the server to start (default: 900)"
    )
    parser.set_defaults(command=doctor)


def doctor(arguments: argparse.Namespace) -> int:
    """Exit status 0 when nothing was found wrong, 1 when something was."""
    from annie_eval.profile.load import load
    from annie_eval.serving import doctor as examination
    from annie_eval.serving.spec import TargetSpec
    from annie_eval.timing.connection import TimedResponse
    from annie_eval.timing.stream import observe

    spec = TargetSpec(
        model_dir=None if arguments.model_dir is None else arguments.model_dir.expanduser(),
        base_url=arguments.base_url,
        served_model=arguments.served_model,
        api_key_env=arguments.api_key_env,
        serve=arguments.serve,
        image=arguments.image,
        vllm_python=arguments.vllm_python,
        vllm_args=tuple(part for argument in arguments.vllm_arg for part in shlex.split(argument)),
        port=arguments.port,
        startup_timeout=arguments.startup_timeout,
    )

    def first_token(response: Response) -> int | None:
        return observe(TimedResponse(response.status, response.body, response.reads)).first_token

    return examination.doctor(spec, load(arguments.profile), sys.stdout, first_token)

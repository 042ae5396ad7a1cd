"""The gate's command-line options, and the target that they name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from annie_eval.serving import TargetSpec


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("annie", "release gate for a served model")
    group.addoption("--model-dir", type=Path, metavar="DIR", help="serve this checkpoint with vLLM and judge it")
    group.addoption(
        "--base-url",
        action="append",
        metavar="URL",
        help="judge the server at this URL, such as http://host:8000/v1; several share the work and must agree",
    )
    group.addoption("--profile", default="annie", metavar="NAME|PATH", help="what shippable means (default: annie)")
    group.addoption("--served-model", metavar="NAME", help="model name to ask for (default: the one the server lists)")
    group.addoption("--api-key-env", metavar="VAR", help="environment variable that holds the API key")
    group.addoption("--serve", choices=("native", "docker"), default="native", help="how --model-dir is served")
    group.addoption("--image", metavar="NAME", help="container image for --serve docker")
    group.addoption("--vllm-python", type=Path, metavar="PATH", help="interpreter of the server's environment")
    group.addoption(
        "--vllm-arg",
        action="append",
        default=[],
        metavar="ARG",
        help="pass ARG through to vLLM, for example --vllm-arg=--max-num-seqs=8; may be repeated",
    )
    group.addoption("--port", type=int, metavar="N", help="port for the server (default: a free one)")
    group.addoption(
        "--startup-timeout",
        type=float,
        default=900.0,
        metavar="S",
        help="seconds for the server to start (default: 900)",
    )
    group.addoption("--concurrency", type=int, metavar="N", help="requests in flight (default: the profile's)")
    group.addoption("--run-dir", type=Path, metavar="DIR", help="where this run is kept (default: a new one in runs/)")
    group.addoption("--resume", action="store_true", help="continue the run in --run-dir; answers are kept")
    group.addoption(
        "--probe-budget", type=int, default=300, metavar="N", help="most prompts for each probe of -m probe"
    )
    group.addoption("--probe-seed", type=int, default=0, metavar="N", help="another seed draws other prompts")
    group.addoption("--baseline", metavar="NAME|RUN", help="hold the run against a blessed one, sample by sample")
    group.addoption(
        "--repeats", type=int, metavar="N", help="ask every sample N times; with --until-decided at most (default: 20)"
    )
    group.addoption(
        "--until-decided", action="store_true", help="ask each gate's samples again until the evidence decides it"
    )
    group.addoption("--hardware", metavar="NAME", help="whose timing limits apply (default: what the server reports)")


def target_spec(config: pytest.Config) -> TargetSpec:
    """What the options say is to be judged; not checked yet."""
    from annie_eval.serving import TargetSpec

    option = config.getoption
    model_dir: Path | None = option("model_dir")
    arguments = tuple(part for argument in option("vllm_arg") for part in shlex.split(argument))
    base_url, *replicas = option("base_url") or [None]
    return TargetSpec(
        model_dir=None if model_dir is None else model_dir.expanduser(),
        base_url=base_url,
        replicas=tuple(replicas),
        served_model=option("served_model"),
        api_key_env=option("api_key_env"),
        serve=option("serve"),
        image=option("image"),
        vllm_python=option("vllm_python"),
        vllm_args=arguments,
        port=option("port"),
        startup_timeout=option("startup_timeout"),
    )

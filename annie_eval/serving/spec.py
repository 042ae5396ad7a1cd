"""The target specification, and checks that need no server, so that wrong input fails immediately."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from annie_eval.errors import UsageError
from annie_eval.profile import serving_args
from annie_eval.resources import server_python
from annie_eval.serving import checkpoint, tool_parsers

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

CONNECT_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A checkpoint to serve (`model_dir`) or a running server (`base_url`); users give exactly one.

    If both are set, the running server at `base_url` serves `model_dir`.

    Attributes:
        replicas: URLs of further servers that share the samples of the one at `base_url`.
        served_model: the served model name; by default unique to the run, or the name that the server lists.
        api_key_env: name of the environment variable that holds the API key.
        serve: how `model_dir` is served.
        image: Docker image; needed for `docker`.
        vllm_python: interpreter with vLLM; by default `.venv-vllm/bin/python` in the current directory or the
            checkout, else this one.
        vllm_args: further arguments for vLLM; they override the gate's.
        port: by default a free one.
        startup_timeout: seconds until the server must have answered.
    """

    model_dir: Path | None = None
    base_url: str | None = None
    served_model: str | None = None
    api_key_env: str | None = None
    serve: Literal["native", "docker"] = "native"
    image: str | None = None
    vllm_python: Path | None = None
    vllm_args: tuple[str, ...] = ()
    port: int | None = None
    startup_timeout: float = 900.0
    replicas: tuple[str, ...] = ()

    def api_key(self) -> str | None:
        return os.environ.get(self.api_key_env) if self.api_key_env else None


def check(spec: TargetSpec, profile: Profile) -> None:
    """Check everything that needs no server; takes milliseconds.

    Raises:
        UsageError: in one line what is wrong and how to fix it.
    """
    if spec.model_dir is not None and spec.base_url is not None:
        raise UsageError("--model-dir and --base-url: both given; name one target")
    if spec.model_dir is None and spec.base_url is None:
        raise UsageError("no target: give --model-dir DIR or --base-url URL")
    for option, value in (
        ("--base-url", spec.base_url),
        ("--model-dir", spec.model_dir),
        ("--served-model", spec.served_model),
        ("--image", spec.image),
        ("--vllm-python", spec.vllm_python),
        *(("--base-url", url) for url in spec.replicas),
        *(("--vllm-arg", argument) for argument in (*profile.serving.args, *spec.vllm_args)),
    ):
        if value is not None and re.search("[\0\ud800-\udfff]", str(value)):
            raise UsageError(f"{option} {str(value)!a}: holds a byte that is no UTF-8 text; write it without")
    if spec.api_key_env is not None and not spec.api_key():
        raise UsageError(f"--api-key-env {spec.api_key_env}: this environment variable is unset or empty; export it")
    if not re.fullmatch(r"[!-~]*", spec.api_key() or ""):  # the key itself is never shown
        raise UsageError(
            f"--api-key-env {spec.api_key_env}: holds white space or a letter outside of ASCII, which no HTTP header"
            " takes; export the bare key"
        )
    if spec.base_url is not None:
        _check_url(spec)
    else:
        _check_model(spec, profile)


def _check_url(spec: TargetSpec) -> None:
    assert spec.base_url is not None
    for name, value in (
        ("--vllm-arg", spec.vllm_args),
        ("--vllm-python", spec.vllm_python),
        ("--image", spec.image),
        ("--port", spec.port),
    ):
        if value:
            raise UsageError(f"{name}: needs --model-dir; the server at --base-url already runs with its own")
    if spec.serve != "native":
        raise UsageError(f"--serve {spec.serve}: needs --model-dir; the server at --base-url already runs")
    seen: set[str] = set()
    for url in (spec.base_url, *spec.replicas):
        _check_reachable(url)
        if (normal := normal_url(url)) in seen:
            raise UsageError(f"--base-url {shown_url(url)}: given twice; name each server once")
        seen.add(normal)


def _check_reachable(url: str) -> None:
    host, port, _ = split_url(url)
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except (OSError, UnicodeError) as error:  # the latter for an impossible host name
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UsageError(
            f"--base-url {shown_url(url)}: no server reachable at {host}:{port} ({reason});"
            " start it, or fix host and port"
        ) from None


def split_url(url: str) -> tuple[str, int, str]:
    """(host, port, `/v1` path prefix) of a base URL, given with or without `/v1`.

    Raises:
        UsageError: not an http or https URL, or one that holds a user, a query or a fragment.
    """
    shown = shown_url(url)
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--base-url {shown}: {error}; give one such as http://127.0.0.1:8000/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url) or port == 0:
        raise UsageError(f"--base-url {shown}: not a URL of a server; give one such as http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"--base-url {shown}: holds a user, a query or a fragment; give host, port and path alone,"
            " and a key through --api-key-env"
        )
    if not re.fullmatch("[!-~]*", parts.path):
        raise UsageError(f"--base-url {shown}: its path holds a letter outside of ASCII; write it as %XX")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    if not path.endswith("/v1"):
        path += "/v1"
    return parts.hostname, port or (443 if parts.scheme == "https" else 80), path


def normal_url(url: str) -> str:
    """The base URL with `/v1` and without a trailing slash."""
    parts = urllib.parse.urlsplit(url)
    _, _, path = split_url(url)
    return f"{parts.scheme}://{parts.netloc}{path}"


def shown_url(url: str) -> str:
    """A URL for printing, without a possible password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://***@{tail}" if at else url.partition("?")[0]


def _check_model(spec: TargetSpec, profile: Profile) -> None:
    assert spec.model_dir is not None
    arguments = (*profile.serving.args, *spec.vllm_args)
    found = checkpoint.read(spec.model_dir, arguments)
    _check_arguments(arguments)
    tool_parsers.check(profile, spec.model_dir, arguments)
    if spec.startup_timeout <= 0:
        raise UsageError(f"--startup-timeout {spec.startup_timeout:g}: must be above 0 seconds")
    if spec.port is not None:
        if not 0 < spec.port < 65536:
            raise UsageError(f"--port {spec.port}: must be between 1 and 65535")
        if port_in_use(spec.port):
            raise UsageError(
                f"--port {spec.port}: in use by another process; stop that, name another, or leave --port out"
            )
    if spec.serve == "docker":
        _check_docker(spec, found)
    elif spec.serve != "native":
        raise UsageError(f"--serve {spec.serve}: must be native or docker")
    elif spec.image is not None:
        raise UsageError(f"--image {spec.image}: needs --serve docker")
    else:
        interpreter(spec)


_OURS = {
    "--model": "is set by this tool; leave it out",
    "--host": "is set by this tool; leave it out",
    "--uds": "is set by this tool; leave it out",
    "--port": "is set by this tool; use annie-eval's --port",
    "--served-model-name": "is set by this tool; use annie-eval's --served-model",
    "--api-key": "would be written to logs; use --api-key-env NAME",
    "--hf-token": "would be written to logs, and nothing is downloaded; leave it out",
    "--config": "hides its arguments from these checks; give each with --vllm-arg",
}


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that must not be passed to vLLM, in any spelling."""
    for argument, following in itertools.pairwise((*arguments, "")):
        if serving_args.trusts_code(argument):
            raise UsageError("--vllm-arg --trust-remote-code: code from a checkpoint is never run; leave it out")
        for name, reason in _OURS.items():
            if serving_args.means(argument, name):
                raise UsageError(f"--vllm-arg {name}: {reason}")
        value = (argument.partition("=")[2] or following).lower()  # as vLLM does
        if serving_args.means(argument, "--load-format") and value in ("pt", "npcache"):
            raise UsageError(
                f"--vllm-arg --load-format {value}: reads pickles, which can run code when loaded; leave it out"
            )


def _check_docker(spec: TargetSpec, found: checkpoint.Checkpoint) -> None:
    if not spec.image:
        raise UsageError("--serve docker: needs --image NAME, such as vllm/vllm-openai:v0.32.0")
    if spec.vllm_python is not None:
        raise UsageError(f"--vllm-python {spec.vllm_python}: is not used with --serve docker; leave it out")
    if shutil.which("docker") is None:
        raise UsageError("--serve docker: there is no docker command; install Docker, or use --serve native")
    root = found.path.resolve()
    for file in (root / "config.json", *found.weights):
        if not file.resolve().is_relative_to(root):
            raise UsageError(
                f"{file}: a link out of the directory, which a container cannot follow; copy it with `cp -rL`"
            )


def interpreter(spec: TargetSpec) -> Path:
    """The Python interpreter that has vLLM.

    Raises:
        UsageError: there is none.
    """
    if spec.vllm_python is not None:
        path = spec.vllm_python.expanduser()
        if path.is_dir():
            path = path / "bin" / "python"
        if not path.is_file():
            raise UsageError(f"--vllm-python {spec.vllm_python}: no such file; name a Python interpreter with vLLM")
        if not os.access(path, os.X_OK):
            raise UsageError(f"--vllm-python {spec.vllm_python}: not executable; name a Python interpreter with vLLM")
        return path.absolute()  # links are not resolved, because the interpreter of a virtual environment is a link
    if (found := server_python()) is not None:
        return found
    import importlib.util
    import sys

    if importlib.util.find_spec("vllm") is not None:
        return Path(sys.executable)
    raise UsageError(
        "no vLLM: neither .venv-vllm in this directory nor this Python has it;"
        " name an interpreter with --vllm-python, or use --serve docker or --base-url"
    )


def port_in_use(port: int) -> bool:
    """Whether 127.0.0.1:port cannot be bound now."""
    with socket.socket() as probe:
        # a closed connection in TIME_WAIT does not block the port
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

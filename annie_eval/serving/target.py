"""Opens a target: starts a server and waits until it answers, or connects to a URL."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annie_eval.errors import TargetError
from annie_eval.http_client import Client, Response, TransportError
from annie_eval.serving import checkpoint, fingerprint, remote
from annie_eval.serving.docker import docker_command
from annie_eval.serving.log_diagnosis import diagnose, excerpt
from annie_eval.serving.log_progress import StartUpProgress
from annie_eval.serving.native import Installation, ask, native_command, native_environment, vllm_arguments
from annie_eval.serving.remote import Kind
from annie_eval.serving.server import Server, reap_leftovers, state_dir
from annie_eval.serving.spec import TargetSpec, free_port, interpreter, normal_url

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile

LOG = "server.log"
_ANSWER_TOKENS = 8


class Target:
    """A server that is ready for requests.

    Attributes:
        base_url: with `/v1`.
        served_model: the served model name.
        kind: the kind of server, if it reports one.
        version: version of the server.
        replicas: base URLs of further servers that share the samples.
    """

    replicas: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        base_url: str,
        served_model: str,
        kind: Kind,
        version: str | None,
        facts: Mapping[str, Any],
        missing: Mapping[str, str],
        server: Server | None = None,
        instance: Mapping[str, Any] | None = None,
    ) -> None:
        self.base_url, self.served_model, self.kind, self.version = base_url, served_model, kind, version
        self._facts, self._missing, self._server = facts, missing, server
        self._instance = instance or {}

    def fingerprint(self) -> dict[str, Any]:
        """What must be equal for two runs to be comparable; JSON."""
        return dict(self._facts)

    def instance(self) -> dict[str, Any]:
        """Identifies the files or the process among those with the same fingerprint; {} if not possible. JSON."""
        return dict(self._instance)

    def capabilities(self) -> dict[str, str]:
        """What cannot be checked on this server, each with the reason."""
        return dict(self._missing)

    def alive(self) -> str | None:
        """None, or one line why a server started here died, and the fix. Always None for a server at a URL."""
        if self._server is None:
            return None
        how = self._server.ended()
        return None if how is None else _death(self._server, how)

    def close(self) -> None:
        """Stop what was started here, with all its processes. Safe to call again."""
        if self._server is not None:
            self._server.close()


class Greeting:
    """Identifies a server at a URL, in a thread, while the caller reads its profile."""

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._found: remote.Remote | Exception | None = None
        self._thread = threading.Thread(target=self._ask, name="annie-greeting", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        spec = self._spec
        assert spec.base_url is not None
        try:
            self._found = remote.ask(normal_url(spec.base_url), spec.api_key(), named=spec.served_model is not None)
        except Exception as error:
            self._found = error

    def result(self) -> remote.Remote:
        """Wait for the result. Raises like `annie_eval.serving.remote.ask`."""
        self._thread.join()
        if isinstance(self._found, Exception):
            raise self._found
        assert self._found is not None
        return self._found


def open_target(
    spec: TargetSpec,
    profile: Profile,
    run_dir: Path,
    progress: Callable[[str], None],
    cancel: threading.Event | None = None,
    greeting: Greeting | None = None,
) -> Target:
    """Start the server, or connect to the one at the URL; returns when it is ready.

    A server started here is ready when its process is alive, /v1/models lists its unique name, and it has answered a
    chat request. A server at a URL is only identified; the samples show whether it answers.

    Args:
        run_dir: directory of the log, `server.log`.
        progress: prints a line from time to time.
        cancel: when set, stop waiting and stop the server.
        greeting: the identification of the server at the URL, if it was started already.

    Raises:
        UsageError: the checkpoint, the interpreter or the URL cannot be used.
        TargetError: the server died, or did not answer in time; the message has the cause and the fix.
    """
    if spec.base_url is not None:
        return _connect(spec, profile, greeting or Greeting(spec))
    return _start(spec, profile, run_dir, progress, cancel or threading.Event())


def _connect(spec: TargetSpec, profile: Profile, greeting: Greeting) -> Target:
    assert spec.base_url is not None
    base_url = normal_url(spec.base_url)
    answer = greeting.result()
    target = _at(base_url, answer, spec, profile)
    if spec.replicas:
        from annie_eval.serving import replicas

        urls = [normal_url(url) for url in spec.replicas]
        others = {url: remote.ask(url, spec.api_key(), named=spec.served_model is not None) for url in urls}
        known = {url: _at(url, found, spec, profile) for url, found in others.items()}
        replicas.check_same(base_url, target.fingerprint(), {url: each.fingerprint() for url, each in known.items()})
        replicas.check_prompts([base_url, *urls], target.served_model, profile, spec.api_key())
        target.replicas = tuple(urls)
        processes = [answer.process, *(found.process for found in others.values())]
        target._instance = {"process": None if None in processes else processes}
    return target


def _at(base_url: str, found: remote.Remote, spec: TargetSpec, profile: Profile) -> Target:
    """The target at a URL, from what the server reports."""
    served = remote.choose_model(found, base_url, spec.served_model)
    listed = next((dict(model) for model in found.models if model["id"] == served), {})
    facts = {
        "server": found.kind,
        "server_version": found.version,
        "served_model": served,
        **{key: listed[key] for key in ("root", "max_model_len") if listed.get(key) is not None},
        **found.facts,
    }
    facts = {**fingerprint.of_profile(profile), **facts}
    # The profile's parsers do not apply, because the gate did not start this server.
    for name in ("tool_parser", "reasoning_parser", "chat_template_kwargs"):
        facts[name] = None
    return Target(
        base_url=base_url,
        served_model=served,
        kind=found.kind,
        version=found.version,
        facts=facts,
        missing=remote.missing(found),
        instance={"weights_files": fingerprint.written(spec.model_dir)}
        if spec.model_dir is not None
        else {"process": found.process},
    )


def _start(
    spec: TargetSpec, profile: Profile, run_dir: Path, progress: Callable[[str], None], cancel: threading.Event
) -> Target:
    assert spec.model_dir is not None
    states = state_dir(run_dir)
    reap_leftovers(states, progress)
    model = spec.model_dir.resolve()
    given = (*profile.serving.args, *spec.vllm_args)
    found = checkpoint.read(model, given)
    served = spec.served_model or f"{model.name}-{secrets.token_hex(4)}"
    port = spec.port or free_port()
    gpus = _gpus()
    missing: dict[str, str] = {}
    container = None
    if spec.serve == "docker":
        assert spec.image is not None
        arguments = arguments_of(spec, profile, found, None, served)
        container = f"annie-eval-{secrets.token_hex(6)}"
        command = docker_command(
            spec.image, model, port, arguments, name=container, api_key=spec.api_key() is not None
        )
        environment = dict(os.environ)
        if key := spec.api_key():
            environment["VLLM_API_KEY"] = key
        if found.trackable:
            missing["weights_track"] = (
                "not known whether this image can check that every scale was loaded; if it can (0.32 does), pass"
                """ --vllm-arg='--model-loader-extra-config={"enable_weights_track":true}'"""
            )
    else:
        vllm = ask(interpreter(spec))
        arguments = arguments_of(spec, profile, found, vllm, served)
        command = native_command(vllm.python, model, port, arguments)
        environment = native_environment(arguments, cpu=vllm.cpu, api_key=spec.api_key())
        if found.trackable and not vllm.weights_track:
            missing["weights_track"] = f"vLLM {vllm.version} cannot check that every scale of the model was loaded"
    if found.quantized and not found.trackable:
        missing["weights_track"] = (
            "vLLM's check that every scale was loaded would refuse this kind of checkpoint; the file headers were"
            " compared layer by layer instead"
        )
    if not any(argument.partition("=")[0] == "--enable-scale-out" for argument in arguments):
        missing["derender"] = (
            "the server's parsers are checked on its answers only; with --vllm-arg=--enable-scale-out it also parses"
            " their tokens again, and must come to the same"
        )
    environment["ANNIE_EVAL_RUN_DIR"] = str(run_dir)  # marks the process in /proc
    server = Server(command, environment=environment, log=run_dir / LOG, state_dir=states, container=container)
    base_url = f"http://127.0.0.1:{port}/v1"
    try:
        files = fingerprint.of_files(found, arguments)
        waiting = _Waiting(server, base_url, served, spec, profile, StartUpProgress(progress), cancel)
        version = asyncio.run(waiting.run())
        if version is None:
            missing["version"] = "the server does not tell its version"
        facts = {
            **files,
            **fingerprint.of_profile(profile),
            **fingerprint.of_log(server.log_text()),
            "server": "vllm",
            "server_version": version,
            "arguments": fingerprint.stable_arguments(arguments),
            "image": spec.image,
            "gpus": list(gpus),
        }
    except BaseException:
        server.close()
        raise
    return Target(
        base_url=base_url,
        served_model=served,
        kind="vllm",
        version=version,
        facts=facts,
        missing=missing,
        server=server,
        instance={"weights_files": fingerprint.written(model)},
    )


def arguments_of(
    spec: TargetSpec, profile: Profile, model: checkpoint.Checkpoint, vllm: Installation | None, served_model: str
) -> list[str]:
    """vLLM's arguments for a target on this machine; `vllm` is None for a container image."""
    return vllm_arguments(
        model,
        profile,
        spec.vllm_args,
        served_model=served_model,
        # Compiling for a CPU takes a minute and makes it only a sixth faster.
        eager=vllm is not None and vllm.cpu,
        weights_track=vllm is not None and vllm.weights_track,
        language_model_only=vllm is None or vllm.language_model_only,
        gpus=_gpus(),
    )


def _gpus() -> tuple[str, ...]:
    from annie_eval.serving.machine import local_gpus

    return local_gpus()


def _death(server: Server, how: str) -> str:
    log = server.log_text()
    cause, fix = diagnose(log, how)
    return f"the server {how}: {cause}; {fix} (log: {server.log})"


class _Waiting:
    """Waits for one server until it lists its unique name and has answered."""

    def __init__(
        self,
        server: Server,
        base_url: str,
        served: str,
        spec: TargetSpec,
        profile: Profile,
        progress: StartUpProgress,
        cancel: threading.Event,
    ) -> None:
        self.server, self.base_url, self.served, self.spec, self.profile = server, base_url, served, spec, profile
        self.progress, self.cancel = progress, cancel
        self.end = time.monotonic() + spec.startup_timeout
        self.stranger = ""

    async def run(self) -> str | None:
        """Wait; returns the server's version."""
        client = Client(self.base_url, api_key=self.spec.api_key(), timeout=5.0)
        while not await self._lists_us(client):
            await self._pause(0.2)
        await self._answers()
        return await self._version()

    async def _pause(self, seconds: float) -> None:
        self._check()
        self.progress.show(self.server.log_text(last=65536))
        await asyncio.sleep(seconds)

    def _check(self) -> None:
        """Raise TargetError if waiting is useless."""
        if self.cancel.is_set():
            raise TargetError("stopped while the server was starting")
        if (how := self.server.ended()) is not None:
            raise TargetError(_death(self.server, how))
        if time.monotonic() > self.end:
            raise TargetError(self._late())

    def _late(self) -> str:
        log = self.server.log_text()
        doing = excerpt(log)
        other = f"; {self.stranger}" if self.stranger else ""
        return (
            f"the server was not ready within {self.spec.startup_timeout:g} s{other}; last it wrote: {doing};"
            f" give it longer with --startup-timeout, or look into {self.server.log}"
        )

    async def _lists_us(self, client: Client) -> bool:
        try:
            answer = await client.request("GET", "/models")
            names = [str(model["id"]) for model in json.loads(answer.body)["data"]]
        except (TransportError, ValueError, KeyError, TypeError):
            return False
        if self.served in names:
            return True
        # Another server has the port; this one will fail to bind it and report that.
        self.stranger = f"another server answers on this port, with {', '.join(names) or 'no model'}"
        return False

    async def _answers(self) -> None:
        """Request one answer in the same way as for samples: with system prompt and tools in the template."""
        body: dict[str, Any] = {
            "model": self.served,
            "messages": [
                {"role": "system", "content": self.profile.system_prompt},
                {"role": "user", "content": "Hello! Who are you?"},
            ],
            "max_tokens": _ANSWER_TOKENS,
            "temperature": 0,
        }
        if self.profile.serving.tool_parser and self.profile.tools:
            body["tools"] = [dict(tool) for tool in self.profile.tools.values()]
        client = Client(self.base_url, api_key=self.spec.api_key(), timeout=max(1.0, self.end - time.monotonic()))
        request = asyncio.create_task(client.post("/chat/completions", body))
        try:
            while not request.done():
                await asyncio.wait([request], timeout=0.2)
                if not request.done():
                    await self._pause(0)
            _choice(request.result())
        except TransportError as error:
            await asyncio.sleep(0.5)  # a server that died because of the request needs a moment to end
            self._check()
            raise TargetError(self._refusal(error)) from None
        finally:
            request.cancel()

    def _refusal(self, error: TransportError) -> str:
        body = error.body.decode("utf-8", "replace") if error.body else ""
        cause, fix = diagnose(f"{self.server.log_text()}\n{body}", "answered with an error")
        return (
            f"the server started, but its first answer failed: {error.cause}; {cause}; {fix} (log: {self.server.log})"
        )

    async def _version(self) -> str | None:
        client = Client(self.base_url.removesuffix("/v1"), api_key=self.spec.api_key(), timeout=5.0)
        try:
            answer = await client.request("GET", "/version")
            version = json.loads(answer.body)["version"]
            return version if isinstance(version, str) else None
        except (TransportError, ValueError, KeyError, TypeError):
            return None


def _choice(answer: Response) -> None:
    try:
        message = json.loads(answer.body)["choices"][0]["message"]
        if not isinstance(message, dict):
            raise TypeError
    except (ValueError, KeyError, TypeError, IndexError):
        body = " ".join(answer.body[:120].decode("utf-8", "replace").split())
        raise TransportError(f"no choice in {body!r}", resend=False) from None

"""The checks of `annie-eval doctor`, one line each: files, server, start or connection, one streamed answer."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from annie_eval.errors import ExchangeError, TargetError, UsageError
from annie_eval.http_client import Client, Response, TransportError
from annie_eval.serving.log_diagnosis import explained
from annie_eval.serving.spec import TargetSpec, check, interpreter, split_url
from annie_eval.text import printable

if TYPE_CHECKING:
    from annie_eval.profile.types import Profile
    from annie_eval.serving.target import Target

_QUESTION = "Hello! Who are you?"
_TOKENS = 64
FirstToken = Callable[[Response], int | None]


def doctor(spec: TargetSpec, profile: Profile, out: TextIO, first_token: FirstToken) -> int:
    """Run the checks in order and stop at the first that fails, because later ones depend on it.

    Args:
        out: prints the lines `ok    what: detail`, `note  what: detail` and `FAIL  what: cause; fix`.
        first_token: the time of the first token in a streamed response, in nanoseconds; None if there is none.

    Returns:
        0 if all is well, 1 for a fault of the target, 2 for wrong input.
    """
    with tempfile.TemporaryDirectory(prefix="annie-eval-doctor-") as name:
        return _Doctor(spec, profile, out, Path(name), first_token).run()


class _Doctor:
    def __init__(
        self, spec: TargetSpec, profile: Profile, out: TextIO, directory: Path, first_token: FirstToken
    ) -> None:
        self.spec, self.profile, self.out, self.dir, self.first_token = spec, profile, out, directory, first_token
        self.target: Target | None = None

    def run(self) -> int:
        steps: list[tuple[str, Callable[[], str]]] = [("target", self._input)]
        if self.spec.model_dir is not None:
            steps += [("checkpoint", self._checkpoint), ("server", self._server)]
        steps += [("start" if self.spec.model_dir else "connect", self._open), ("answer", self._answer)]
        try:
            for what, step in steps:
                try:
                    self._line("ok", what, step())
                except UsageError as error:
                    self._line("FAIL", what, str(error))
                    return 2
                except TargetError as error:
                    self._line("FAIL", what, str(error))
                    self._keep_log()
                    return 1
            return 0
        finally:
            if self.target is not None:
                self.target.close()

    def _line(self, sign: str, what: str, detail: str) -> None:
        print(f"{sign:5} {what}: {printable(detail)}", file=self.out, flush=True)

    def _input(self) -> str:
        check(self.spec, self.profile)
        if self.spec.base_url is not None:
            host, port, _ = split_url(self.spec.base_url)
            return f"{host}:{port} takes connections"
        return f"{self.spec.model_dir} is a complete safetensors checkpoint with tokenizer and chat template"

    def _checkpoint(self) -> str:
        from annie_eval.serving import checkpoint

        assert self.spec.model_dir is not None
        found = checkpoint.read(self.spec.model_dir, (*self.profile.serving.args, *self.spec.vllm_args))
        size = sum(file.stat().st_size for file in found.weights) / 1e9
        kind = found.config.get("model_type")
        return f"{kind}, {found.algorithm or 'not quantised'}, {len(found.weights)} files, {size:.2f} GB"

    def _server(self) -> str:
        if self.spec.serve == "docker":
            return f"image {self.spec.image}, started by the docker command"
        from annie_eval.serving.native import ask

        vllm = ask(interpreter(self.spec))
        checks = "checks" if vllm.weights_track else "cannot check"
        return f"vLLM {vllm.version} for {'CPU' if vllm.cpu else 'GPU'}, {checks} that quantised weights are complete"

    def _open(self) -> str:
        from annie_eval.serving.target import open_target

        began = time.monotonic()
        target = self.target = open_target(
            self.spec, self.profile, self.dir, lambda line: self._line("...", "start", line)
        )
        took = time.monotonic() - began
        for name, reason in sorted(target.capabilities().items()):
            self._line("skip", name, reason)
        facts = target.fingerprint()
        self._known(facts)
        kernels = ", ".join(facts.get("kernels") or ()) or "no quantised kernel"
        summary = f"{target.kind} {target.version or '(version unknown)'} serves {target.served_model}"
        if self.spec.model_dir is None:
            return f"{summary} at {target.base_url}"
        return f"{summary}; first answer after {took:.1f} s; {kernels}"

    def _answer(self) -> str:
        """Ask as samples are asked: streamed, with the profile's system prompt, tools and sampling."""
        from annie_eval.profile.types import Scenario, Turn, Variant
        from annie_eval.wire.conversation import next_request
        from annie_eval.wire.parse import parse

        assert self.target is not None
        hello = Scenario("doctor", "doctor", (Turn(_QUESTION),), max_tokens=_TOKENS)
        request = next_request(self.profile, hello, Variant(), (), model=self.target.served_model, token_ids=False)
        assert request is not None
        timeout = self.profile.traffic.request_timeout
        client = Client(self.target.base_url, api_key=self.spec.api_key(), timeout=timeout)
        try:
            response = asyncio.run(client.post("/chat/completions", request.body))
            answer, first = parse(response.body, streamed=True), self.first_token(response)
        except TransportError as error:
            raise TargetError(f"a streamed chat request failed: {explained(error)}") from None
        except ExchangeError as error:
            raise TargetError(f"a streamed chat request failed: {error}") from None
        came = [name for name in ("reasoning", "content", "tool_calls") if getattr(answer, name)]
        reason = f"finish reason {answer.finish_reason or 'missing'}"
        if not came or first is None:
            raise TargetError(f"the answer to a streamed chat request has no text and no tool call; {reason}")
        count = None if answer.usage is None else answer.usage.completion_tokens
        tokens = "" if count is None else f"{count} tokens, "
        return f"came by {' and '.join(came)}; {tokens}{reason}, TTFT {first / 1e6:.0f} ms"

    def _known(self, facts: Mapping[str, Any]) -> None:
        """Name the known defects that this server may have."""
        if self.spec.model_dir is None:
            return
        from annie_eval.serving import checkpoint
        from annie_eval.serving.known_defects import matching

        arguments = facts["arguments"]
        model = checkpoint.read(self.spec.model_dir, arguments)
        cpu = not facts["gpus"]
        for defect in matching(facts["server_version"], arguments, model.config, model.algorithm, cpu=cpu):
            self._line("note", "known defect", str(defect))

    def _keep_log(self) -> None:
        """Move the server's log out of the temporary directory."""
        from annie_eval.serving.target import LOG

        log = self.dir / LOG
        if log.is_file() and log.stat().st_size:
            with tempfile.NamedTemporaryFile("wb", prefix="annie-eval-server-", suffix=".log", delete=False) as kept:
                kept.write(log.read_bytes())
            self._line("...", "log", kept.name)

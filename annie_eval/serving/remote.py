"""Connects to a running server: finds out what it serves, and what cannot be checked on it.

All requests are sent at once, because a server may be slow (SGLang gets one more). Nothing is guessed: a server that
does not identify itself is `unknown`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from annie_eval.errors import TargetError, UsageError
from annie_eval.http_client import Client, Response, TransportError

Kind = Literal["vllm", "llama-server", "sglang", "transformers", "unknown"]
TIMEOUT = 20.0  # seconds for each request
# The paths besides /v1/models; each is answered by only one kind of server. `transformers serve` answers a GET of
# /load_model with 405, because it expects a POST; so does vLLM with --enable-scale-out for derender. Of /metrics only
# its existence matters.
# Not more, because with /v1/models these are six connections at once, the maximum of a backlog of five.
_PROBES = ("/version", "/props", "/load_model", "/metrics", "/v1/chat/completions/derender")
# `owned_by` in /v1/models: vLLM and SGLang set it in their protocol.py, llama.cpp in its server.
_PROCESS = re.compile(rb"^process_start_time_seconds ([0-9.e+]{1,40})\s*$", re.MULTILINE)
_OWNERS: Mapping[str, Kind] = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama-server"}


@dataclass(frozen=True, slots=True)
class Remote:
    """What a server reports about itself.

    Attributes:
        models: entries of /v1/models.
        facts: fields of the fingerprint, by name.
        metrics: it has /metrics with vLLM's own counters.
        derender: it can parse given token ids.
        process: start time of its process from prometheus_client; None if not reported.
    """

    kind: Kind
    version: str | None
    models: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    metrics: bool = False
    derender: bool = False
    process: str | None = None


def ask(base_url: str, api_key: str | None, *, named: bool = False) -> Remote:
    """Identify a server.

    Args:
        base_url: with `/v1`.
        named: the user named the model, so that a broken list of models does not matter (`transformers serve` without
            a hub cache answers 500); the samples show whether the server works.

    Raises:
        TargetError: it does not answer, or is not an OpenAI-compatible server.
        UsageError: it refuses the API key, or needs one.
    """
    return asyncio.run(_ask(base_url, api_key, named))


async def _ask(base_url: str, api_key: str | None, model_is_named: bool) -> Remote:
    root = base_url.removesuffix("/v1")
    api, outer = (Client(url, api_key=api_key, timeout=TIMEOUT) for url in (base_url, root))

    async def get(client: Client, path: str) -> Response | TransportError:
        try:
            return await client.request("GET", path)
        except TransportError as error:
            return error

    models, *others = await asyncio.gather(get(api, "/models"), *(get(outer, path) for path in _PROBES))
    listed = _models(base_url, models, model_is_named)
    owners = {str(model.get("owned_by")).lower() for model in listed}
    named = next((_OWNERS[owner] for owner in owners if owner in _OWNERS), None)
    info = _object(await get(outer, "/get_model_info")) if named == "sglang" else {}
    version, props, load, metrics, derender = others
    version_answer, props_answer = _object(version), _object(props)
    kind: Kind = "unknown"
    facts: dict[str, Any] = {}
    release: str | None = None
    if named == "llama-server" or "default_generation_settings" in props_answer:
        kind, release = "llama-server", _text(props_answer.get("build_info"))
        facts = {key: props_answer[key] for key in ("model_path", "chat_template") if key in props_answer}
    elif named == "sglang":
        kind = "sglang"
        facts = {key: info[key] for key in ("model_path", "tokenizer_path", "weight_version") if key in info}
    elif named == "vllm" or (named is None and _text(version_answer.get("version")) and _is_vllm(metrics)):
        kind, release = "vllm", _text(version_answer.get("version"))
    elif _is_posted_to(load):
        kind = "transformers"
    else:
        release = _text(version_answer.get("version"))
    return Remote(
        kind,
        release,
        listed,
        facts,
        metrics=_is_vllm(metrics),
        derender=_is_posted_to(derender),
        process=_started(metrics),
    )


def _is_posted_to(answer: Response | TransportError) -> bool:
    """Whether the path exists, but not for GET."""
    return isinstance(answer, TransportError) and answer.status == 405


def _started(metrics: Response | TransportError) -> str | None:
    found = _PROCESS.search(metrics.body) if isinstance(metrics, Response) else None
    return None if found is None else found[1].decode()


def _is_vllm(metrics: Response | TransportError) -> bool:
    return isinstance(metrics, Response) and b"vllm:" in metrics.body


def _models(base_url: str, answer: Response | TransportError, named: bool) -> tuple[Mapping[str, Any], ...]:
    if isinstance(answer, TransportError):
        if answer.status in (401, 403):
            raise UsageError(
                f"--base-url {base_url}: refuses the API key (HTTP {answer.status}); name the variable that holds it"
                " with --api-key-env"
            )
        if answer.status is not None and (named or answer.status < 500):
            return ()  # some servers list nothing; --served-model then names the model
        raise TargetError(f"{base_url}/models: {answer.cause}; is this the base URL of an OpenAI-compatible server?")
    data = _object(answer).get("data")
    if not isinstance(data, list):
        body = " ".join(answer.body[:80].decode("utf-8", "replace").split())
        raise TargetError(
            f"{base_url}/models: answers {body!r} and no list of models;"
            " is this the base URL of an OpenAI-compatible server?"
        )
    return tuple(model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str))


def choose_model(remote: Remote, base_url: str, wanted: str | None) -> str:
    """The served model: `wanted`, or the only one listed.

    Raises:
        UsageError: not listed, or not exactly one to choose from.
    """
    names = [str(model["id"]) for model in remote.models]
    if wanted is not None:
        # llama-server accepts any name, and `transformers serve` loads the model that is requested.
        if names and wanted not in names and remote.kind not in ("llama-server", "transformers"):
            raise UsageError(f"--served-model {wanted}: not served at {base_url}, which has {', '.join(names)}")
        return wanted
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(
            f"--base-url {base_url}: {base_url}/models lists no model; fix the path, or name one with --served-model"
        )
    raise UsageError(f"--base-url {base_url}: serves {', '.join(names)}; choose one with --served-model")


def missing(remote: Remote) -> dict[str, str]:
    """What cannot be checked on this server, and why."""
    gaps = {"weights": "a server given by URL does not show its files: the fingerprint has only what it reports"}
    if remote.version is None:
        gaps["version"] = f"this server ({remote.kind}) does not report its version"
    if not remote.metrics:
        gaps["metrics"] = "no vLLM counters at /metrics: client timings are not checked against the server's own"
    if remote.kind != "vllm":
        gaps["token_ids"] = (
            "only vLLM returns token ids: streamed and unstreamed answers are compared by structure, not by text"
        )
    if not remote.derender:
        gaps["derender"] = (
            "the server's parsers are checked on its answers only; a vLLM with --enable-scale-out also parses their"
            " tokens again, and must come to the same"
        )
    if remote.kind == "unknown":
        gaps["kind"] = "the server does not identify itself"
    return gaps


def _object(answer: Response | TransportError) -> dict[str, Any]:
    if isinstance(answer, TransportError):
        return {}
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:100] if isinstance(value, str) and value else None

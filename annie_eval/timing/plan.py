"""The timing plan: the measurements to make, as plain data for the timing process."""

from __future__ import annotations

import ipaddress
import itertools
import json
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from annie_eval.errors import UsageError
from annie_eval.profile.types import Profile, Variant
from annie_eval.timing import hardware as machines
from annie_eval.timing.result import ROWS
from annie_eval.timing.roofline import Bounds, Model, bounds, read_model

SHORT_QUESTION = "Hello! Is it going to be a nice day?"


@dataclass(frozen=True, slots=True)
class Plan:
    """One timing run.

    Attributes:
        base_url: with `/v1`.
        served_model: the model name; None takes the one that the server lists.
        api_key_env: name of the environment variable that holds the key; the key itself is never written down.
        rows: names from `ROWS`.
        short, tool: chat requests for the short question and for a tool call, without model and stream; `tool` is None
            if no scenario of the profile expects exactly one call.
        limits: by name; a row whose limit is missing is measured and INCONCLUSIVE.
        contexts: prompt lengths in tokens; those that exceed the server's context are left out with a note.
        streams: concurrent requests of the goodput gate.
        bounds: the roofline; None if model or machine are unknown.
        vocabulary: size of the vocabulary, for random prompts.
        timeout: seconds for one request.
        quiet_wait: seconds to wait for an idle server before it is measured under load.
        output: JSON Lines file for raw samples and rows, appended to as they are measured.
        notes: unknown facts, which go into every row.
    """

    base_url: str
    served_model: str | None
    rows: tuple[str, ...]
    short: Mapping[str, Any]
    tool: Mapping[str, Any] | None = None
    api_key_env: str | None = None
    hardware: str | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    contexts: tuple[int, ...] = (512, 1024, 2048, 4096)
    streams: int = 4
    bounds: Bounds | None = None
    vocabulary: int | None = None
    timeout: float = 120.0
    quiet_wait: float = 30.0
    output: str | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan. Raises UsageError if `to_json` did not write it."""
        try:
            values = json.loads(text)
            raw = values.pop("bounds")
            bounds = None if raw is None else Bounds(**{**raw, "model": Model(**raw["model"])})
            for name in ("rows", "contexts", "notes"):
                values[name] = tuple(values[name])
            return cls(**values, bounds=bounds)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UsageError(f"timing plan: not one that annie_eval.timing.Plan.to_json wrote ({error!r})") from None


def plan_for(
    profile: Profile,
    rows: Sequence[str],
    *,
    base_url: str,
    served_model: str | None = None,
    api_key_env: str | None = None,
    model_dir: Path | None = None,
    hardware: str | None = None,
    gpus: Sequence[str] = (),
    cores: int = 1,
    output: Path | None = None,
) -> Plan:
    """Make the plan for the timing process from the options of pytest or the command line. Sends no request.

    Args:
        rows: names of timing gates.
        model_dir: the served checkpoint; without it there is no roofline.
        hardware: a name from the hardware table; None uses the GPU of this machine, if the server is local.
        gpus: names of the GPUs of this machine; () if it has none.
        cores: cores of this machine that a local server may use.

    Raises:
        UsageError: an unknown row or machine, or an invalid [hardware.NAME] value.
    """
    for row in rows:
        if row not in ROWS:
            raise UsageError(f"timing gate {row!r}: unknown; one of {', '.join(ROWS)}")
    base_url = base_url.rstrip("/")
    if not base_url.endswith("/v1"):
        base_url += "/v1"
    local = is_local(base_url)
    machine = machines.choose(machines.table(profile), hardware, tuple(gpus) if local else (), local=local)
    notes = []
    if machine is None:
        notes.append("no limits: the server's hardware is unknown, name it with --hardware")
    model = read_model(model_dir) if model_dir is not None else None
    ceiling = None
    if machine is not None and model is not None:
        ceiling = bounds(model, machine, devices=_devices(profile.serving.args), cores=cores)
        if machine.per_core and not local:
            ceiling = None
    if ceiling is None:
        why = "the checkpoint" if model is None else "what the hardware can do"
        notes.append(f"no roofline: {why} is not known here")
    plan = Plan(
        base_url=base_url,
        served_model=served_model,
        rows=tuple(rows),
        short=_short(profile),
        tool=_tool(profile),
        api_key_env=api_key_env,
        hardware=None if machine is None else machine.name,
        limits={} if machine is None else machine.limits,
        bounds=ceiling,
        vocabulary=None if model is None else model.vocabulary,
        timeout=profile.traffic.request_timeout,
        output=None if output is None else str(output),
        notes=tuple(notes),
    )
    return plan if machine is None else replace(plan, contexts=machine.contexts, streams=machine.streams)


def is_local(base_url: str) -> bool:
    """Whether a URL has a loopback address of this machine."""
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _short(profile: Profile) -> dict[str, Any]:
    """A short question with the assistant's system prompt, without tools, so that the prompt is short."""
    messages = [{"role": "system", "content": profile.system_prompt}] if profile.system_prompt else []
    messages.append({"role": "user", "content": SHORT_QUESTION})
    body: dict[str, Any] = {"messages": messages, "temperature": 0.0}
    if profile.serving.thinking_kwarg:
        body["chat_template_kwargs"] = {profile.serving.thinking_kwarg: False}
    return body | dict(profile.sampling.extra)


def _tool(profile: Profile) -> dict[str, Any] | None:
    """The request of the first scenario whose first answer must be a tool call; None if there is none."""
    from annie_eval.wire.conversation import next_request

    for scenario in profile.scenarios:
        calls = scenario.turns[0].expect.calls
        if calls and not calls[0].optional and scenario.tools != ():
            request = next_request(profile, scenario, Variant(), (), model="", token_ids=False)
            if request is not None and request.body.get("tools"):
                sent = ("model", "stream", "stream_options")
                return {key: value for key, value in request.body.items() if key not in sent}
    return None


def _devices(args: Sequence[str]) -> int:
    """Number of GPUs of one copy of the model, by vLLM's arguments."""
    count = 1
    words = [word for arg in args for word in arg.split("=", 1)]
    for flag, value in itertools.pairwise(words):
        if flag in ("--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp") and value.isdigit():
            count *= int(value)
    return count

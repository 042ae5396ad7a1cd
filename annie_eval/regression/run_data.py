"""Reads a stored run as plain data for comparisons: fingerprint, judgements, replies and timings."""

from __future__ import annotations

import hashlib
import json
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annie_eval.errors import ExchangeError, UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.run.store import Store, StoredExchange, StoredSample
from annie_eval.timing.machine import Reading
from annie_eval.untrusted.regular_files import is_file, read_bytes
from annie_eval.wire import parse

TIMINGS = "timing.jsonl"
_VARIANT = re.compile(r"\.(?P<stream>stream|unstreamed)\.(?P<thinking>on|off|unset)(?P<repeat>\.\d+)?$")


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """The channels of one reply, as plain text."""

    content: str | None
    reasoning: str | None
    calls: tuple[tuple[str | None, str | None], ...]
    finish_reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """For verdict.json; absent channels are left out."""
        calls = [{"name": name, "arguments": arguments} for name, arguments in self.calls]
        told = {"content": self.content, "reasoning": self.reasoning, "finish_reason": self.finish_reason}
        return {key: value for key, value in {**told, "tool_calls": calls or None}.items() if value is not None}


@dataclass(frozen=True, slots=True)
class AnsweredSample:
    """One answered sample.

    Attributes:
        asked: hash of the first request without the model's name: equal if two runs sent the same request.
        prompt: hash of the prompt's token ids as rendered by the server; None if it does not return them.
        prompt_tokens: length of that prompt, as reported by the server.
        replies: one for each exchange; () if the sample broke.
        tools: names of the offered tools.
        error: why it broke.
    """

    key: str
    asked: str
    prompt: str | None
    prompt_tokens: int | None
    replies: tuple[RecordedReply, ...]
    tools: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class RunData:
    """A run.

    `judgements` by gate and sample key; `timings` by row: one number per request; `machine` as it was while timings
    were measured, () if nothing was read.
    """

    dir: Path
    name: str
    facts: Mapping[str, Any]
    judgements: Mapping[str, Mapping[str, Judgement]]
    heard: Mapping[str, AnsweredSample]
    timings: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    machine: tuple[Reading, ...] = ()

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """As `run.store` has it. A run that started its server has the served path, too, like a server at a URL."""
        found: Mapping[str, Any] = self.facts.get("fingerprint") or {}
        target = (self.facts.get("identity") or {}).get("target")
        native = "arguments" in found and found.get("image") is None and target is not None
        return {"root": target, **found} if native else found

    @property
    def snapshot(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.facts.get("profile_snapshot") or {}
        return found


def scenario_of(key: str) -> str:
    """The scenario that a sample key belongs to: `weather-zurich` of `weather-zurich.unstreamed.off.2`."""
    return _VARIANT.sub("", key)


def first_of(key: str) -> str:
    """The first repeat of a sample: `hello.unstreamed.off` of `hello.unstreamed.off.3`."""
    found = _VARIANT.search(key)
    return key if found is None or not found["repeat"] else key.removesuffix(found["repeat"])


def twin_of(key: str) -> str | None:
    """The key of the same question in the other transport (streamed or unstreamed); None for another kind of key."""
    found = _VARIANT.search(key)
    if found is None:
        return None
    other = "unstreamed" if found["stream"] == "stream" else "stream"
    return f"{key[: found.start()]}.{other}.{found['thinking']}{found['repeat'] or ''}"


def read(run_dir: Path, name: str | None = None) -> RunData:
    """Read a run.

    Raises:
        UsageError: there is no run, or its file is damaged.
    """
    store = Store(run_dir)
    try:
        facts = store.all_meta()
        # In the profile's order, like in all reports.
        judgements: dict[str, dict[str, Judgement]] = {
            gate: {} for gate in (facts.get("profile_snapshot") or {}).get("gates", ())
        }
        for judgement in store.judgements():
            judgements.setdefault(judgement.gate, {})[judgement.sample] = judgement
        heard = {stored.key: _heard(stored) for stored in store.samples()}
        loaded = _under_load(store)
    except (sqlite3.DatabaseError, ExchangeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{run_dir}: the run's file is damaged ({type(error).__name__}: {error}); run again"
        ) from error
    finally:
        store.close()
    judgements = {gate: of for gate, of in judgements.items() if of}
    measured = {**measurements(run_dir / TIMINGS), **loaded}
    return RunData(run_dir, name or run_dir.name, facts, judgements, heard, measured, machine(run_dir / TIMINGS))


def _heard(stored: StoredSample) -> AnsweredSample:
    answers = replies(stored)
    if not stored.exchanges:
        return AnsweredSample(stored.key, "", None, None, (), error=stored.error)
    first = stored.exchanges[0]
    request = {key: value for key, value in first.request.items() if key not in ("model", "return_token_ids")}
    tools = tuple(str(tool.get("function", {}).get("name")) for tool in request.get("tools", ()))
    streamed = bool(first.request.get("stream"))
    prompt, length = None, None
    try:
        ids = parse.prompt_token_ids(first.body, streamed=streamed)
        prompt = None if ids is None else _hash(ids)
        usage = parse.parse(first.body, streamed=streamed).usage
        length = None if usage is None else usage.prompt_tokens
    except ExchangeError:
        pass  # the sample's error says what broke
    return AnsweredSample(stored.key, _hash(request), prompt, length, answers, tools, stored.error)


def replies(stored: StoredSample) -> tuple[RecordedReply, ...]:
    """One reply for each exchange; () if the sample broke. Raises ExchangeError if a body cannot be parsed."""
    return tuple(_reply(each) for each in stored.exchanges) if stored.error is None else ()


def _reply(exchange: StoredExchange) -> RecordedReply:
    answer = parse.parse(exchange.body, streamed=bool(exchange.request.get("stream")))
    calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
    return RecordedReply(answer.content, answer.reasoning, calls, answer.finish_reason)


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def measurements(path: Path) -> dict[str, tuple[float, ...]]:
    """The measurements of an idle server from `timing.jsonl`, by row; {} if nothing was measured.

    An incomplete last line is ignored.
    """
    found: dict[str, list[float]] = {}
    for measurement in _events(path, "measurement", "shot"):  # files of format 1 have `shot`
        if measurement.get("error") is not None:
            continue
        try:
            for row, value in _measured(measurement):
                if isinstance(value, int | float) and 0 < value < math.inf:
                    found.setdefault(row, []).append(float(value))
        except (ValueError, AttributeError, OverflowError):
            continue
    return {row: tuple(values) for row, values in found.items()}


def machine(path: Path) -> tuple[Reading, ...]:
    """Readings of the machine during the last timings in `timing.jsonl`; () if there are none."""
    found: tuple[Reading, ...] = ()
    for event in _events(path, "machine"):
        try:
            found = tuple(map(Reading.from_dict, event["readings"]))
        except (LookupError, TypeError, ValueError, AttributeError):
            continue
    return found


def _events(path: Path, *names: str) -> Iterator[dict[str, Any]]:
    """Events of these names from a file of JSON Lines; lines that are no JSON object are ignored."""
    for line in read_bytes(path).decode("utf-8", "replace").splitlines() if is_file(path) else ():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and event.get("event") in names:
            yield event


def _measured(measurement: Mapping[str, Any]) -> list[tuple[str, Any]]:
    match measurement.get("source"):
        case "short":
            return [("ttft_short", measurement.get("ttft_ms")), ("decode", measurement.get("rate"))]
        case "cold":
            return [(f"ttft_cold_{measurement.get('context')}", measurement.get("ttft_ms"))]
        case "warm":
            return [(f"ttft_warm_{measurement.get('context')}", measurement.get("ttft_ms"))]
        case "tool":
            return [("tool_call", measurement.get("call_ms"))]
    return []


def _under_load(store: Store) -> dict[str, tuple[float, ...]]:
    """Time to first byte and decode rate of the streamed samples, measured under load and therefore not judged."""
    first: list[float] = []
    rates: list[float] = []
    for stored in store.samples():
        if stored.error is not None or not stored.exchanges:
            continue
        exchange = stored.exchanges[0]
        if not exchange.request.get("stream") or not exchange.reads:
            continue
        first.append(exchange.reads[0][0] / 1e6)
        try:
            usage = parse.parse(exchange.body, streamed=True).usage
        except ExchangeError:
            continue
        tokens = None if usage is None else usage.completion_tokens
        seconds = (exchange.reads[-1][0] - exchange.reads[0][0]) / 1e9
        if tokens is not None and tokens >= 8 and seconds > 0:
            rates.append((tokens - 1) / seconds)
    told = {"ttft_under_load": tuple(first), "decode_under_load": tuple(rates)}
    return {row: values for row, values in told.items() if values}

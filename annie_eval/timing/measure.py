"""Runs a timing plan: one request at a time on an idle server, until every gate is decided.

This is the only module here that sends requests. It runs in the timing process, which imports only the standard
library, so that garbage collection and the GIL of a test runner do not delay timestamps.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

from annie_eval.errors import ExchangeError
from annie_eval.timing import verdict
from annie_eval.timing.confirm import error_row
from annie_eval.timing.connection import Connection, LostConnection
from annie_eval.timing.gates import SOURCES, evaluate
from annie_eval.timing.measurement import Measurement, Source, measurement, pair_rate
from annie_eval.timing.plan import Plan
from annie_eval.timing.prompts import Capabilities, Prepared, Requests, Unusable, probe
from annie_eval.timing.result import TimingResult
from annie_eval.timing.server_metrics import LEAST_TOKENS, TTFT_SLACK_MS, MetricsReader, ServerMetrics, difference
from annie_eval.timing.stream import Observed, observe

Emit = Callable[[str, Mapping[str, Any]], None]

ANSWER_TOKENS = 64  # minimum number of tokens for a rate within 0.5 %; a multiple of usual chunk sizes
CONTEXT_TOKENS = 32
ANSWER_S = 0.5  # minimum duration including the wait, so that a millisecond of HTTP matters little
MOST_TOKENS = 512
LEAST_CONTEXT = 64
STREAM_TOKENS = 32
FIRST_TOKENS = 4  # tokens of an answer if only TTFT is measured and a short answer suffices
CALL_TOKENS = 256
FURTHER_S = 120.0  # seconds after which no further round for `rule.FURTHER_LOOKS` is started
_SHAPES = ("ttft_cold", "ttft_warm")
_MULTI = (*_SHAPES, "decode_flat")


@dataclass(frozen=True, slots=True)
class _Step:
    """One request of a round, and the warm request after a cold one."""

    source: Literal["short", "cold", "tool"]
    context: int = 0
    warm: bool = False


def measure(plan: Plan, emit: Emit) -> list[TimingResult]:
    """Make all measurements of a plan; rows are emitted in the order in which they are decided.

    Args:
        emit: called with (`capabilities` | `measurement` | `row` | `progress`, values) as things happen.
    """
    key = os.environ.get(plan.api_key_env) if plan.api_key_env else None
    connection = Connection(plan.base_url, key, plan.timeout)
    try:
        metrics = MetricsReader(Connection(plan.base_url, key, plan.timeout), plan.served_model)
        capabilities = probe(connection, plan, block_size=metrics.block_size, metrics=metrics.available)
    except (LostConnection, Unusable) as error:
        rows = [error_row(name, plan, str(error)) for name in plan.rows]
        for row in rows:
            emit("row", row.as_dict())
        return rows
    metrics.model = capabilities.model
    emit("capabilities", {**_plain(capabilities), "rows": list(plan.rows)})
    return _Bench(plan, capabilities, metrics, key, emit).run()


class _Bench:
    def __init__(
        self, plan: Plan, capabilities: Capabilities, metrics: MetricsReader, key: str | None, emit: Emit
    ) -> None:
        self.plan, self.capabilities, self.metrics, self.emit = plan, capabilities, metrics, emit
        self._key = key
        self._connection = Connection(plan.base_url, key, plan.timeout)
        self._requests = Requests(plan, capabilities)
        self._answer_tokens = long_enough(ANSWER_TOKENS, capabilities)
        self._context_tokens = long_enough(CONTEXT_TOKENS, capabilities)
        self._contexts = self._holdable()
        self._order = random.Random(0)
        self._patience = plan.quiet_wait
        self._further_until = math.inf
        self.measurements: list[Measurement] = []
        self.rows: list[TimingResult] = []

    def run(self) -> list[TimingResult]:
        pending = [name for name in self.plan.rows if name != "goodput" and not self._unmeasurable(name)]
        done = 0
        while pending:
            for step in self._round(pending):
                self._take(step, pending)
            done += 1
            if done == verdict.GROUP_LOOKS[-1]:
                self._further_until = time.monotonic() + FURTHER_S
            pending = [name for name in pending if not self._decide(name, done, self._looks(name))]
            self._progress(done, pending)
        if "goodput" in self.plan.rows:
            self._streams()
        return self.rows

    def _holdable(self) -> tuple[int, ...]:
        """The prompt lengths of this run, see `holdable`."""
        length, block = self.capabilities.max_model_len, self.capabilities.block_size
        room = None if length is None else length - self._context_tokens - 2
        return holdable(self.plan.contexts, room, block)

    def _unmeasurable(self, name: str) -> bool:
        """Close a row immediately that is impossible for this server or profile."""
        cause = None
        if name == "tool_call" and self.plan.tool is None:
            cause = "the profile has no scenario whose first answer is a tool call"
        elif name in _MULTI and len(self._contexts) < 3:
            cause = (
                f"no three prompt lengths of {LEAST_CONTEXT} tokens or more fit into the server's "
                f"{self.capabilities.max_model_len}"
            )
        if cause is not None:
            self._close(error_row(name, self.plan, cause, verdict="INCONCLUSIVE"))
        return cause is not None

    def _looks(self, name: str) -> tuple[int, ...]:
        if name in _SHAPES:
            return verdict.GROUP_LOOKS + verdict.FURTHER_LOOKS
        return verdict.GROUP_LOOKS if name in _MULTI else verdict.LOOKS

    def _round(self, pending: Sequence[str]) -> list[_Step]:
        """One request of every kind that an undecided row needs, in random order."""
        steps = []
        needed = {name for row in pending for name in SOURCES[row]} - ({"cold"} if pending == ["stalls"] else set())
        if "short" in needed:
            steps.append(_Step("short"))
        if "tool" in needed:
            steps.append(_Step("tool"))
        if any(row in pending for row in _MULTI):
            steps += [_Step("cold", context, warm="ttft_warm" in pending) for context in self._contexts]
        self._order.shuffle(steps)
        return steps

    def _take(self, step: _Step, pending: Sequence[str]) -> None:
        brief = self.capabilities.brief
        if step.source == "tool":
            assert self.plan.tool is not None
            prepared = self._requests.chat(self.plan.tool, CALL_TOKENS, ends=True)
            self._keep(self._request_once("tool", 0, prepared))
        elif step.source == "short":
            long = any(row in pending for row in ("decode", "stalls"))
            self._keep(self._answer(self._answer_tokens if long or not brief else FIRST_TOKENS))
        else:
            long = "decode_flat" in pending or "stalls" in pending
            tokens = self._context_tokens if long or not brief else FIRST_TOKENS
            prepared = self._requests.cold(step.context, tokens)
            self._keep(self._request_once("cold", step.context, prepared))
            if step.warm:
                again = self._requests.warm(prepared, FIRST_TOKENS if brief else self._context_tokens)
                self._keep(self._request_once("warm", step.context, again))

    def _answer(self, tokens: int) -> Measurement:
        """A short question. If chunks hold an uncounted number of tokens, a second one with half the answer length.

        The number of tokens in the first chunk follows from both, see `pair_rate`.
        """
        long = self._request_once("short", 0, self._requests.chat(self.plan.short, tokens))
        if long.error is not None or long.counting not in ("unknown", "guessed") or tokens <= LEAST_TOKENS:
            return long
        half = self._request_once("short", 0, self._requests.chat(self.plan.short, tokens // 2))
        rate = pair_rate(long, half)
        return long if rate is None else replace(long, rate=rate, counting="pair")

    def _request_once(self, source: Source, context: int, prepared: Prepared) -> Measurement:
        """Send one request to the idle server and build the measurement."""
        before, busy = self._quiet()
        payload = prepared.payload()
        try:
            seen = observe(self._connection.exchange("POST", prepared.path, payload), prepared.body.get("max_tokens"))
        except (LostConnection, ExchangeError) as error:
            return Measurement(source, context, error=str(error), busy=busy)
        counted = difference(before, self.metrics.settled(before)) if self.metrics.available else None
        return measurement(source, context, prepared, seen, counted=counted, busy=busy, bounds=self.plan.bounds)

    def _quiet(self) -> tuple[dict[str, float], int]:
        """Wait until the server is idle; after one wait in vain, wait only briefly until it has been idle again."""
        found = self.metrics.wait_quiet(self._patience)
        self._patience = self.plan.quiet_wait / 60 if found[1] else self.plan.quiet_wait
        return found

    def _streams(self) -> None:
        """Requests in a closed loop, `plan.streams` at a time, until the goodput row is decided."""
        workers = [Connection(self.plan.base_url, self._key, self.plan.timeout) for _ in range(self.plan.streams)]
        for connection in workers:
            try:
                connection.open()
            except LostConnection as error:
                self._close(error_row("goodput", self.plan, str(error)))
                return
        done = 0
        while (look := verdict.next_look(done, verdict.STREAM_LOOKS)) is not None:
            before, busy = self._quiet()
            todo = [self._requests.chat(self.plan.short, STREAM_TOKENS) for _ in range(look - done)]
            found = _closed_loop(workers, todo)
            counted = difference(before, self.metrics.settled(before, len(todo))) if self.metrics.available else None
            for one in _booked(todo, found, counted, busy):
                self._keep(one)
            done = look
            if self._decide("goodput", done, verdict.STREAM_LOOKS):
                return
            self._progress(done, ["goodput"])

    def _keep(self, one: Measurement) -> None:
        self.measurements.append(one)
        self.emit("measurement", one.as_dict())

    def _decide(self, name: str, done: int, looks: Sequence[int]) -> bool:
        """Judge a row if it is due; returns True if it is closed."""
        broken = any(s.error is not None for s in self.measurements if s.source in SOURCES[name])
        over = name in _SHAPES and time.monotonic() >= self._further_until  # tested once more, for the last time
        if done not in looks and not broken and not over:
            return False
        row = evaluate(name, self.measurements, self.plan, self.capabilities)
        last = over or done >= looks[-1]
        if row.verdict == "INCONCLUSIVE" and not last and row.median is not None and row.limit is not None:
            return False
        self._close(row)
        return True

    def _close(self, row: TimingResult) -> None:
        self.rows.append(row)
        self.emit("row", row.as_dict())

    def _progress(self, done: int, pending: Sequence[str]) -> None:
        following = [look for name in pending if (look := verdict.next_look(done, self._looks(name))) is not None]
        if "goodput" in pending:
            following = [verdict.next_look(done, verdict.STREAM_LOOKS) or done]
        self.emit(
            "progress",
            {
                "rounds": done,
                "next_look": min(following, default=done),
                "pending": list(pending),
                "requests": len(self.measurements),
            },
        )


def long_enough(least: int, capabilities: Capabilities) -> int:
    """The number of tokens to request: at least `least`, and more if the server is very fast."""
    pace = capabilities.pace or 0.0
    return max(least, min(MOST_TOKENS, round(pace * ANSWER_S / 16) * 16))


def holdable(wanted: Sequence[int], room: int | None, block: int | None) -> tuple[int, ...]:
    """The prompt lengths that fit into `room` tokens; with `block`, complete blocks of the prefix cache plus one
    token.

    A hybrid model recomputes up to one block of a cached prompt: with the same remainder at every length, warm TTFTs
    are comparable. This also avoids the size of the largest CUDA graph, after which there is a step. If the longest
    lengths do not fit, the longest prompt that fits is used instead, because a slope is measured best with distant
    lengths. If fewer than two others are left, a half and a quarter of it are added.
    """

    def whole(c: float) -> int:
        return int(c) if block is None else max(1, int(c - 1) // block) * block + 1

    if block is not None:
        wanted = sorted({max(1, round(c / block)) * block + 1 for c in wanted})
    if room is None or max(wanted) <= room:
        return tuple(wanted)
    top = whole(room)
    fit = [c for c in wanted if 1.25 * c <= top]
    if len(fit) < 2:
        fit = [whole(room / 4), whole(room / 2)]
    return tuple(c for c in sorted({*fit, top}) if LEAST_CONTEXT <= c <= room)


def _closed_loop(workers: Sequence[Connection], todo: Sequence[Prepared]) -> list[Observed | str]:
    """Send all requests with one thread per connection, which waits in `recv` without the GIL."""
    found: list[Observed | str] = ["not sent"] * len(todo)
    following = iter(range(len(todo)))
    lock = threading.Lock()
    payloads = [prepared.payload() for prepared in todo]

    def work(connection: Connection) -> None:
        while True:
            with lock:
                i = next(following, None)
            if i is None:
                return
            try:
                response = connection.exchange("POST", todo[i].path, payloads[i])
                found[i] = observe(response, todo[i].body.get("max_tokens"))
            except (LostConnection, ExchangeError) as error:
                found[i] = str(error)

    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(work, workers))
    return found


def _booked(
    todo: Sequence[Prepared], found: Sequence[Observed | str], counted: ServerMetrics | None, busy: int
) -> list[Measurement]:
    """The measurements of one batch.

    The server's metrics are only known for the batch, so a doubt applies to all of them.
    """
    measurements = []
    for prepared, seen in zip(todo, found, strict=True):
        if isinstance(seen, str):
            measurements.append(Measurement("streams", 0, error=seen, busy=busy))
        else:
            measurements.append(measurement("streams", 0, prepared, seen, counted=None, busy=busy, bounds=None))
    whole = [s for s in measurements if s.ttft_ms is not None]
    if counted is None or counted.requests is None or len(whole) < len(measurements):
        return measurements
    doubts: tuple[str, ...] = ()
    others = counted.requests - len(measurements)
    mean = sum(s.ttft_ms for s in whole if s.ttft_ms is not None) / len(whole)
    server = None if counted.ttft_ms is None or not counted.requests else counted.ttft_ms / counted.requests
    if others:
        doubts = (f"{counted.requests} requests finished, {len(measurements)} of them ours",)
    elif server is not None and not -1.0 <= mean - server <= 2 * TTFT_SLACK_MS + 0.1 * mean:
        doubts = (f"mean TTFT {mean:.1f} ms, server {server:.1f} ms",)
    return [replace(s, server_metrics=counted, doubts=doubts, busy=busy + max(0, others)) for s in measurements]


def _plain(capabilities: Capabilities) -> dict[str, Any]:
    return {
        "model": capabilities.model,
        "max_model_len": capabilities.max_model_len,
        "extras": sorted(capabilities.extras),
        "token_prompts": capabilities.token_prompts,
        "fixed_length": capabilities.fixed_length,
        "block_size": capabilities.block_size,
        "metrics": capabilities.metrics,
    }

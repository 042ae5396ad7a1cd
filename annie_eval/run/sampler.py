"""Sends all selected samples to the server, many at a time, each once per run.

One asyncio loop in a thread of the process that owns the run. It takes the selected keys from the store, sends each
scenario's turns to the server, and saves every complete exchange, and every sample with its judgements. The duration
depends on the server, not on the number of tests or workers. Long answers are parsed in other threads, and all are
judged in one, so that a slow one does not delay others or deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annie_eval.detectors.finding import Finding
from annie_eval.errors import ExchangeError, UsageError
from annie_eval.gates.judgement import Judgement
from annie_eval.gates.repeats import Repeats
from annie_eval.http_client import Client, Response, TransportError, backoff
from annie_eval.profile.types import Gate, Profile
from annie_eval.run.adaptive import AdaptiveSampling
from annie_eval.run.derender import NotOffered, derender
from annie_eval.run.judge import Catalogue, judge
from annie_eval.run.progress import Progress
from annie_eval.run.store import Attempt, Store, StoredExchange, StoredSample
from annie_eval.run.verdict import gate_result
from annie_eval.wire.conversation import Request
from annie_eval.wire.sample import Exchange, Sample

_POLL = 0.01  # seconds between checks for new samples
_LIVENESS = 0.5  # seconds between checks of the server process
_FEW = 16_384  # bytes; fewer are parsed in the loop, since another thread would take longer
_TOGETHER = 0.05  # seconds in which finished samples gather, to be judged together


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server for samples, and its optional features.

    Attributes:
        token_ids: it can return the token ids of its answers (vLLM's `return_token_ids`).
        derender: it can parse given token ids (vLLM's `/derender`).
        replicas: base URLs of further servers that share the samples.
    """

    base_url: str
    model: str
    api_key: str | None = None
    token_ids: bool = False
    derender: bool = False
    replicas: tuple[str, ...] = ()


def place_of(profile: Profile, run_dir: Path, servers: int) -> Callable[[str], int]:
    """The function that assigns a sample to one of the servers."""
    if servers == 1:
        return lambda key: 0
    from annie_eval.gates.replicas import shares

    return shares(profile, run_dir.name, servers).__getitem__


@dataclass(frozen=True, slots=True)
class _Ended:
    """A sample to be judged. `sample` is None if it broke (see `error`) or has to be read from the store.

    `counted` is set after its gates have counted it.
    """

    key: str
    sample: Sample | None = None
    error: str | None = None
    counted: asyncio.Event = field(default_factory=asyncio.Event)


class _Flight:
    """The samples in flight."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[None], str] = {}
        self._crash: BaseException | None = None

    def add(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks[task] = key
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self.tasks.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            self._crash = self._crash or task.exception()

    def check(self) -> None:
        """Raise the exception of a sample's task, which is a bug: errors of servers are handled in the task."""
        if self._crash is not None:
            raise self._crash

    async def cancel(self) -> list[str]:
        """Cancel all of them; returns their keys."""
        dropped = dict(self.tasks)
        for task in dropped:
            task.cancel()
        await asyncio.gather(*dropped, return_exceptions=True)
        return list(dropped.values())


class Sampler:
    """Runs until `stop`. Unfinished samples remain selected in the store.

    Args:
        alive: returns None while the server lives, else the cause of its death in one line.
        first: work to be done on the idle server before any sample is sent (timing).
        progress: counts finished work.
        fail_fast: end as soon as a gate has certainly failed. An answer is then judged before the next request is
            sent, so that at most the requests in flight are wasted.
    """

    def __init__(
        self,
        profile: Profile,
        run_dir: Path,
        endpoint: Endpoint,
        *,
        concurrency: int,
        alive: Callable[[], str | None],
        first: Callable[[Store], None] | None = None,
        progress: Progress | None = None,
        fail_fast: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self._fail_fast, self._meanwhile = fail_fast, meanwhile
        self._progress = progress or Progress()
        self._profile, self._run_dir, self._endpoint = profile, run_dir, endpoint
        self._concurrency, self._alive, self._first = concurrency, alive, first
        self._catalogue = Catalogue(profile)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._main, name="annie-sampler", daemon=True)
        self._gates_of: dict[str, list[Gate]] = defaultdict(list)
        self._selected: set[tuple[str, str]] = set()
        self._awaiting_twin: dict[str, list[tuple[Gate, Sample]]] = defaultdict(list)
        self._unstreamed: dict[str, Sample | None] = {}
        self._derendered: dict[str, tuple[Finding, ...]] = {}
        self._derenders = endpoint.derender
        self._seen: set[str] = set()
        self._adaptive: AdaptiveSampling | None = None
        self._ended: asyncio.Queue[_Ended] = asyncio.Queue()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Cancel requests in flight and end the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def end(self, store: Store, reason: str) -> None:
        """Send no more requests; waiting readers are told that the run ended."""
        store.end(reason)
        self._stop.set()

    # Everything below runs in the sampler's thread.

    def _main(self) -> None:
        store = Store(self._run_dir)
        try:
            if not self._wait_for_selection(store):
                return
            store.set_meta(state="timing")
            if self._first is not None:
                self._first(store)
            if self._stop.is_set():
                return
            store.set_meta(state="sampling")
            self._progress.enter("samples")
            asyncio.run(self._run(store))
        except BaseException as error:
            # A waiting test must be told that nothing more will come, even if the disk is full.
            with contextlib.suppress(Exception):
                store.fail(str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}")
            if not isinstance(error, Exception):
                raise
        finally:
            store.close()

    def _wait_for_selection(self, store: Store) -> bool:
        while store.meta("selection") is None:
            if self._stop.wait(_POLL):
                return False
        for gate, key in store.selections():
            if gate in self._profile.gates:
                self._gates_of[key].append(self._profile.gates[gate])
                self._selected.add((gate, key))
        repeats = Repeats.from_json(store.meta("repeats"))
        if repeats.adaptive:
            self._adaptive = AdaptiveSampling(self._profile, repeats, store)
        return True

    async def _run(self, store: Store) -> None:
        clients = [
            Client(url, api_key=self._endpoint.api_key, timeout=self._profile.traffic.request_timeout)
            for url in (self._endpoint.base_url, *self._endpoint.replicas)
        ]
        server_of = place_of(self._profile, self._run_dir, len(clients))
        slots = asyncio.Semaphore(self._concurrency)
        answered = store.finished()
        flight = _Flight()
        judging = asyncio.create_task(self._judge_ended(store))
        position, cause = 0, None
        deadline = time.monotonic() + self._profile.traffic.deadline
        next_look = 0.0
        while not self._stop.is_set():
            for place, key, ask in store.wanted(position):
                position = place
                self._progress.wanted += 1
                if ask is not None:
                    self._catalogue.add(key, ask)
                    self._gates_of[key] = [Gate(f"ask:{key}", tuple(ask["detectors"]), ())]
                if key in answered:
                    self._ended.put_nowait(_Ended(key))
                elif cause is not None:
                    self._ended.put_nowait(_Ended(key, error=cause))
                else:
                    flight.add(key, self._sample(store, clients[server_of(key)], slots, key))
            now = time.monotonic()
            self._progress.in_flight = min(len(flight.tasks), self._concurrency)
            if cause is None and now >= next_look:
                next_look = now + _LIVENESS
                cause = self._alive()
                if cause is None and now >= deadline and flight.tasks:
                    cause = f"the run's deadline of {self._profile.traffic.deadline:g} s is over"
                if cause is not None:
                    for key in await flight.cancel():
                        self._ended.put_nowait(_Ended(key, error=cause))
            await asyncio.sleep(_POLL)
            if self._meanwhile is not None and flight.tasks:
                self._meanwhile()
                self._meanwhile = None
            flight.check()
            if judging.done():
                judging.result()  # raises the exception that broke it, which is a bug
        await flight.cancel()
        judging.cancel()

    async def _sample(self, store: Store, client: Client, slots: asyncio.Semaphore, key: str) -> None:
        async with contextlib.AsyncExitStack() as slot:
            await slot.enter_async_context(slots)
            try:
                done = [await self._parsed(key, raw) for raw in store.exchanges(key)]
                while (request := self._next_request(key, done)) is not None:
                    if self._stop.is_set():
                        return
                    response = await self._send(store, client, key, len(done), request.body)
                    if self._catalogue.is_last(key, request) and not (self._fail_fast or self._to_derender(key)):
                        # The server is idle for this slot now: send the next request before this answer is judged.
                        await slot.aclose()
                        await asyncio.sleep(0)  # the waiting task wakes up
                        await asyncio.sleep(0)  # and sends its request
                    raw = StoredExchange(
                        request.turn,
                        request.round,
                        request.body,
                        response.status,
                        response.headers,
                        response.body,
                        response.reads,
                    )
                    try:
                        done.append(await self._parsed(key, raw))
                    except ExchangeError as error:
                        store.save_attempt(key, len(done), Attempt(str(error), False, raw.status, raw.body))
                        raise
                    store.save_exchange(key, len(done) - 1, raw)
                sample = self._catalogue.sample(key, done)
                if self._to_derender(key):
                    try:
                        self._derendered[key] = await derender(client, sample)
                    except NotOffered as refusal:
                        self._derenders = False
                        message = (
                            f"the server does not offer it, its parsers are checked on live answers only ({refusal})"
                        )
                        store.set_meta(capabilities={**store.meta("capabilities", {}), "derender": message})
                ended = _Ended(key, sample)
            except ExchangeError as error:
                ended = _Ended(key, error=str(error))
            self._ended.put_nowait(ended)
            if self._fail_fast:
                await ended.counted.wait()

    async def _parsed(self, key: str, raw: StoredExchange) -> Exchange:
        if len(raw.body) <= _FEW:
            return self._catalogue.exchange(key, raw)
        return await asyncio.to_thread(self._catalogue.exchange, key, raw)

    def _next_request(self, key: str, done: Sequence[Exchange]) -> Request | None:
        return self._catalogue.next_request(key, done, model=self._endpoint.model, token_ids=self._endpoint.token_ids)

    def _to_derender(self, key: str) -> bool:
        """Whether the server parses the answer again. These requests count as in flight, too."""
        return self._derenders and any("wire" in gate.detectors for gate in self._gates_of[key])

    async def _send(self, store: Store, client: Client, key: str, n: int, body: Mapping[str, Any]) -> Response:
        for attempt in range(self._profile.traffic.transport_retries + 1):
            try:
                return await client.post("/chat/completions", body)
            except TransportError as error:
                again = error.resend and attempt < self._profile.traffic.transport_retries
                store.save_attempt(key, n, Attempt(error.cause, again, error.status, error.body or None))
                if not again:
                    from annie_eval.serving.log_diagnosis import explained  # slow to import

                    tries = f" (sent {attempt + 1} times)" if attempt else ""
                    raise ExchangeError(explained(error) + tries) from None
                await asyncio.sleep(max(backoff(attempt), error.wait))
        raise AssertionError("unreachable")

    async def _judge_ended(self, store: Store) -> None:
        """Judge finished samples, one after the other. Only this task changes the gates' counts.

        All that finish within a moment are handed to another thread at once: each hand-over costs as much as judging,
        and would compete with the loop, which has the next requests to send.
        """
        while True:
            batch = [await self._ended.get()]
            until = 0.0 if self._fail_fast else time.monotonic() + _TOGETHER
            while self._progress.in_flight and time.monotonic() < until:
                await asyncio.sleep(_POLL)
            while not self._ended.empty():
                batch.append(self._ended.get_nowait())
            stored = [store.sample(one.key) if one.sample is None and one.error is None else None for one in batch]
            for ended, old, (sample, judged) in zip(
                batch, stored, await asyncio.to_thread(self._judge_all, batch, stored), strict=True
            ):
                if old is None:
                    store.save_sample(ended.key, ended.error, judged)
                    usages = [one.answer.usage for one in sample.exchanges] if sample is not None else []
                    self._progress.finished(usage.completion_tokens for usage in usages if usage is not None)
                else:
                    store.save_judgements(judged)
                    self._progress.finished(())
                await self._count(store, ended.key, judged)
                ended.counted.set()

    def _judge_all(
        self, batch: Sequence[_Ended], stored: Sequence[StoredSample | None]
    ) -> list[tuple[Sample | None, list[Judgement]]]:
        """Each sample, parsed if it comes from the store, and its judgements."""
        results = []
        for ended, old in zip(batch, stored, strict=True):
            sample = ended.sample if old is None else self._catalogue.load(old)
            assert (sample is None) == (ended.error is not None), "a sample that did not break has an answer"
            results.append((sample, self._judgements(ended.key, sample, ended.error)))
        return results

    async def _count(self, store: Store, key: str, judged: Sequence[Judgement]) -> None:
        """With --until-decided: add the samples of the next round, if one is due."""
        self._seen.add(key)
        self._progress.judgements(judged)
        if self._fail_fast and (failed := self._failed(store, judged)):
            self.end(store, failed)
            return
        while self._adaptive is not None and (wanted := self._adaptive.next(judged)):
            judged = []
            for name, asked in wanted:
                gate = self._profile.gates[name]
                self._gates_of[asked].append(gate)
                self._selected.add((name, asked))
                # Samples that another gate has sent are not sent again.
                if asked in self._seen and (stored := store.sample(asked)) is not None:
                    judged.append(await asyncio.to_thread(self._judge_again, gate, stored))
            store.save_judgements(judged)

    def _failed(self, store: Store, judged: Sequence[Judgement]) -> str | None:
        """Why a gate fails even if all its remaining samples pass; None if none does.

        A pass does not change this, unless it is the gate's last sample.
        """
        for one in judged:
            if one.gate in self._profile.gates and (one.findings or not store.open_judgements(one.gate)):
                result = gate_result(self._profile, store, one.gate)
                if result.verdict == "FAIL":
                    return f"{result.name} can no longer pass: {result.detail}"
        return None

    def _judge_again(self, gate: Gate, stored: StoredSample) -> Judgement:
        if stored.error is not None:
            return Judgement(gate.name, stored.key, (), stored.error)
        return judge(gate, self._catalogue.load(stored))

    def _judgements(self, key: str, sample: Sample | None, error: str | None) -> list[Judgement]:
        """The judgements of a sample that has just arrived, and of its streamed twin that waited for it."""
        judged: list[Judgement] = []
        _, variant = self._catalogue[key]
        twin = self._catalogue.twin(key)
        found: dict[str, tuple[Finding, ...]] = {}
        for gate in self._gates_of[key]:
            if sample is None:
                judged.append(Judgement(gate.name, key, (), error))
                continue
            compares = "wire" in gate.detectors and twin is not None and (gate.name, twin) in self._selected
            if compares and variant.stream and twin not in self._unstreamed:
                self._awaiting_twin[twin or ""].append((gate, sample))
                continue
            unstreamed = self._unstreamed.get(twin or "") if compares and variant.stream else None
            judged.append(
                judge(gate, sample, unstreamed=unstreamed, derendered=self._derendered.get(key, ()), found=found)
            )
        if not variant.stream:
            self._unstreamed[key] = sample
            for gate, streamed in self._awaiting_twin.pop(key, ()):
                judged.append(
                    judge(gate, streamed, unstreamed=sample, derendered=self._derendered.get(streamed.key, ()))
                )
        return judged

"""Sends the samples for comparing replicas to every server, and stores them below the run.

The run's store has each sample once, from the server that it was assigned to. The other servers' answers to the same
samples are in `replicas/N/`, in stores of the same format, which `annie_eval.run.replica_answers` compares.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from annie_eval.gates.replicas import shares
from annie_eval.profile.types import Profile
from annie_eval.run.replica_answers import folder
from annie_eval.run.sampler import Endpoint, Sampler
from annie_eval.run.store import Store

_POLL = 0.05  # seconds


class Others:
    """Sends to every server the samples that it was not assigned; one sampler per server."""

    def __init__(self, profile: Profile, run_dir: Path, endpoints: Sequence[Endpoint]) -> None:
        self._profile, self._run_dir, self._endpoints = profile, run_dir, endpoints
        self._samplers: list[Sampler] = []

    def start(self, main: Store, concurrency: int, alive: Callable[[], str | None]) -> None:
        """Start, after the run's selection is in its store and timing is over."""
        dealt = shares(self._profile, self._run_dir.name, len(self._endpoints))
        selected: dict[str, list[str]] = defaultdict(list)
        for gate, key in main.selections():
            selected[gate].append(key)
        common = dealt.asked_of_all(selected)
        for server, endpoint in enumerate(self._endpoints):
            keys = [key for key in common if dealt[key] != server]
            path = folder(self._run_dir, server)
            path.mkdir(parents=True, exist_ok=True)
            store = Store(path, create=True)
            store.reopen()  # a resumed run keeps these answers, too
            store.set_meta(state="starting")
            mine = set(keys)
            gates = {gate: [key for key in of if key in mine] for gate, of in selected.items()}
            store.select({gate: of for gate, of in gates.items() if of}, [], keys)
            store.close()
            sampler = Sampler(self._profile, path, endpoint, concurrency=concurrency, alive=alive)
            sampler.start()
            self._samplers.append(sampler)

    def wait(self) -> None:
        """Wait until all answers are there or no more will come; each sampler observes the profile's deadline."""
        for server in range(len(self._samplers)):
            store = Store(folder(self._run_dir, server))
            try:
                while len(store.finished()) < len(store.wanted()) and not store.state().startswith("failed"):
                    time.sleep(_POLL)
            finally:
                store.close()

    def stop(self) -> None:
        """Cancel requests in flight. Safe to call twice."""
        for sampler in self._samplers:
            sampler.stop()

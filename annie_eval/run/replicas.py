"""The samples that every replica is asked: each server's own store below the run's, filled beside the run's sampling.

The run's store has each sample once, as dealt out. What the other servers answer to the same samples is kept in
`replicas/N/`, a store like any other, which `annie_eval.run.replica_answers` reads for the comparison.
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
    """Asks every server what the comparison needs beyond its share; one sampler a server."""

    def __init__(self, profile: Profile, run_dir: Path, endpoints: Sequence[Endpoint]) -> None:
        self._profile, self._run_dir, self._endpoints = profile, run_dir, endpoints
        self._samplers: list[Sampler] = []

    def start(self, main: Store, concurrency: int, alive: Callable[[], str | None]) -> None:
        """Begin, once the run's own selection is in its store and timing is over."""
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
            store.reopen()  # a run that is resumed keeps these answers, too
            store.set_meta(state="starting")
            mine = set(keys)
            gates = {gate: [key for key in of if key in mine] for gate, of in selected.items()}
            store.select({gate: of for gate, of in gates.items() if of}, [], keys)
            store.close()
            sampler = Sampler(self._profile, path, endpoint, concurrency=concurrency, alive=alive)
            sampler.start()
            self._samplers.append(sampler)

    def wait(self) -> None:
        """Until every answer has come, or nothing more will come: each sampler keeps the profile's deadline."""
        for server in range(len(self._samplers)):
            store = Store(folder(self._run_dir, server))
            try:
                while len(store.finished()) < len(store.wanted()) and not store.state().startswith("failed"):
                    time.sleep(_POLL)
            finally:
                store.close()

    def stop(self) -> None:
        """Drop what is in flight. Safe to call twice."""
        for sampler in self._samplers:
            sampler.stop()

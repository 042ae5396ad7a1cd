"""Decides for `--until-decided` which gates repeat their samples, and records that in the run's store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from annie_eval.gates.judgement import Judgement
from annie_eval.gates.repeats import Repeats, keys_of_round
from annie_eval.profile.types import Profile
from annie_eval.run.store import Store
from annie_eval.run.verdict import gate_result


class AdaptiveSampling:
    """Counts judgements. When all samples of a gate's round are judged, decides whether there is another round.

    The store's entry `rounds` has the number of rounds of each gate, and whether all gates are decided.
    """

    def __init__(self, profile: Profile, repeats: Repeats, store: Store) -> None:
        self._profile, self._repeats, self._store = profile, repeats, store
        self._base: dict[str, list[str]] = defaultdict(list)
        for gate, key in store.selections():
            self._base[gate].append(key)
        self._waiting = Counter({gate: len(keys) for gate, keys in self._base.items()})
        self._rounds = dict.fromkeys(self._base, 1)
        self._closed: set[str] = set()
        store.set_meta(rounds={"gates": self._rounds, "over": not self._base})

    def next(self, judged: Iterable[Judgement]) -> list[tuple[str, str]]:
        """(gate, key) of the samples to send after these judgements, which are already in the store."""
        touched = dict.fromkeys(one.gate for one in judged if one.gate in self._base)
        for one in judged:
            if one.gate in self._base:
                self._waiting[one.gate] -= 1
        wanted: list[tuple[str, str]] = []
        for gate in touched:
            if self._waiting[gate] > 0:
                continue
            if gate_result(self._profile, self._store, gate).repeats["stopped"] == "open":
                wanted += self._open(gate)
            else:
                self._closed.add(gate)
        if self._closed == self._base.keys() and not any(self._waiting.values()):
            self._store.set_meta(rounds={"gates": self._rounds, "over": True})
        return wanted

    def _open(self, gate: str) -> list[tuple[str, str]]:
        """Start one more round of a gate. Gates over every sample judge these repeats as well."""
        self._rounds[gate] += 1
        base = self._base[gate]
        asked = keys_of_round(self._profile, base, self._rounds[gate])
        more = {gate: asked}
        for other in self._base:
            if other != gate and self._profile.gates[other].every_sample:
                its = set(self._base[other])
                more[other] = [again for key, again in zip(base, asked, strict=True) if key in its]
        known = {name: set(self._store.selected(name)) for name in more}
        more = {name: [key for key in keys if key not in known[name]] for name, keys in more.items()}
        for name, keys in more.items():
            self._waiting[name] += len(keys)
            if keys and name != gate:
                self._closed.discard(name)
        self._store.select_more(more, asked, rounds={"gates": self._rounds, "over": False})
        return [(name, key) for name, keys in more.items() for key in keys]

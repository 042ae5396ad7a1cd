"""The sampler against a server that is there, seen from the server's side."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from annie_eval.run import sampler
from annie_eval.run.reader import Reader
from annie_eval.run.store import Store
from tests.servers.fault_server import FaultServer

GATE = "wire_integrity"


def test_two_gates_that_compare_the_two_ways_of_one_prompt_both_judge_it(tmp_path: Path) -> None:
    """Each waits for the whole answer to hold the streamed one against it."""
    profile = load("annie")
    wire = profile.gates[GATE]
    profile = replace(profile, gates={name: replace(wire, name=name) for name in ("wire_1", "wire_2", "wire_3")})
    both = next(scenario for scenario in profile.scenarios if len({v.stream for v in scenario.variants}) == 2)
    keys = list(both.sample_keys())
    store = Store(tmp_path, create=True)
    store.set_meta(state="starting")
    store.select(dict.fromkeys(profile.gates, keys), [], keys)
    with FaultServer(profile) as url:
        running = sampler.Sampler(
            profile, tmp_path, sampler.Endpoint(url, "annie-test"), concurrency=2, alive=lambda: None
        )
        running.start()
        try:
            deadline = time.monotonic() + 20
            while sum(map(store.open_judgements, profile.gates)) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            running.stop()
    judged = {(one.gate, one.sample) for one in store.judgements()}
    store.close()
    assert judged == {(gate, key) for gate in profile.gates for key in keys}


def test_asking_to_parse_answers_again_counts_as_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = most = 0

    async def slow(_client: object, _sample: object) -> tuple[Any, ...]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return ()

    monkeypatch.setattr(sampler, "derender", slow)
    profile = load("annie")
    keys = [key for scenario in profile.gate_scenarios(profile.gates[GATE]) for key in scenario.sample_keys()][:24]
    store = Store(tmp_path, create=True)
    store.set_meta(state="starting")
    store.select({GATE: keys}, [], keys)
    with FaultServer(profile) as url:
        endpoint = sampler.Endpoint(url, "annie-test", derender=True)
        running = sampler.Sampler(profile, tmp_path, endpoint, concurrency=2, alive=lambda: None)
        running.start()
        reader = Reader(profile, tmp_path)
        try:
            result = reader.gate_result(GATE)
        finally:
            running.stop()
            reader.store.close()
            store.close()
    assert result.n == 24
    assert 0 < most <= 2

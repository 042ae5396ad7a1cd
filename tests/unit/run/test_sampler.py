"""The sampler against a running server, seen by the server."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from annie_eval.gates.decide import GateResult
from annie_eval.gates.judgement import Judgement
from annie_eval.profile.load import load
from annie_eval.profile.types import Gate
from annie_eval.run import sampler
from annie_eval.run.judge import judge
from annie_eval.run.reader import EndpointInfo, Reader, SampleBroken
from annie_eval.run.store import Store
from annie_eval.wire.sample import Sample
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


def test_an_answer_that_takes_long_to_judge_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []

    def slow(gate: Gate, sample: Sample, **how: Any) -> Judgement:
        judged.append(sample.key)
        time.sleep(1.0 if len(judged) == 1 else 0.0)
        return judge(gate, sample, **how)

    monkeypatch.setattr(sampler, "judge", slow)
    profile = load("annie")
    profile = replace(profile, traffic=replace(profile.traffic, request_timeout=0.7))
    gate = profile.gates["thinking_leak"]
    keys = [key for scenario in profile.gate_scenarios(gate) for key in scenario.sample_keys()][:4]
    store = Store(tmp_path, create=True)
    store.set_meta(state="starting")
    store.select({gate.name: keys}, [], keys)
    with FaultServer(profile) as url:
        endpoint = sampler.Endpoint(url, "annie-test")
        running = sampler.Sampler(profile, tmp_path, endpoint, concurrency=1, alive=lambda: None)
        running.start()
        reader = Reader(profile, tmp_path)
        try:
            result = reader.gate_result(gate.name)
        finally:
            running.stop()
            reader.store.close()
            store.close()
    assert len(judged) == 4
    assert not result.errors


def test_a_run_whose_shell_was_closed_reads_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under `nohup` or after `disown` the process that owns the run gets another parent."""
    store = Store(tmp_path, create=True)
    store.set_meta(state="sampling", owner=os.getpid())
    reader = Reader(load("annie"), tmp_path)
    monkeypatch.setattr("os.getppid", lambda: 0)  # neither the shell nor init
    timer = threading.Timer(0.3, _name_target, [tmp_path])
    timer.start()
    assert reader.endpoint(None).served_model == "m"
    timer.join()
    store.set_meta(owner=1, target=None)
    with pytest.raises(SampleBroken, match="the process that owns the run is gone"):
        reader.endpoint(None)
    reader.store.close()
    store.close()


def _name_target(run_dir: Path) -> None:
    store = Store(run_dir)
    store.set_meta(target={"base_url": "u", "served_model": "m", "kind": "unknown"})
    store.close()


def test_no_proxy_of_the_environment_sees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        client = EndpointInfo("http://127.0.0.1:9/v1", "m", "unknown", {}, "s3cret").client
        with pytest.raises(openai.APIConnectionError):
            client.with_options(timeout=2.0).models.list()
        with pytest.raises(BlockingIOError):
            proxy.accept()


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        ("7/15, needs 12", "gate g: FAIL, 7/15, needs 12"),
        ("at best 11/15, needs 12", "gate g: FAIL, 7/15, needs 12 (at best 11/15, needs 12)"),
    ],
)
def test_a_failed_sample_tells_its_gate_s_counts_once(detail: str, line: str, tmp_path: Path) -> None:
    Store(tmp_path, create=True).close()
    reader = Reader(load("annie"), tmp_path)
    result = GateResult("g", "FAIL", 7, 15, 0, 12, 15, detail=detail)
    assert reader.explain(Judgement("g", "s-1"), result).splitlines()[0] == line
    reader.store.close()

"""What a comparison reads of a run: answers, prompts, timings, and how an idle server answers asked again.

The expected values are in stored_runs.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annie_eval.gates.judgement import Judgement
from annie_eval.http_client import TransportError
from annie_eval.profile.load import load as load_profile
from annie_eval.profile.types import AnswerExpectation, CallExpectation, Expect, Scenario, Turn
from annie_eval.regression import determinism
from annie_eval.regression.run_data import (
    AnsweredSample,
    RunData,
    first_of,
    machine,
    measurements,
    read,
    scenario_of,
    twin_of,
)
from annie_eval.run.store import Store, StoredExchange
from tests.support.finished_run import body
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("stored_runs.json")


def stored(case: str, value: Any) -> None:
    expect(TABLE, case, json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    "key",
    [
        "hello.stream.off",
        "hello.unstreamed.on.3",
        "a.b.stream.unset.12",
        "hello",
        "hello.stream",
        "x.stream.off.2.old",
    ],
)
def test_a_sample_s_name_says_scenario_repeat_and_twin(key: str) -> None:
    stored(f"names: {key}", [scenario_of(key), first_of(key), twin_of(key)])


# --- timing.jsonl ---------------------------------------------------------------------------------------------------


def measured(source: str = "tool", **fields: Any) -> str:
    return json.dumps({"event": "measurement", "source": source, "error": None, **fields})


GOOD = measured(call_ms=250)
LINES: dict[str, list[str]] = {
    "every source": [
        measured("short", ttft_ms=90.5, rate=30),
        measured("cold", context=4096, ttft_ms=400),
        measured("warm", context=4096, ttft_ms=80),
        measured("warm", context=512, ttft_ms=60),
        measured("of a later version", ttft_ms=1, rate=1, call_ms=1),
        GOOD,
        measured(call_ms=240),
    ],
    "written by format 1": [GOOD.replace("measurement", "shot")],
    "other events": ['{"event": "start", "source": "tool", "call_ms": 5}', GOOD],
    "one broke": [measured(call_ms=5, error="timed out"), GOOD],
    "no object": ["[1]", '"measurement"', "", "no JSON", "[" * 100_000, GOOD],
    "an incomplete last line": [GOOD, GOOD[:-9]],
    "less than a millisecond": [measured(call_ms=0.5)],
    "no time": [measured(call_ms=value) for value in (0, -1, None, "5", [5], float("inf"), float("nan"))] + [GOOD],
    "longer than a number can say": [measured(call_ms=10**400), GOOD],
    "half a measurement": [measured("short", ttft_ms=90), measured("short", rate=30)],
}


def as_timings(folder: Path, lines: Sequence[str]) -> Path:
    path = folder / "timing.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("case", LINES)
def test_what_was_measured_is_read_by_row(case: str, tmp_path: Path) -> None:
    stored(f"timings: {case}", measurements(as_timings(tmp_path, LINES[case])))


def test_a_run_without_timings_has_none(tmp_path: Path) -> None:
    assert measurements(tmp_path / "timing.jsonl") == {}
    assert machine(tmp_path / "timing.jsonl") == ()


def test_the_machine_is_the_last_one_that_can_be_read(tmp_path: Path) -> None:
    def event(*readings: object) -> str:
        return json.dumps({"event": "machine", "readings": readings})

    first: dict[str, Any] = {"when": "before", "gpus": [], "cores": 4}
    last = {**first, "cores": 8}
    lines = [event(first), event({"gpus": 5}), event(1), '{"event": "machine"}', event(last), event({}), GOOD]
    assert [reading.cores for reading in machine(as_timings(tmp_path, lines))] == [8]


# --- whole runs -----------------------------------------------------------------------------------------------------

END = {"choices": [], "usage": {"prompt_tokens": 21, "completion_tokens": 11, "total_tokens": 32}}


def streamed(*chunks: Mapping[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks) + b"data: [DONE]\n\n"


def word(text: str, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}], **fields}


def exchange(content: bytes, reads: Sequence[float] = (5.0,), **request: Any) -> StoredExchange:
    """`reads` are milliseconds."""
    asked = {
        "model": "annie",
        "messages": [{"role": "user", "content": "Hello?"}],
        "return_token_ids": True,
        **request,
    }
    times = tuple((round(each * 1e6), 40) for each in reads)
    return StoredExchange(0, 0, asked, 200, (), content, times)


TOOLS = [{"function": {"name": "look_up"}}, {"function": {"name": "stop"}}]
CALL = body(None, calls=[("look_up", '{"a": 1}')], finish="tool_calls")
SAMPLES: dict[str, tuple[str | None, list[StoredExchange]]] = {
    "broken-at-once.stream.off": ("timed out", []),
    "broken-later.unstreamed.off": ("HTTP 500", [exchange(body("Hm."), tools=TOOLS), exchange(b"{")]),
    "call.unstreamed.off": (None, [exchange(CALL, tools=TOOLS), exchange(body("Done.", prompt_tokens=50))]),
    "ids.unstreamed.off": (None, [exchange(body("Hi.", prompt_ids=[1, 2, 3], reasoning="Hm."))]),
    "slow.stream.off": (None, [exchange(streamed(word("A"), word("B"), END), (8, 2008, 4008), stream=True)]),
    "fast.stream.off": (None, [exchange(streamed(word("A"), END), (2.5, 500, 1002.5), stream=True)]),
    "untimed.stream.off": (None, [exchange(streamed(word("A"), END), (), stream=True)]),
    "at-once.stream.off": (None, [exchange(streamed(word("A"), END), (7.5, 7.5), stream=True)]),
    "uncounted.stream.off": (None, [exchange(streamed(word("A")), (6, 1006), stream=True)]),
}


def made(folder: Path, samples: Mapping[str, tuple[str | None, list[StoredExchange]]] = SAMPLES, **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder, create=True)
    gates = {"late": list(samples), "early": [key for key in samples if key.startswith("call")]}
    store.select(gates, [], list(samples))
    for key, (error, exchanges) in samples.items():
        for n, each in enumerate(exchanges):
            store.save_exchange(key, n, each)
        store.save_sample(key, error, [Judgement(gate, key, (), error) for gate in gates if key in gates[gate]])
    store.set_meta(state="finished", **facts)
    store.close()
    return folder


def test_a_run_is_read_as_stored(tmp_path: Path) -> None:
    run = made(tmp_path / "run", profile_snapshot={"gates": {"early": {}, "late": {}, "unused": {}}})
    as_timings(run, [GOOD, json.dumps({"event": "machine", "readings": [{"when": "before", "gpus": []}]})])
    found = read(run)
    stored("run: judged", {gate: sorted(of) for gate, of in found.judgements.items()})
    assert list(found.judgements) == ["early", "late"]  # in the profile's order; a table has none
    stored("run: timings", found.timings)
    for key, heard in found.heard.items():
        said = [reply.as_dict() for reply in heard.replies]
        stored(f"run: {key}", {**asdict(replace(heard, replies=())), "replies": said})
    assert (found.name, read(run, "the one before").name) == ("run", "the one before")
    assert [reading.when for reading in found.machine] == ["before"]


def test_a_run_of_an_old_version_without_a_profile_is_read(tmp_path: Path) -> None:
    found = read(made(tmp_path / "run"))
    assert set(found.judgements) == {"early", "late"}
    assert (found.fingerprint, found.snapshot) == ({}, {})
    full = RunData(tmp_path, "run", {"fingerprint": {"server": "vllm"}, "profile_snapshot": {"name": "annie"}}, {}, {})
    assert (full.fingerprint, full.snapshot) == ({"server": "vllm"}, {"name": "annie"})


@pytest.mark.parametrize(
    ("fingerprint", "target", "root"),
    [
        pytest.param({"arguments": []}, "models/x", "models/x", id="its own server"),
        pytest.param({"arguments": [], "image": None}, "models/x", "models/x", id="its own server, no image"),
        pytest.param({"arguments": [], "image": "vllm"}, "models/x", None, id="a container, which has its own path"),
        pytest.param({"server": "vllm"}, "http://x/v1", None, id="a server at a URL"),
        pytest.param({"arguments": []}, None, None, id="no target"),
        pytest.param({"arguments": [], "root": "/m"}, "models/x", "/m", id="the server says it"),
    ],
)
def test_a_run_that_started_its_server_has_the_served_path(
    fingerprint: dict[str, Any], target: str | None, root: str | None, tmp_path: Path
) -> None:
    facts = {"fingerprint": fingerprint, "identity": {"target": target} if target else None}
    found = RunData(tmp_path, "run", facts, {}, {}).fingerprint
    assert found == {**fingerprint, **({"root": root} if root else {})}


def test_the_same_question_is_known_under_another_model_s_name(tmp_path: Path) -> None:
    """And with its fields in another order, and whether or not the ids of the prompt were asked for."""
    one = exchange(body("Hi."), temperature=0.0)
    same = replace(one, request=dict(reversed({**one.request, "model": "other", "return_token_ids": False}.items())))
    warmer = exchange(body("Hi."), temperature=0.1)
    found = read(made(tmp_path / "run", {name: (None, [each]) for name, each in zip("abc", (one, same, warmer))}))  # noqa: B905
    asked: Callable[[AnsweredSample], str] = lambda heard: heard.asked  # noqa: E731
    a, b, c = map(asked, found.heard.values())
    assert a == b != c


# --- the test for determinism ---------------------------------------------------------------------------------------


def scenario(name: str, **expected: Any) -> Scenario:
    return Scenario(name, "words", (Turn(f"What about {name}?", Expect(**expected)),))


class Server:
    """Answers a question's n-th request with its n-th word; the last one stays. Notes what it was sent."""

    seconds = 0.0
    """What an answer takes."""

    def __init__(self, words: Mapping[str, Sequence[str]]) -> None:
        self.words, self.sent, self.now = words, [], 1000.0  # type: ignore[var-annotated]

    def __call__(self, *_: object, **__: object) -> Server:
        return self

    async def post(self, path: str, sent: Mapping[str, Any]) -> Any:
        self.now += self.seconds
        question = sent["messages"][-1]["content"].split()[-1].rstrip("?")
        said = self.words[question][min(sum(q == question for q, _, _ in self.sent), len(self.words[question]) - 1)]
        self.sent.append((question, sent["seed"], sent))
        if said == "broken":
            raise TransportError("refused", resend=False)
        assert path == "/chat/completions"
        return SimpleNamespace(body=body(said))


ABC = ("a", "b", "c")


def asked(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    scenarios: Sequence[Scenario],
    store: Path | None = None,
) -> Any:
    monkeypatch.setattr(determinism, "Client", server)
    monkeypatch.setattr(determinism.time, "monotonic", lambda: server.now)
    profile = replace(load_profile("annie"), scenarios=tuple(scenarios))
    kept = Store(store) if store else Store(folder, create=True)
    try:
        return determinism.probe(profile, kept, "http://127.0.0.1:9/v1", "m", None)
    finally:
        kept.close()


@pytest.mark.parametrize(
    ("words", "counts", "rounds"),
    [
        pytest.param({}, ([1, 1, 1], 0), 1, id="none"),
        pytest.param({"b": ["x", "y", "x"]}, ([1, 2, 1], 1), 1, id="one"),
        pytest.param({"b": ["x", "y", "z", "x"]}, ([1, 3, 1], 2), 2, id="two of one question"),
        pytest.param({"a": ["x", "x", "y"], "c": ["x", "y"]}, ([2, 1, 2], 3), 2, id="two questions"),
    ],
)
def test_answers_that_differ_are_counted_and_two_of_them_asked_again(
    words: dict[str, Sequence[str]],
    counts: tuple[list[int], int],
    rounds: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = Server({**dict.fromkeys(ABC, ("x",)), **words})
    found = asked(server, monkeypatch, tmp_path, [scenario(name) for name in ABC])
    assert found == {"questions": 3, "asked": 12 * rounds, "distinct": counts[0], "odd": counts[1]}
    assert [seed for question, seed, _ in server.sent if question == "a"] == list(range(4 * rounds))
    assert not any(sent.get("stream") or "return_token_ids" in sent for _, _, sent in server.sent)


def test_a_server_that_breaks_is_not_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = Server({**dict.fromkeys(ABC, ("x",)), "c": ("x", "broken")})
    assert asked(server, monkeypatch, tmp_path, [scenario(name) for name in ABC]) is None


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (9.0, {"questions": 3, "asked": 11, "distinct": [1, 1, 1], "odd": 0}),
        (22.0, {"questions": 2, "asked": 5, "distinct": [1, 1], "odd": 0}),
        (100.0, {"questions": 1, "asked": 1, "distinct": [1], "odd": 0}),
    ],
)
def test_a_slow_server_is_asked_for_ninety_seconds(
    seconds: float, found: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No question is sent after 90 s; the one at exactly 90 s is."""
    server = Server(dict.fromkeys(ABC, ("x",)))
    server.seconds = seconds
    assert asked(server, monkeypatch, tmp_path, [scenario(name) for name in ABC]) == found


CALLS = {"calls": (CallExpectation("look_up"),)}
FACT = {"answer": AnswerExpectation(any_of=("x",))}
CUT = {"truncated": True}


@pytest.mark.parametrize(
    ("scenarios", "chosen"),
    [
        pytest.param(
            {"a": ({}, 120), "b": ({}, 119), "c": ({}, 121), "d": ({}, 122)}, "abc", id="the profile's order"
        ),
        pytest.param({"a": ({}, 119), "b": ({}, 122), "c": ({}, 121), "d": ({}, 120)}, "dac", id="closest to 120"),
        pytest.param({"a": ({}, None), "b": ({}, 20_000), "c": ({}, 0), "d": ({}, 300)}, "cdb", id="unanswered last"),
        pytest.param({"a": (FACT, 120), "b": ({}, 900), "c": ({}, 800)}, "cba", id="without a fact first"),
        pytest.param({"a": (CUT, 120), "b": (FACT, 900), "c": ({}, 900)}, "cba", id="whole ones first"),
        pytest.param({"a": (CALLS, 120), "b": (CUT, 900), "c": ({"calls": ()}, 900)}, "cba", id="calls last"),
    ],
)
def test_the_questions_are_open_ones_with_answers_of_two_sentences(
    scenarios: dict[str, tuple[dict[str, Any], int | None]],
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    samples: dict[str, tuple[str | None, list[StoredExchange]]] = {}
    for name, (_, length) in scenarios.items():
        samples[f"{name}.unstreamed.off"] = ("HTTP 500", [exchange(body("x" * 120))])  # says nothing of its length
        samples[f"{name}.unstreamed.on"] = (None, [])
        if length is not None:
            text = exchange(streamed(word("x" * length)), stream=True)
            samples[f"{name}.stream.off"] = (None, [text, exchange(body("x" * 120))])
            samples[f"{name}.stream.off.2"] = (None, [exchange(body("x" * 120))])
    server = Server(dict.fromkeys(scenarios, ("x",)))
    made_ones = [scenario(name, **expected) for name, (expected, _) in scenarios.items()]
    asked(server, monkeypatch, tmp_path, made_ones, made(tmp_path / "run", samples))
    assert list(dict.fromkeys(question for question, _, _ in server.sent)) == list(chosen)


def test_a_profile_without_questions_is_not_tested(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert asked(Server({}), monkeypatch, tmp_path, []) is None

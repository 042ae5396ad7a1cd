"""End to end: without a fault, the fault server answers like the recorded vLLM."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annie_eval.profile.load import load
from annie_eval.profile.types import Profile
from annie_eval.wire import parse
from tests.servers.fault_server import MODEL, FaultServer

RECORDED = Path(__file__).resolve().parents[1] / "unit" / "wire" / "recorded"
CALL = [{"name": "web_search", "arguments": {"query": "weather in Oslo"}}]
TOML = """
system_prompt = "You are a voice assistant."
scenarios = "tiny.jsonl"
[tools.web_search]
description = "Search the web."
parameters = {type = "object", properties = {query = {type = "string"}}, required = ["query"]}
[gates.wire_integrity]
detectors = ["wire"]
categories = ["*"]
"""
SCENARIOS: list[dict[str, Any]] = [
    {"id": "plain", "prompt": "Hello!", "example": "Hello there."},
    {"id": "cut", "prompt": "Go on!", "max_tokens": 2, "example": "One two three four."},
    {
        "id": "weather",
        "turns": [
            {
                "user": "Weather in Oslo?",
                "example": CALL,
                "tool_results": {"web_search": "Wet."},
                "then_example": "Rain.",
            },
            {"user": "And tomorrow?", "example": "Sunshine."},
        ],
    },
]


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    folder = tmp_path_factory.mktemp("profile")
    lines = [json.dumps(scenario | {"category": "all"}) + "\n" for scenario in SCENARIOS]
    (folder / "tiny.jsonl").write_text("".join(lines))
    (folder / "tiny.toml").write_text(TOML)
    return load(folder / "tiny.toml")


@pytest.fixture
def server(profile: Profile) -> Iterator[FaultServer]:
    server = FaultServer(profile)
    with server:
        yield server


def ask(server: FaultServer, profile: Profile, *contents: Any, stream: bool = True, **fields: Any) -> bytes:
    """The body that answers a conversation; strings are the user's, the rest whole messages."""
    messages = [m if isinstance(m, dict) else {"role": "user", "content": m} for m in contents]
    body = {
        "model": MODEL,
        "messages": [{"role": "system", "content": profile.system_prompt}, *messages],
        "tools": list(profile.tools.values()),
        "max_tokens": 256,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        "chat_template_kwargs": {"enable_thinking": False},
        **fields,
    }
    connection = http.client.HTTPConnection(server.host, server.port, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer
    assert response.getheader("content-type") == ("text/event-stream; charset=utf-8" if stream else "application/json")
    connection.close()
    return answer


def shape(value: Any) -> Any:
    """Keys in their order, values as types; lists of numbers and texts by their kind alone."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value if isinstance(inner, dict | list)] or "list"
    return type(value).__name__


def kinds(body: bytes) -> list[Any]:
    """The different shapes of a stream's chunks, in order of appearance."""
    shapes = [shape(event.value) for event in parse.events(body)]
    return [s for i, s in enumerate(shapes) if s not in shapes[:i]]


@pytest.mark.parametrize(("recorded", "thinking"), [("plain", False), ("think", True)])
def test_a_stream_has_the_chunks_of_the_real_one(
    recorded: str, thinking: bool, server: FaultServer, profile: Profile
) -> None:
    options: dict[str, Any] = {"return_token_ids": True, "chat_template_kwargs": {"enable_thinking": thinking}}
    mine = kinds(ask(server, profile, "Hello!", **options))
    real = kinds((RECORDED / f"{recorded}.sse").read_bytes())
    assert [chunk for chunk in mine if chunk in real] == real
    # The recorded thought was cut before any content came.
    assert len(mine) - len(real) == (1 if thinking else 0)


@pytest.mark.parametrize(("recorded", "prompt"), [("plain", "Hello!"), ("required", "Weather in Oslo?")])
def test_a_whole_answer_has_the_fields_of_the_real_one(
    recorded: str, prompt: str, server: FaultServer, profile: Profile
) -> None:
    mine = shape(json.loads(ask(server, profile, prompt, stream=False, return_token_ids=True)))
    real = shape(json.loads((RECORDED / f"{recorded}.json").read_bytes()))
    assert [key for key, _ in mine] == [key for key, _ in real]
    message, recorded_message = (dict(value)["choices"][0][1][1] for value in (mine, real))
    assert [key for key, _ in message] == [key for key, _ in recorded_message]


def test_it_plays_the_script_of_a_scenario(server: FaultServer, profile: Profile) -> None:
    first = parse.parse(ask(server, profile, "Weather in Oslo?"), streamed=True)
    (call,) = first.tool_calls
    assert (call.name, json.loads(call.arguments or "")) == ("web_search", CALL[0]["arguments"])
    assert first.finish_reason == "tool_calls"
    asked: list[Any] = [
        "Weather in Oslo?",
        {"role": "assistant", "content": "", "tool_calls": []},
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    assert parse.parse(ask(server, profile, *asked), streamed=True).content == "Rain."
    asked += [{"role": "assistant", "content": "Rain."}, "And tomorrow?"]
    assert parse.parse(ask(server, profile, *asked), streamed=True).content == "Sunshine."


def test_it_honours_the_token_limit_and_the_switch_of_thinking(server: FaultServer, profile: Profile) -> None:
    cut = parse.parse(ask(server, profile, "Go on!", max_tokens=2), streamed=True)
    assert (cut.content, cut.finish_reason) == ("One two", "length")
    assert parse.parse(ask(server, profile, "Hello!"), streamed=True).reasoning is None
    thought = parse.parse(ask(server, profile, "Hello!", chat_template_kwargs=None), streamed=True)
    assert thought.reasoning
    assert thought.content == "Hello there."


def test_both_ways_of_asking_give_the_same_tokens(server: FaultServer, profile: Profile) -> None:
    one, other = (
        parse.parse(ask(server, profile, "Hello!", stream=stream, return_token_ids=True), streamed=stream)
        for stream in (True, False)
    )
    assert one.token_ids == other.token_ids
    assert one.usage is not None
    assert one.usage.completion_tokens == len(one.token_ids or ())


def test_it_counts_what_it_answered(server: FaultServer, profile: Profile) -> None:
    for prompt in ("Hello!", "Hello!", "Go on!"):
        ask(server, profile, prompt, max_tokens=2 if prompt == "Go on!" else 256)
    connection = http.client.HTTPConnection(server.host, server.port)
    connection.request("GET", "/_count")
    count = json.loads(connection.getresponse().read())
    assert count["received"] == 3
    assert {label.partition("#")[0]: n for label, n in count["answered"].items()} == {"plain/0.0": 2, "cut/0.0": 1}
    connection.close()


def test_it_leaves_no_thread_behind(profile: Profile) -> None:
    before = threading.active_count()
    with FaultServer(profile) as url:
        assert url.endswith("/v1")
    assert threading.active_count() == before

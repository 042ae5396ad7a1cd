"""A scenario becomes the right requests, in the right order."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from annie_eval.profile.types import Expect, Profile, Sampling, Scenario, Turn, Variant
from annie_eval.wire.conversation import is_last, next_request
from annie_eval.wire.sample import Answer, Exchange, ToolCall

TOOL = {"type": "function", "function": {"name": "web_search", "parameters": {"type": "object"}}}
THEN = Expect(calls=())
STREAMED = Variant()


def profile(**changes: Any) -> Profile:
    return Profile(
        "p", Path("p.toml"), "Be brief.", {"web_search": TOOL}, (), {}, sampling=Sampling(seed=7), **changes
    )


def script(*turns: Turn, **changes: Any) -> Scenario:
    return Scenario("s", "c", turns, **changes)


def reply(answer: Answer, turn: int = 0, round_: int = 0) -> Exchange:
    return Exchange({}, 200, (), b"", (), answer, Expect(), turn, round_)


def ask(scenario: Scenario, *done: Exchange, variant: Variant = STREAMED) -> Any:
    return next_request(profile(), scenario, variant, done, model="m", token_ids=False)


def roles(request: Any) -> list[str]:
    return [message["role"] for message in request.body["messages"]]


CALL = Answer(tool_calls=(ToolCall("1", "web_search", '{"q":"x"}'),))


def test_first_request_has_system_history_user_tools_and_sampling() -> None:
    request = ask(
        script(Turn("hi"), history=({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}))
    )
    assert roles(request) == ["system", "user", "assistant", "user"]
    assert request.body["tools"] == [TOOL]
    assert request.body["stream_options"] == {"include_usage": True}
    assert request.body["chat_template_kwargs"] == {"enable_thinking": False}
    assert request.body["seed"] == 7


def test_unset_thinking_sends_no_switch_and_whole_no_stream_options() -> None:
    body = ask(script(Turn("hi")), variant=Variant(stream=False, thinking="unset")).body
    assert "chat_template_kwargs" not in body
    assert "stream_options" not in body


def test_above_temperature_zero_every_sample_has_a_seed_of_its_own_and_the_same_in_each_run() -> None:
    warm = Profile("p", Path("p.toml"), "", {}, (), {}, sampling=Sampling(temperature=0.7, seed=7))

    def seed(name: str, variant: Variant) -> int:
        request = next_request(warm, Scenario(name, "c", (Turn("hi"),)), variant, (), model="m", token_ids=False)
        assert request is not None
        return int(request.body["seed"])

    variants = [Variant(stream, "off", repeat) for stream in (True, False) for repeat in (1, 2, 3)]
    seeds = [seed(name, variant) for name in ("a", "b") for variant in variants]
    assert len(set(seeds)) == 12
    assert seeds == [seed(name, variant) for name in ("a", "b") for variant in variants]
    assert all(0 <= one < 2**31 for one in seeds)


def test_the_seed_of_an_unstreamed_sample_is_what_earlier_versions_sent() -> None:
    """Another seed is another request: no baseline could be compared with."""
    warm = replace(profile(), sampling=Sampling(temperature=0.7, seed=7))
    request = next_request(warm, script(Turn("hi")), Variant(stream=False), (), model="m", token_ids=True)
    drawn = hashlib.sha256(f"7\n{script(Turn('hi')).id}.whole.off".encode()).digest()
    assert request is not None
    assert request.body["seed"] == int.from_bytes(drawn[:4]) & 0x7FFFFFFF


def test_repeats_differ_in_their_seed() -> None:
    assert ask(script(Turn("hi")), variant=Variant(repeat=3)).body["seed"] == 9


def test_no_tools_are_sent_where_none_are_offered() -> None:
    assert "tools" not in ask(script(Turn("hi"), tools=())).body


def test_tool_results_are_sent_back_once_and_judged_by_then() -> None:
    scenario = script(Turn("hi", tool_results={"web_search": {"hit": "ö"}}, then=THEN))
    request = ask(scenario, reply(CALL))
    assert roles(request) == ["system", "user", "assistant", "tool"]
    assert request.body["messages"][-1] == {"role": "tool", "tool_call_id": "1", "content": '{"hit": "ö"}'}
    assert request.expect is THEN
    assert (request.turn, request.round) == (0, 1)
    assert ask(scenario, reply(CALL), reply(CALL, 0, 1)) is None


def test_next_turn_follows_an_answer() -> None:
    scenario = script(Turn("one"), Turn("two"))
    request = ask(scenario, reply(Answer(content="first")))
    assert [m["content"] for m in request.body["messages"]] == ["Be brief.", "one", "first", "two"]
    assert ask(scenario, reply(Answer(content="first")), reply(Answer(content="second"), 1)) is None


def test_unexpected_call_between_turns_still_gets_a_result() -> None:
    request = ask(script(Turn("one"), Turn("two")), reply(CALL))
    assert roles(request) == ["system", "user", "assistant", "tool", "user"]


def test_calls_that_no_server_would_take_back_end_the_script() -> None:
    for call in (ToolCall("1", "web_search", '{"q":'), ToolCall("1", None, "{}"), ToolCall(None, "a", "{}")):
        assert (
            ask(script(Turn("one", tool_results={"web_search": "x"}), Turn("two")), reply(Answer(tool_calls=(call,))))
            is None
        )


def test_a_request_is_the_last_exactly_where_no_answer_to_it_has_another_follow() -> None:
    """The sampler gives its slot away by this, before it has read the answer."""
    with_results = Turn("look it up", tool_results={"web_search": "x"})
    answers = (CALL, Answer(content="text"), Answer())
    for turns in product((Turn("hi"), with_results), repeat=2):
        for scenario in (script(turns[0]), script(*turns)):
            open_ends: list[tuple[Exchange, ...]] = [()]
            while open_ends:
                done = open_ends.pop()
                if (request := ask(scenario, *done)) is None:
                    continue
                then = [(*done, reply(answer, request.turn, request.round)) for answer in answers]
                assert is_last(scenario, request) == all(ask(scenario, *more) is None for more in then)
                open_ends += then

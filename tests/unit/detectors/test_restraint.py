"""Restraint: no call, no call text, and a spoken answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.restraint import find
from tests.support.make_sample import call, reply, sample, wants


def test_a_spoken_answer_without_a_call_passes() -> None:
    assert find(sample(reply("Hello there.", wanted=()))) == ()


@pytest.mark.parametrize(
    ("exchange", "reason"),
    [
        (reply(calls=[call("stop", {})], content="Hi.", wanted=()), "called stop"),
        (reply(calls=[call(None, "{", id=None)], content="Hi.", wanted=()), "called a nameless tool"),
        (reply("Hi. <tool_call>", wanted=()), "dropped call"),
        (reply('search_memory(query="x")', wanted=()), "dropped call"),
        (reply("Hi.", reasoning='<tool_call>{"name": "stop"}</tool_call>', wanted=()), "dropped call"),
        (reply(None, wanted=()), "no answer is spoken"),
        (reply("", wanted=()), "no answer is spoken"),
        (reply(" \u200b\n", wanted=()), "no answer is spoken"),
    ],
)
def test_a_call_its_text_or_silence_is_a_miss(exchange: object, reason: str) -> None:
    (finding,) = find(sample(exchange))  # type: ignore[arg-type]
    assert finding.detector == "restraint"
    assert reason in finding.reason


def test_a_call_without_a_word_is_two_misses() -> None:
    assert len(find(sample(reply(calls=[call("stop", {})], wanted=())))) == 2


def test_exchanges_that_want_a_call_or_do_not_say_are_left_alone() -> None:
    assert find(sample(reply(calls=[call("stop", {})], wanted=[wants("stop")]))) == ()
    assert find(sample(reply(None, wanted=None))) == ()


def test_an_answer_that_is_cut_on_purpose_may_have_said_nothing() -> None:
    assert find(sample(reply(None, wanted=(), truncated=True, finish_reason="length"))) == ()


def test_the_finding_names_its_exchange() -> None:
    (finding,) = find(sample(reply(wanted=()), reply(None, wanted=(), turn=1)))
    assert finding.exchange == 1


TEXT = st.none() | st.text(max_size=60)


@given(TEXT, TEXT, TEXT, TEXT)
def test_a_call_of_any_kind_is_a_miss_and_nothing_raises(
    content: str | None, thought: str | None, name: str | None, arguments: str | None
) -> None:
    assert find(sample(reply(content, reasoning=thought, calls=[call(name, arguments, id=None)], wanted=())))
    find(sample(reply(content, reasoning=thought, wanted=())))


def test_every_miss_of_every_exchange_is_told_whole() -> None:
    tag = "Hi. <tool_call>"
    made = sample(
        reply("Hi.", wanted=None),
        reply(" ", calls=[call("stop", {"a": 1}), call(None, None)], wanted=()),
        reply(None, wanted=[wants("stop")]),
        reply(tag, wanted=()),
        reply(None, wanted=(), truncated=True),
        reply(None, calls=[call("look\nup", "{")], wanted=(), truncated=True),
    )
    assert find(made) == (
        Finding("restraint", "called stop where no tool is needed", 'stop({"a": 1})', "tool_calls", 1, (0, 8)),
        Finding("restraint", "called a nameless tool where no tool is needed", "()", "tool_calls", 1, (0, 0)),
        Finding("restraint", "no answer is spoken", "", None, 1),
        Finding("restraint", "dropped call: tool tag '<tool_call>' in text", tag, "content", 3, (4, 15)),
        Finding("restraint", "called 'look\\nup' where no tool is needed", "look\\nup({)", "tool_calls", 5, (0, 1)),
    )

"""What differs between a streamed and a whole answer: every finding whole, and when nothing can be said.

The expected findings are in stored_differences.json: `tests/support/stored_table.py` says how it is written.
"""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest

from annie_eval.detectors.parity import compare_transports, same_output
from annie_eval.wire.sample import Answer, ToolCall, Usage
from tests.support.make_sample import reply, sample
from tests.support.stored_table import expect

TABLE = Path(__file__).with_name("stored_differences.json")


def answer(content: str | None = "Rome.", **fields: Any) -> Answer:
    return replace(Answer(content, finish_reason="stop", usage=Usage(9, 20), token_ids=(1, 2)), **fields)


def called(*arguments: str | None, name: str = "look") -> dict[str, Any]:
    return {"tool_calls": tuple(ToolCall(f"{i}", name, each, i) for i, each in enumerate(arguments))}


LONG = "It is Rome, which lies on the Tiber, and was not built in a day, as everybody says who has been there."
PAIRS: dict[str, tuple[Answer, Answer]] = {
    "equal": (answer(), answer()),
    "white space": (answer("\n Rome. "), answer("Rome.")),
    "nothing and null": (answer(""), answer(None)),
    "another word": (answer(LONG), answer(LONG.replace("built", "made"))),
    "a piece missing": (answer(LONG[:-20]), answer(LONG)),
    "a piece missing at first": (answer(LONG[4:]), answer(LONG)),
    "nothing when streamed": (answer(None), answer(LONG)),
    "nothing when whole": (answer(LONG), answer("")),
    "another thought": (answer(reasoning="Hm."), answer(reasoning="Well.")),
    "both": (answer("a", reasoning="Hm."), answer("b", reasoning="Well.")),
    "cut off": (answer(LONG[:-20], finish_reason="length"), answer(LONG)),
    "cut off whole": (answer(LONG), answer(LONG[:-20], finish_reason="length")),
    "cut off and another word": (answer("Bern.", finish_reason="length"), answer()),
    "calls": (answer(None, **called('{"a": 1, "b": 2}')), answer(None, **called('{"b":2,"a":1}'))),
    "other arguments": (answer(None, **called('{"a": 1}')), answer(None, **called('{"a": 2}'))),
    "arguments that are no JSON": (answer(None, **called('{"a"')), answer(None, **called('{"a":'))),
    "no arguments": (answer(None, **called(None)), answer(None, **called(""))),
    "a lost call": (answer(None), answer(None, **called('{"a": 1}'))),
    "a lost call, cut off": (answer(None, finish_reason="length"), answer(None, **called('{"a": 1}'))),
    "another name": (answer(None, **called("{}")), answer(None, **called("{}", name="see"))),
    "many calls": (answer(None, **called(*['{"query": "a long question"}'] * 6)), answer(None)),
    "other tokens": (answer("Bern."), answer(token_ids=(1, 3))),
    "no tokens": (answer("Bern.", token_ids=None), answer(token_ids=None)),
    "no tokens, a lost call": (answer(None, token_ids=None), answer(None, token_ids=None, **called("{}"))),
    "no tokens, another number": (
        answer(None, token_ids=None, usage=Usage(9, 19)), answer(None, token_ids=None, **called("{}"))
    ),
    "no tokens, no number": (
        answer(None, token_ids=None, usage=None), answer(None, token_ids=None, usage=None, **called("{}"))
    ),
    "no tokens, no number of one": (
        answer(None, token_ids=None, usage=None), answer(None, token_ids=None, **called("{}"))
    ),
    "no tokens, cut off": (
        answer(None, token_ids=None, finish_reason="length"), answer(None, token_ids=None, **called("{}"))
    ),
    "no tokens, a call when streamed": (
        answer(None, token_ids=None, **called("{}")), answer(None, token_ids=None)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_two_answers_differ_as_stored(case: str) -> None:
    streamed, whole = PAIRS[case]
    samples = [
        sample(*(replace(reply(), answer=each) for each in (first, answer())), stream=stream)
        for first, stream in ((streamed, True), (whole, False))
    ]
    found = [astuple(each) for each in compare_transports(*samples)]
    expect(TABLE, case, json.loads(json.dumps([found, same_output(streamed, whole)])))


def test_the_second_of_two_answers_is_compared_too() -> None:
    made = [sample(*(replace(reply(), answer=each) for each in (answer(), answer(text)))) for text in ("a", "b")]
    assert [found.exchange for found in compare_transports(*made)] == [1]
    assert compare_transports(made[0], replace(made[1], exchanges=made[1].exchanges[:1])) == ()


LOST = ["as many tokens, but no call when streamed (unstreamed: look({}))"]


@pytest.mark.parametrize(
    ("streamed", "whole", "found"),
    [
        ({"token_ids": None}, {}, LOST),
        ({}, {"token_ids": None}, LOST),
        ({"token_ids": None}, {"token_ids": None}, LOST),
        ({"token_ids": (1,)}, {}, None),
        ({"token_ids": None, "usage": None}, {}, None),
        ({"token_ids": None}, {"usage": None}, None),
        ({"token_ids": None, "usage": Usage(9, None)}, {"usage": Usage(9, None)}, None),
        ({"token_ids": None, "usage": Usage(9, 0)}, {"usage": Usage(9, 0)}, LOST),
        ({"token_ids": None, "usage": Usage(8, 20)}, {}, LOST),
        ({"token_ids": None, "usage": Usage(9, 21)}, {}, None),
        ({"token_ids": None, "finish_reason": "length"}, {}, None),
        ({"token_ids": None}, {"finish_reason": "length"}, None),
        ({"token_ids": None, **called("{}")}, {}, []),
        ({"token_ids": None, **called("[]")}, {}, []),
    ],
)
def test_a_lost_call_is_told_where_the_numbers_of_tokens_say_that_it_is_one_output(
    streamed: dict[str, Any], whole: dict[str, Any], found: list[str] | None
) -> None:
    assert same_output(answer(None, **streamed), answer(None, **{**called("{}"), **whole})) == found

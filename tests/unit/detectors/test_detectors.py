"""Properties of all detectors: name, cost, and that they read only their sample."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annie_eval.detectors import detect
from annie_eval.detectors.context import cut_off, user_text
from annie_eval.detectors.finding import excerpt
from annie_eval.profile.types import DETECTORS, AnswerExpectation, Expect
from annie_eval.wire.sample import Sample, Usage
from tests.support.make_sample import call, reply, sample, wants

OURS = [name for name in DETECTORS if name != "wire"]
SPOKEN = (
    "Paris is the capital of France, and it lies on the Seine, about two hours from the sea. The best time to visit is"
    " in spring, when the gardens bloom. Shall I look up trains for you?"
)
EXPECT = Expect(calls=(), answer=AnswerExpectation(any_of=("Paris",), none_of=("Lyon",), number=2))


def ordinary() -> Sample:
    asking = reply(
        calls=[call("search_memory", {"query": "trip to Paris", "limit": 3})], wanted=[wants("search_memory")]
    )
    return sample(asking, reply(SPOKEN, round=1, expect=EXPECT, reasoning="They plan a trip."), thinking="on")


@pytest.mark.parametrize("name", OURS)
def test_a_clean_sample_passes_every_detector(name: str) -> None:
    assert detect(name, ordinary()) == ()


def test_an_unknown_detector_is_refused_with_the_choice() -> None:
    with pytest.raises(KeyError, match='no detector "markup"; choose from thinking, tool_calls'):
        detect("markup", ordinary())


def test_importing_the_detectors_is_cheap() -> None:
    code = "import sys; import annie_eval.detectors; print(sorted(m for m in sys.modules if 'annie_eval' in m))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "annie_eval.detectors'" in out
    assert "thinking" not in out


TEXT = st.none() | st.text(max_size=80)
REPLIES = st.builds(
    reply,
    TEXT,
    reasoning=TEXT,
    calls=st.lists(st.builds(call, TEXT, TEXT, id=TEXT), max_size=2),
    finish_reason=st.sampled_from([None, "stop", "length", "tool_calls", "odd"]),
    user=st.text(max_size=40),
    expect=st.sampled_from(
        [Expect(), EXPECT, Expect(calls=(wants("stop"),), topic=("tags", "markdown"), truncated=True)]
    ),
    tokens=st.integers(0, 300),
)


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=50)
@given(exchanges=st.lists(REPLIES, max_size=3), thinking=st.sampled_from(["on", "off", "unset"]))
def test_no_sample_raises_and_every_finding_is_whole(name: str, exchanges: list[Any], thinking: Any) -> None:
    made = sample(*exchanges, thinking=thinking)
    for finding in detect(name, made):
        assert finding.detector == name
        assert finding.reason
        assert len(finding.excerpt) <= 160
        assert "\n" not in finding.reason
        assert 0 <= finding.exchange < len(exchanges)
        if finding.span is not None:
            assert 0 <= finding.span[0] <= finding.span[1]
    assert detect(name, made) == detect(name, made)


@pytest.mark.parametrize("name", OURS)
def test_a_request_without_messages_is_judged_too(name: str) -> None:
    for messages in (None, [], "x", [None], [{"role": "user"}], [{"role": "user", "content": 7}]):
        detect(name, sample(reply("Hello.", request={"messages": messages, "max_tokens": None})))


def test_an_excerpt_is_as_long_as_a_wide_terminal_and_says_where_it_was_cut() -> None:
    text = "x" * 100 + "<think>\n" + "y" * 300
    shown = excerpt(text, 100)
    assert len(shown) == 160
    assert shown.startswith("…" + "x" * 40 + "<think>\\nyyy")
    assert shown.endswith("y…")
    assert excerpt("short", 2) == "short"
    assert len(excerpt("\n" * 90, 0)) == 160


DIGITS = "0123456789"


@pytest.mark.parametrize(
    ("text", "start", "shown"),
    [
        ("", 0, ""),
        ("a\nb", 2, "a\\nb"),
        (160 * "x", 0, 160 * "x"),
        (161 * "x", 0, 159 * "x" + "…"),
        (20 * DIGITS, 0, 15 * DIGITS + "012345678…"),
        (159 * "x" + "\n", 0, 159 * "x" + "…"),
        (158 * "x" + "\n", 0, 158 * "x" + "\\n"),
        (5 * DIGITS, 40, 5 * DIGITS),
        (5 * DIGITS, 41, "…" + (5 * DIGITS)[1:]),
        (16 * DIGITS, 41, "…" + (16 * DIGITS)[1:]),  # 160 characters with the mark before them
        (16 * DIGITS + "x", 41, "…" + (16 * DIGITS)[1:159] + "…"),
        (DIGITS, 50, "…"),
    ],
)
def test_an_excerpt_begins_forty_characters_before_and_has_160(text: str, start: int, shown: str) -> None:
    assert excerpt(text, start) == shown


def test_an_excerpt_of_another_size() -> None:
    assert excerpt(DIGITS, 5, context=2, most=4) == "…34…"
    assert excerpt(DIGITS, 5, context=2, most=8) == "…3456789"
    assert excerpt(DIGITS, 2, context=2, most=4) == "012…"


def said(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([said("one"), said("two"), said("three", "assistant")], "two"),
        ((said("one"), said("two", "tool"), None, "x"), "one"),
        ([said([{"type": "text", "text": "one"}, {"type": "image"}, {"text": 2}, "x"])], "one\n\n2"),
        ([said(({"text": "one"},))], "one"),
        ([said(None)], ""),
        ([said("one", "system")], ""),
        ([{"content": "one"}], ""),
        ([], ""),
        ("one", ""),
        (None, ""),
    ],
)
def test_what_the_user_said_is_his_last_message(messages: Any, text: str) -> None:
    assert user_text(reply(request={"messages": messages})) == text


@pytest.mark.parametrize(
    ("more", "cut"),
    [
        ({"finish_reason": "length", "tokens": 1}, True),
        ({"tokens": 256}, True),
        ({"tokens": 300}, True),
        ({"tokens": 255}, False),
        ({"tokens": 64, "request": {"max_completion_tokens": 64}}, True),
        ({"tokens": 64, "request": {"max_completion_tokens": 65}}, False),
        ({"tokens": 256, "request": {"max_completion_tokens": 300}}, False),
        ({"tokens": 256, "request": {"max_tokens": None}}, False),
        ({"tokens": 256, "request": {"max_tokens": "256"}}, False),
    ],
)
def test_an_answer_is_cut_by_its_finish_reason_or_by_its_tokens(more: dict[str, Any], cut: bool) -> None:
    assert cut_off(reply(**more)) is cut


def test_an_answer_without_a_count_of_tokens_is_cut_by_its_finish_reason_alone() -> None:
    for finish, cut in (("length", True), ("stop", False)):
        one = reply(finish_reason=finish)
        for usage in (None, Usage(10, None)):
            assert cut_off(replace(one, answer=replace(one.answer, usage=usage))) is cut

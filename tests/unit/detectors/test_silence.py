"""Silence: replies without text and without a call are found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.finding import Finding
from annie_eval.detectors.silence import find
from tests.support.make_sample import call, reply, sample

NOTHING = [None, "", " ", "\n\t\r", "\u200b", "\ufeff\u2060", "\u00a0\u3000", "\ufe0f", "\x00", "\u2800", "\u3164"]


@pytest.mark.parametrize("nothing", NOTHING)
def test_an_answer_without_a_visible_sign_is_silence(nothing: str | None) -> None:
    (finding,) = find(sample(reply(nothing)))
    assert (finding.detector, finding.reason, finding.channel) == ("silence", "empty answer", "content")
    assert finding.excerpt


@pytest.mark.parametrize("something", ["Hi.", "7", "はい", "👍", "हाँ", "\u200bok"])
def test_an_answer_is_not(something: str) -> None:
    assert find(sample(reply(something))) == ()


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_call_without_words_is_not(nothing: str | None) -> None:
    assert find(sample(reply(nothing, calls=[call("stop", {})]))) == ()


def test_reasoning_alone_is_silence_unless_the_thought_was_cut() -> None:
    alone = reply(None, reasoning="Well, let me see.")
    assert [f.reason for f in find(sample(alone, thinking="on"))] == ["only reasoning, nothing said"]
    cut = reply(None, reasoning="Well, let me", finish_reason="length")
    assert find(sample(cut, thinking="on")) == ()
    assert find(sample(cut, thinking="unset")) == ()
    assert find(sample(cut, thinking="off"))
    assert find(sample(reply(None, reasoning=" ", finish_reason="length"), thinking="on"))


def test_every_exchange_is_judged() -> None:
    findings = find(sample(reply("Hi."), reply(None, turn=1), reply("", turn=2)))
    assert [(finding.exchange, finding.span) for finding in findings] == [(1, None), (2, (0, 0))]


@given(st.none() | st.text(max_size=50), st.none() | st.text(max_size=50))
def test_no_text_raises(content: str | None, reasoning: str | None) -> None:
    find(sample(reply(content, reasoning=reasoning)))


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_letters_and_digits_are_never_silence(text: str) -> None:
    assert find(sample(reply(text))) == () or text.strip("\u115f\u1160\u3164\uffa0\u17b4\u17b5") == ""


def test_every_silent_exchange_is_told_whole() -> None:
    made = sample(
        reply(None),
        reply("\u200b\n"),
        reply(200 * " "),
        reply(None, reasoning="Hm.", finish_reason="length"),
        reply(None, reasoning="Hm."),
        reply("Hi."),
        reply(" ", calls=[call("stop", {})]),
        reply(""),
        thinking="on",
    )
    assert find(made) == (
        Finding("silence", "empty answer", "content is null", "content", 0, None),
        Finding("silence", "empty answer", "'\\u200b\\n'", "content", 1, (0, 2)),
        Finding("silence", "empty answer", "'" + 159 * " ", "content", 2, (0, 200)),
        Finding("silence", "only reasoning, nothing said", "content is null", "content", 4, None),
        Finding("silence", "empty answer", "''", "content", 7, (0, 0)),
    )

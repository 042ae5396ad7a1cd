"""Brevity: one to three finished sentences, not cut off."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.brevity import find
from annie_eval.profile.types import Limits
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import call, reply, sample


def reasons(content: str | None, **more: object) -> list[str]:
    return [finding.reason for finding in find(sample(reply(content, **more)))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["Yes.", "One. Two. Three.", "Dr. No lives at No. 5, e.g. in the U.S. now.", "はい。そうです。", "Fine 😊."],
)
def test_a_short_finished_answer_passes(text: str) -> None:
    assert reasons(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "<think>\n\n</think>\n\nOne. Two. Three.",
        "<think>\nOkay. They ask. I say.\n</think>\n\nOne. Two. Three.",
        "Okay. They ask. I say.\n</think>\n\nOne. Two. Three.",
        "<think>\nOne. Two. Three.",
        "[THINK]Hm. So. Well.[/THINK]One. Two. Three.",
        "One. Two. Three.<|im_end|>",
        "One. Two. Three.</s>",
        "One. Two. Three.<think>",
    ],
)
def test_tags_and_tagged_thoughts_are_left_to_their_detector(text: str) -> None:
    assert reasons(text) == []
    assert reasons(f"{text}\nFour. Five.") != []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("One. Two. Three. Four.", ["4 sentences, at most 3 wanted"]),
        ("word " * 81 + "end.", ["82 words, at most 80 wanted"]),
        ("I think it is", ["last sentence is not finished"]),
        ("Here is the list:", ["last sentence is not finished"]),
        ("", ["0 sentences, at least 1 wanted"]),
        (None, ["0 sentences, at least 1 wanted"]),
        ("...", ["0 sentences, at least 1 wanted"]),
    ],
)
def test_an_answer_that_is_long_unfinished_or_empty_is_a_miss(text: str | None, wanted: list[str]) -> None:
    assert reasons(text) == wanted


def test_an_answer_that_the_token_limit_cut_is_a_miss_even_if_it_looks_finished() -> None:
    assert reasons("It is so.", finish_reason="length") == ["cut off by max_tokens"]
    assert reasons("It is", finish_reason="length") == ["cut off by max_tokens"]


def test_an_answer_that_is_cut_on_purpose_need_not_be_whole() -> None:
    assert reasons("It is", finish_reason="length", truncated=True) == []
    assert reasons(None, finish_reason="length", truncated=True) == []
    assert reasons("One. Two. Three. Four", finish_reason="length", truncated=True) != []


def test_the_limit_of_words_is_the_last_that_passes() -> None:
    assert reasons("word " * 79 + "end.") == []
    assert reasons("word " * 80 + "end.") == ["81 words, at most 80 wanted"]


def test_the_scenario_overrides_the_profile() -> None:
    assert reasons("One. Two.", max_sentences=1) == ["2 sentences, at most 1 wanted"]
    assert reasons("One. Two. Three. Four.", max_sentences=4) == []
    strict = Limits(min_sentences=2, max_sentences=2, max_words=3)
    assert len(find(sample(reply("One two three four."), limits=strict))) == 2
    assert find(sample(reply("One two."), limits=Limits(min_sentences=1))) == ()


def test_a_reply_that_calls_a_tool_need_not_speak() -> None:
    assert find(sample(reply(calls=[call("stop", {})]))) == ()
    findings = find(sample(reply(calls=[call("stop", {})]), reply("Done", round=1)))
    assert [finding.exchange for finding in findings] == [1]


def test_the_finding_points_at_the_first_sentence_too_many() -> None:
    text = "One. Two. Three. Four is here. Five."
    (finding,) = find(sample(reply(text)))
    assert finding.span is not None
    assert text[slice(*finding.span)].strip() == "Four is here."


@given(st.none() | st.text(max_size=200), st.sampled_from(["stop", "length", "tool_calls"]), st.booleans())
def test_no_text_raises(text: str | None, finish: str, cut: bool) -> None:
    find(sample(reply(text, finish_reason=finish, truncated=cut)))


@pytest.mark.parametrize(
    "piece", ["a. ", ". ", "\n", "a.b.", "...", "(", '"', "a ", " ", "東", "_ ", "\r\n", "\n\t", "\u200b", "😀"]
)
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    assert growth_by_text(lambda text: find(sample(reply(text))), piece) < LINEAR


FOUR = "One. Two. Three. Four is here. Five."


@pytest.mark.parametrize(
    ("content", "more", "limits", "expected"),
    [
        ("One.", {}, Limits(min_sentences=2), [("1 sentences, at least 2 wanted", (0, 4))]),
        ("One. Two.", {}, Limits(min_sentences=2), []),
        ("One.", {"truncated": True}, Limits(min_sentences=2), []),
        ("One.", {"max_sentences": 1}, Limits(min_sentences=2), []),
        ("", {"max_sentences": 1}, Limits(min_sentences=2), [("0 sentences, at least 1 wanted", (0, 0))]),
        (FOUR, {}, Limits(), [("5 sentences, at most 3 wanted", (16, 30))]),
        (FOUR, {"max_sentences": 5}, Limits(), []),
        (FOUR, {"max_sentences": 4}, Limits(), [("5 sentences, at most 4 wanted", (30, 36))]),
        (FOUR, {"max_sentences": 5}, Limits(max_words=6), [("7 words, at most 6 wanted", (0, 36))]),
        (FOUR, {"max_sentences": 5}, Limits(max_words=7), []),
        ("One. Two", {}, Limits(), [("last sentence is not finished", (8, 8))]),
        ("One. Two", {"truncated": True}, Limits(), []),
        ("One. Two", {"finish_reason": "length"}, Limits(), [("cut off by max_tokens", (8, 8))]),
    ],
)
def test_each_limit_is_told_with_the_place_that_breaks_it(
    content: str, more: dict[str, Any], limits: Limits, expected: list[tuple[str, tuple[int, int]]]
) -> None:
    found = find(sample(reply(calls=[call("stop", {})]), reply(content, **more), limits=limits))
    assert [(each.reason, each.span) for each in found] == expected
    assert all((each.detector, each.channel, each.exchange) == ("brevity", "content", 1) for each in found)


@pytest.mark.parametrize(("seconds", "told"), [(5, []), (4, ["takes 4 s to speak, at most 4 wanted"]), (None, [])])
def test_an_answer_takes_as_long_as_its_words_take(seconds: int | None, told: list[str]) -> None:
    """Twelve words at 160 a minute take 4.5 seconds."""
    made = sample(reply(f"{11 * 'word '}end."), limits=Limits(max_seconds=seconds))
    made = replace(made, speech=replace(made.speech, words_per_minute=160))
    assert [each.reason for each in find(made)] == told


def test_half_an_hour_of_speech_is_judged() -> None:
    word = 19_998 * "x"
    assert reasons(f"{word}. B.", max_sentences=1) == []
    assert reasons(f"{word[1:]}. B.", max_sentences=1) == ["2 sentences, at most 1 wanted"]

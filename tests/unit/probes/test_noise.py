"""Noise changes a prompt's words, but not those that carry the request."""

from __future__ import annotations

import pytest

from annie_eval.probes import noise
from annie_eval.probes.noise import Edit
from annie_eval.profile.load import load

SAID = "Annie, what's the weather like in Bristol for the weekend?"


@pytest.mark.parametrize("kind", [kind for kind in noise.kinds("en") if kind != noise.HISTORY])
def test_every_kind_changes_the_text(kind: str) -> None:
    assert any(noise.apply([Edit(kind, at)], SAID) != SAID for at in range(6))


@pytest.mark.parametrize("kind", [kind for kind in noise.kinds("en") if kind != noise.HISTORY])
def test_protected_words_stay_as_they_are(kind: str) -> None:
    for at in range(40):
        heard = noise.apply([Edit(kind, at)], SAID, frozenset({"bristol", "weekend"}))
        assert "Bristol" in heard
        assert "weekend" in heard


@pytest.mark.parametrize(
    ("kind", "at", "heard"),
    [
        ("lower case", 0, "annie, what's the weather like in bristol for the weekend?"),
        ("no punctuation", 0, "Annie what's the weather like in Bristol for the weekend"),
        ("letters swapped", 1, "Annie, waht's the weather like in Bristol for the weekend?"),
        ("filler word", 3, "Annie, what's the you know, weather like in Bristol for the weekend?"),
        ("misheard word", 1, "Annie, what's the whether like in Bristol for the weekend?"),
        ("other greeting", 0, "Hi Annie, what's the weather like in Bristol for the weekend?"),
    ],
)
def test_edits_are_what_they_are_called(kind: str, at: int, heard: str) -> None:
    assert noise.apply([Edit(kind, at)], SAID) == heard


def test_a_greeting_is_replaced_and_not_added() -> None:
    assert noise.apply([Edit("other greeting", 1)], "Hey Annie, play something.") == "Hello there, play something."


def test_numbers_keep_their_marks() -> None:
    assert (
        noise.apply([Edit("no punctuation")], "Wake me at 6:30, it's 3.5 miles.") == "Wake me at 6:30 it's 3.5 miles"
    )


def test_english_noise_stays_out_of_other_languages() -> None:
    assert "misheard word" not in noise.kinds("de")
    assert "letter dropped" in noise.kinds("de-AT")
    assert "misheard word" in noise.kinds("en-GB")


def test_history_goes_before_the_prompt_in_pairs() -> None:
    messages = noise.history([Edit(noise.HISTORY, 1), Edit("lower case"), Edit(noise.HISTORY, 2)])
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert noise.apply([Edit(noise.HISTORY, 1)], SAID) == SAID


@pytest.mark.parametrize("name", ["annie", "annie-strict", "annie-smol"])
def test_no_text_is_too_odd_for_any_edit(name: str) -> None:
    texts = [*(scenario.turns[0].user for scenario in load(name).scenarios), "", "?", "  ", "a", "日本", "12:30"]
    for text in texts:
        for kind in noise.kinds("en"):
            for at in (0, 7, 40):
                assert isinstance(noise.apply([Edit(kind, at)], text), str)


def test_expected_arguments_and_names_are_protected() -> None:
    profile = load("annie")
    wanted = [one for one in profile.scenarios if one.turns[0].expect.calls]
    assert wanted
    for scenario in wanted:
        for call in scenario.turns[0].expect.calls or ():
            for value in call.arguments.values():
                if isinstance(value, str) and value.isalpha():
                    assert value.casefold() in noise.protected(scenario)

"""What a sentence asserts, which numbers it says, and which language it is in: each by itself, near its limits."""

from __future__ import annotations

import pytest

from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.spoken_numbers import numbers
from annie_eval.detectors.languages import of_words


def asserts(text: str, phrase: str = "Paris") -> bool:
    speech = Speech(text)
    (span,) = speech.find(phrase)
    return speech.asserts(span)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("Paris.", True),
        ("Maybe Paris.", False),  # the first word of all
        ("Oh maybe Paris.", False),
        ("Might be Paris.", False),
        ("It might be Paris.", False),
        ("It might Paris.", True),  # a modal without its verb says nothing
        ("Perhaps you look for the lovely old Paris.", False),  # seven words before
        ("Perhaps you look for the very lovely old Paris.", True),  # eight: another thought
        ("Perhaps. It is Paris.", True),  # another sentence
        ("Perhaps London, but it is Paris.", True),
    ],
)
def test_a_hedge_makes_a_guess_of_what_follows_it_closely(text: str, stated: bool) -> None:
    assert asserts(text) is stated


@pytest.mark.parametrize(
    ("text", "weak"),
    [
        ("One hour.", False),
        ("One hour, no more than that", False),  # a pointer behind it, the last word of all
        ("The big one hour.", False),  # a pointer two words before
        ("About one hour of the day.", False),
        ("That one hour.", True),
        ("Which one hour?", True),
        ("One thing.", True),
        ("One of them.", True),
    ],
)
def test_one_is_a_number_where_it_counts_and_a_pronoun_elsewhere(text: str, weak: bool) -> None:
    assert [number.weak for number in numbers(text)] == [weak]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("at six oh five today", [((605, 6 + 5 / 60), "six oh five")]),
        ("nineteen oh nine twenty", [((1909, 19 + 9 / 60), "nineteen oh nine"), ((20,), "twenty")]),
        ("six oh ten", [((6,), "six"), ((10,), "ten")]),
        ("six oh no", [((6,), "six")]),
        ("six ten", [((610, 6 + 10 / 60), "six ten")]),
        ("six nine", [((6,), "six"), ((9,), "nine")]),
        ("nineteen forty-five was", [((1945, 19 + 45 / 60), "nineteen forty-five")]),
    ],
)
def test_a_year_or_time_in_two_halves_is_one_number_with_all_of_its_words(
    text: str, found: list[tuple[tuple[float, ...], str]]
) -> None:
    assert [(n.readings, text[n.start : n.end]) for n in numbers(text)] == [(pytest.approx(r), t) for r, t in found]


def test_a_language_must_be_told_from_the_next() -> None:
    assert of_words("Du har det som en kan") is None  # Danish as well as Swedish
    assert of_words("Du har det som en kan", {"en"}) is None
    assert of_words("Och du har det inte som en kan") is None  # eight words of Swedish, six of Danish
    assert of_words("Och du har det inte som en kan", {"en"}) == "sv"
    assert of_words("Og du har det ikke som en kan", {"en"}) == "da"

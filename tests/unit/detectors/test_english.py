"""What a sentence asserts, which numbers it says, and which language it is in: each by itself, near its limits."""

from __future__ import annotations

import pytest

from annie_eval.detectors.english.assertion import Speech
from annie_eval.detectors.english.spoken_numbers import numbers
from annie_eval.detectors.languages import foreign, of_words, writes_ordinals_with_a_stop


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


NOUNS = "Haus Baum Katze Hund Vogel Fisch Maus Pferd Esel Huhn"  # frequent in no language here
ONLY_DE = "ich nicht der"
ONLY_EN = "the you with"


@pytest.mark.parametrize(
    ("sentence", "expected", "least", "language"),
    [
        (f"{ONLY_DE} Haus", (), 2, "de"),
        (ONLY_DE, (), 2, None),  # four words at least
        (f"{ONLY_DE} Haus", (), 3, None),  # five then
        (f"{ONLY_DE} Haus Baum", (), 3, "de"),
        ("ich nicht Haus Baum", (), 2, None),
        ("ich nicht Haus Baum", {"en"}, 2, "de"),
        ("ich nicht Haus Baum Hund", {"en"}, 3, None),
        (f"{ONLY_DE} Haus Baum", {"en"}, 3, "de"),
        ("ich Haus Baum Hund", {"en"}, 2, None),
        (f"{ONLY_DE} the", {"en"}, 2, None),
        (f"{ONLY_DE} und the", {"en"}, 2, "de"),
        (f"{ONLY_DE} und the you", {"en"}, 2, None),
        (f"{ONLY_DE} und ein the you", {"en"}, 2, "de"),
        (f"{ONLY_DE} {' '.join(NOUNS.split()[:9])}", (), 2, "de"),
        (f"{ONLY_DE} {NOUNS}", (), 2, None),  # fewer than a quarter
        (f"{ONLY_DE} {NOUNS} Haus haus".replace(" Huhn", ""), (), 2, "de"),  # a word counts once
        (f"{ONLY_DE} ich ICH Haus", (), 2, "de"),
        ("ich ich ich Haus", (), 2, None),
        (f"{ONLY_DE} {ONLY_EN}", (), 2, None),
        (f"{ONLY_DE} und auf dem {ONLY_EN}", (), 2, "de"),
        (f"{ONLY_DE} und auf {ONLY_EN}", (), 2, None),  # twice as many as of the next
        (f"{ONLY_EN} Haus", {"en"}, 2, "en"),
    ],
)
def test_a_language_has_more_of_its_words_than_the_others(
    sentence: str, expected: set[str] | tuple[str, ...], least: int, language: str | None
) -> None:
    assert of_words(sentence, expected, least) == language


DE = "Ich bin nicht der Hund und nicht die Katze."
EN = "I am not the dog and not the cat."


@pytest.mark.parametrize(
    ("marked", "asked", "language"),
    [
        (EN, "What is it?", "en"),
        (f"{EN}〔 Ich bin nicht der Hund〕.", "What is it?", "en"),
        (f"〔{DE[:-1]}〕.", "What is it?", "en"),
        (DE, "How do you say it in German?", "en"),
        (DE, "Was ist es, und wer bist du denn nicht?", "en"),
        (DE, "What is it?", "de"),
        (DE, "What is it?", "de-AT"),
        (DE, "What is it?", "DE"),
        (f"〔{EN[:-1]}〕.", "", "de"),
        (EN, "What is it that you have, and who are you?", "de"),
        ("It is fine,〔 ich nicht der und ein〕, so be it.", "What is it?", "en"),
        ("It is fine, ich nicht der und, so be it.", "What is it?", "en"),
        ("It is fine, ich nicht der und ein, so be it.", "What is it?", "fi"),
        ("It is 〔こんにちは〕 there.", "What is it?", "en"),
        ("It is こ there.", "What is it?", "en"),
        ("It is こんにちは there.", "What is こんにちは?", "en"),
        ("こんにちは。", "", "ja"),
        ("こんにちは。", "", "ja-JP"),
        ("〔Привет〕, Ann.", "", "ja"),
        ("Привет, Ann.", "", "sr"),
        ("〔It was so fine〕", "天気は?", "ja"),
        ("It was fine", "天気は?", "ja"),
        ("It was so fine, 天気", "天気は?", "ja"),
        ("It was so fine", "天気 weather?", "ja"),
    ],
)
def test_another_language_than_the_users_is_told_with_its_place(marked: str, asked: str, language: str) -> None:
    start, end = marked.find("〔"), marked.find("〕") - 1
    text = marked.replace("〔", "").replace("〕", "")
    assert foreign(text, asked, language) == ((start, end) if start >= 0 else None)


@pytest.mark.parametrize(
    ("text", "ordinals"),
    [
        ("Ich.", True),
        ("Ich the.", False),
        ("Haus.", False),
        ("Je suis.", True),  # Czech has `je`, too
        ("Nous avons.", False),
        (f"{395 * 'x'} ich", True),
        (f"{398 * 'x'} ich", False),  # 400 characters are read
        (f"ich {400 * 'x'} the", True),
    ],
)
def test_a_language_writes_ordinals_with_a_stop(text: str, ordinals: bool) -> None:
    assert writes_ordinals_with_a_stop(text) is ordinals

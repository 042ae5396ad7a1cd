"""Undecoded text: text that was decoded wrongly, twice or not at all is found; similar letters are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.thinking import find
from annie_eval.detectors.undecoded import find_undecoded
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import reply, sample


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("Latin-1", "Thatâ€™s the cafÃ© on the left."),
        ("Latin-1", "Das heiÃŸt so."),
        ("Latin-1", "Rome â€” of course."),
        ("Latin-1", "That costs â‚¬6."),
        ("Latin-1", "ÐŸÑ€Ð¸Ð²ÐµÑ‚"),
        ("Latin-1", "ã“ã‚“ã«ã¡ã¯"),
        ("Latin-1", "ðŸ˜€ Morning!"),
        ("Windows-1251", "РџСЂРёРІРµС‚, как дела?"),
        ("Windows-1251", "ThatвЂ™s it."),
        ("Mac Roman", "caf√© au lait"),
        ("tokenizer", "ĠSure."),
        ("tokenizer", "Sure,Ġit is."),
        ("tokenizer", "ThatâĢĻs it."),
        ("tokenizer", "▁Sure."),
        ("tokenizer", "\ue200cite\ue202turn0"),
        ("escapes", r"The caf\u00e9 is in Z\u00fcrich."),
        ("escapes", r"The caf\xc3\xa9."),
        ("escapes", r"It is Rome.\n\nAnything else?"),
        ("escapes", "It%27s%20Rome"),
        ("escapes", "The caf=C3=A9."),
        ("U+FFFD", "Rome \ufffd"),
    ],
)
def test_text_that_was_decoded_wrongly_is_found(what: str, text: str) -> None:
    found = find_undecoded(text)
    assert found is not None
    assert what in found[0]
    assert [finding.reason for finding in find(sample(reply(text)))] == [found[0]]


@pytest.mark.parametrize(
    "text",
    [
        "That’s the café on the left, naïve as it is.",
        "Das heißt „Ä“ und nicht „A“.",
        "São Paulo é a maior, diz a MAÇÃ.",
        "Ġorġ joqgħod Malta, u l-Ġimgħa jaħdem.",
        "Ļoti labi, Ģertrūde!",
        "Ребро и Рёбра, сестра и Сёстры.",
        "Voilà » dit-il, à « Paris ».",
        "The file is C:\\temp\\new.",
        "It is 100% sure, and 20% off.",
        "日本語、한국어, नमस्ते, ไทย, ÀÉÎ and 🙂.",
    ],
)
def test_letters_of_many_languages_are_left_alone(text: str) -> None:
    assert find_undecoded(text) is None


@given(st.text(st.characters(min_codepoint=0xC0, max_codepoint=0x24F, categories=["Ll"]), min_size=1, max_size=6))
def test_every_word_read_in_another_encoding_is_found(word: str) -> None:
    wrong = word.encode().decode("latin-1")
    assert find_undecoded(f"It is {wrong}a.") is not None


@pytest.mark.parametrize("piece", ["Ã", "â", "Ð", "\\", "%4", "Ġ", "=C", "РС", "é "])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    assert growth_by_text(find_undecoded, piece, size=25_000) < LINEAR

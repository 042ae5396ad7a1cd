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


# What is found stands in 〔brackets〕, which are no part of the text.
HALF, CONTROLS, LOST, PIECES, ESCAPES = (
    "half of a surrogate pair",
    "mojibake: controls or frames in words",
    "apostrophes lost in decoding",
    "raw tokenizer pieces",
    "characters written as escapes",
)
LATIN, CYRILLIC, MAC = (f"mojibake: UTF-8 read as {name}" for name in ("Latin-1", "Windows-1251", "Mac Roman"))


@pytest.mark.parametrize(
    ("what", "marked", "in_code"),
    [
        ("undecodable bytes (U+FFFD)", "Rome 〔\ufffd〕\ufffd", True),
        (HALF, "é 〔\ud83d〕.", True),
        (HALF, "é 〔\\ud83d〕.", True),
        (ESCAPES, "é 〔\\ud83d〕\\ude00.", False),
        (ESCAPES, "e 〔\\ud83d〕.", False),
        (CONTROLS, "é〔\x84〕.", True),
        (CONTROLS, "a〔▒〕b", True),
        (None, "a ▒ b", True),
        (LOST, "It〔?s〕 me.", False),
        (PIECES, "Sure,〔Ġ〕it is.", True),
        (ESCAPES, "It 〔%C3%A9〕.", False),
        (ESCAPES, "It 〔=C3=A9〕.", False),
        (ESCAPES, "A caf〔\\u00e9〕.", False),
        (None, "It is 5% or so.", True),
        (LATIN, "The caf〔Ã©〕.", True),
        (LATIN, "A 〔Â©〕 sign.", True),
        (LATIN, "Das 〔Ä“〕a.", True),
        (None, "Das „Ä“ und „Ä“.", True),
        (LATIN, "Das „Ä“ und 〔Ã©〕.", True),
        (None, "An Õ€a.", True),  # a letter that few people write
        (None, "An à¡a.", True),  # no UTF-8
        (CYRILLIC, "〔РџСЂ〕.", True),
        (None, "Рџ.", True),
        (CYRILLIC, "It〔вЂ™〕s.", True),
        (CYRILLIC, "Hi 〔рџ™‚〕.", True),
        (MAC, "Caf〔√©〕.", True),
        (MAC, "It 〔‚Äì〕 so.", True),
        (None, "An —ë.", True),
        (PIECES, "Aqu〔ÃŃ〕.", True),
        (None, "Aqu Ãńa.", True),  # GPT-2 has no such letter
        (None, "An ×Ńa.", True),  # a Hebrew mark, which stands behind a letter
    ],
)
def test_the_first_fault_of_decoding_is_placed(what: str | None, marked: str, in_code: bool) -> None:
    start, end = marked.find("〔"), marked.find("〕") - 1
    text = marked.replace("〔", "").replace("〕", "")
    expected = (what, start, end) if what else None
    assert find_undecoded(text) == expected
    assert find_undecoded(text, escapes=False) == (expected if in_code else None)


def gpt2_letters() -> dict[int, str]:
    """GPT-2's letter of each byte: printable Latin-1 stays, the others are counted from U+0100 on."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in kept]
    return {**{byte: chr(byte) for byte in kept}, **{byte: chr(256 + at) for at, byte in enumerate(rest)}}


EVERY_BYTE = "".join(map(chr, range(0xC0, 0x100)))  # in UTF-8 each has another second byte, from 0x80 to 0xBF
EVERY_LEAD = "©Ā\u0220Ωω\u0401яאيعअก–€→あ中龥각힣！🙂🫠"


@pytest.mark.parametrize("letter", EVERY_BYTE + EVERY_LEAD)
def test_a_letter_of_any_bytes_is_undone(letter: str) -> None:
    encoded = letter.encode()
    western = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in encoded)
    span = (1, 1 + len(encoded))
    found = find_undecoded(f".{western}a")
    assert found is not None
    if not any(0x80 <= ord(sign) < 0xA0 for sign in western):  # a control tells by itself
        assert found == (LATIN, *span)
    table = gpt2_letters()
    pieces = "".join(table[byte] for byte in encoded)
    found = find_undecoded(f".{pieces}a")
    assert found in ((LATIN, *span), (PIECES, *span)), pieces
    cyrillic = encoded.decode("cp1251", "ignore")
    if len(cyrillic) == len(encoded) and encoded[0] not in (0xC2, 0xC3):
        assert find_undecoded(f".{2 * cyrillic}a") == (CYRILLIC, 1, 1 + 2 * len(encoded))
    if encoded[0] == 0xC3:
        assert find_undecoded(f".{encoded.decode('mac_roman')}a") == (MAC, *span)

"""Finds text decoded wrongly, twice, or not at all: mojibake, byte-level BPE, literal escapes, lone surrogates.

Mojibake is UTF-8 that was read in another encoding. Whether a run of letters is one is decided by undoing it: encoded
again, it must be UTF-8 of a character that people write. Byte-level BPE is undone in the same way, by the table of
GPT-2's tokenizer (openai/gpt-2, `src/encoder.py`, `bytes_to_unicode`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from annie_eval.text import characters

REPLACEMENT = "\ufffd"
# Control characters of Latin-1, which nobody writes, and frames in the middle of words (code page 437).
_CONTROL = re.compile(r"[\x80-\x84\x86-\x9f]|(?<=[^\W\d_])[\u2500-\u259f](?=[^\W\d_\s]|[\u2500-\u259f])")
# An apostrophe that an encoding lacked.
_LOST = re.compile(r"(?<=[A-Za-z])\?(?:s|t|re|ll|ve|clock)\b")
_LEADS = ((0xC2, 0xDF, 1), (0xE0, 0xEF, 2), (0xF0, 0xF4, 3))
# Blocks of what people write, without marks and rarities that two signs of ordinary text may decode to by chance.
_WRITTEN = re.compile(
    "[\xa0-\u024f\u0391-\u03c9\u0401\u0410-\u044f\u0451\u05d0-\u05ea\u0621-\u064a\u0904-\u0939\u0e01-\u0e2e\u2010-\u203a"
    "\u20ac\u2122\u2190-\u2193\u2212\u25a0-\u27bf\u3001-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff5e\U0001f000-\U0001faff]"
)
_PIECES = re.compile(
    r"(?<=[a-z.,!?'])[ĠĊ](?=[A-Za-z'\"]|\Z)|(?<![^\W\d_])Ġ(?=[A-Z][a-z]|\Z)|▁(?=\w)|[ĠĊ]{2}|[\ue000-\uf8ff]"
)
_ESCAPES = re.compile(
    r"\\(?:u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|u\{[0-9a-fA-F]{2,6}\}|[0-3][0-7]{2})"
    r"|(?<![\w\\])(?:\\r)?\\n(?![a-z])|(?<=[^\W\d_]{3})\\n(?=[A-Z\\\s]|\Z)|\\[nrt]\\[nrt]"
    r"|(?<=\w)%[2-7][0-9A-F](?=[A-Za-z])(?=[^\n]{0,200}%[2-7C-F][0-9A-F])|%[C-F][0-9A-F]%[89AB][0-9A-F]"
    r"|=[C-F][0-9A-F]=[89AB][0-9A-F]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")


def find_undecoded(text: str, *, escapes: bool = True) -> tuple[str, int, int] | None:
    """(what is wrong, start, end) of the first text that was decoded wrongly; None if there is none.

    Args:
        escapes: whether a literal `\\n` or `\\u00e9` is one; not where the text is JSON or may hold code.
    """
    if (place := text.find(REPLACEMENT)) >= 0:
        return "undecodable bytes (U+FFFD)", place, place + 1
    if (lone := _SURROGATE.search(text)) and not text.isascii():
        return "half of a surrogate pair", *lone.span()
    if not text.isascii() and (control := _CONTROL.search(text)):
        return "mojibake: controls or frames in words", *control.span()
    if escapes and (lost := _LOST.search(text)):
        return "apostrophes lost in decoding", *lost.span()
    if not text.isascii() and (pieces := _PIECES.search(text)):
        return "raw tokenizer pieces", *pieces.span()
    if escapes and not characters(text).isdisjoint("\\%=") and (escape := _ESCAPES.search(text)):
        return "characters written as escapes", *escape.span()
    return None if text.isascii() else _mojibake(text)


def _mojibake(text: str) -> tuple[str, int, int] | None:
    for what, pattern, table, least in _encodings():
        for run in pattern.finditer(text):
            end = run.end()
            if _quoted(text, run):
                continue
            shown = bytes(table[letter] for letter in run.group()).decode("utf-8", "replace")
            if len(shown) >= least and _WRITTEN.fullmatch(shown[0]) and REPLACEMENT not in shown:
                return what, run.start(), end
    return None


def _quoted(text: str, run: re.Match[str]) -> bool:
    """Whether the run is a letter before a closing quote or a dash: „Ä“ and “MAÇÔ are as people write."""
    return len(run.group()) == 2 and run.group()[1] in "“”‘’‚„–—…›‹»« \xa0" and not text[run.end() :][:1].isalpha()


@lru_cache(maxsize=1)
def _encodings() -> tuple[tuple[str, re.Pattern[str], Mapping[str, int], int], ...]:
    """(what it is, pattern of a run, byte of each letter, least number of characters that prove it)."""
    western = {bytes([byte]).decode("latin-1"): byte for byte in range(0x80, 0x100)}
    western |= {_letter(byte, "cp1252"): byte for byte in range(0x80, 0x100) if _letter(byte, "cp1252")}
    cyrillic = {_letter(byte, "cp1251"): byte for byte in range(0x80, 0x100) if _letter(byte, "cp1251")}
    mac = {_letter(byte, "mac_roman"): byte for byte in range(0x80, 0x100)}
    kept = [*range(0xA1, 0xAD), *range(0xAE, 0x100)]
    bpe = {chr(byte): byte for byte in kept}
    bpe |= {chr(0x100 + place): byte for place, byte in enumerate(b for b in range(256) if b not in _printable())}
    bpe = {letter: byte for letter, byte in bpe.items() if byte >= 0x80}
    return (
        ("mojibake: UTF-8 read as Latin-1", _run(western), western, 1),
        ("raw tokenizer pieces", _run(bpe), bpe, 1),
        ("mojibake: UTF-8 read as Windows-1251", _run(cyrillic, times="{2,}"), cyrillic, 2),
        ("mojibake: UTF-8 read as Windows-1251", _run(cyrillic, leads=(0xE2, 0xF0)), cyrillic, 1),
        ("mojibake: UTF-8 read as Mac Roman", _run(mac, leads=(0xC3, 0xE2, 0xF0)), mac, 1),
    )


def _printable() -> set[int]:
    return {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}


def _letter(byte: int, encoding: str) -> str:
    return bytes([byte]).decode(encoding, "ignore")


def _run(table: Mapping[str, int], times: str = "", leads: tuple[int, ...] = ()) -> re.Pattern[str]:
    """A character as its UTF-8 bytes, each byte as the letter that the table gives it."""

    def letters(first: int, last: int) -> str:
        chosen = (
            letter
            for letter, byte in table.items()
            if first <= byte <= last and (not leads or last < 0xC0 or byte in leads)
        )
        return "".join(re.escape(letter) for letter in chosen)

    then = f"[{letters(0x80, 0xBF)}]"
    heads = ((letters(first, last), more) for first, last, more in _LEADS)
    return re.compile("(?:" + "|".join(f"[{head}]{then}{{{more}}}" for head, more in heads if head) + ")" + times)

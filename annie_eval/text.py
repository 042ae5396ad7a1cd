"""Text helpers for detectors and reports: blank text, folded words, decoded entities, printable text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache


def word_set(words: str) -> frozenset[str]:
    """The set of words of a space-separated string."""
    return frozenset(words.split())


# Format characters, fillers and variation selectors, which are neither visible nor audible.
INVISIBLE = (
    "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f"
    "\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff9-\\ufffb\\U000e0000-\\U000e0fff"
)
# Scripts whose vowel signs are combining marks, which `\w` leaves out. The danda (U+0964, U+0965) is punctuation.
WORD = "\\w\\u0300-\\u036f\\u0610-\\u061a\\u064b-\\u065f\\u0900-\\u0963\\u0966-\\u0dff\\u0e31-\\u0e4e\\u1000-\\u109f"
SPACELESS = "\\u0e01-\\u0e5b\\u0e80-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff"
CJK = "\\u3040-\\u30ff\\u31f0-\\u31ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\uff66-\\uff9f"

_UNSEEN = re.compile(f"[{INVISIBLE}\\s\\x00-\\x1f\\x7f-\\x9f]+")
_ACCENT = re.compile("[\\u0300-\\u036f]+")
_APOSTROPHE = re.compile("['’‘ʼ`´]")
_NOT_WORD = re.compile(f"[^{WORD}]+")
_ARTICLES = word_set(
    "the a an der die das den dem des ein eine einen einem einer le la les l un une el los las una il lo gli i"
)
_VEIL = re.compile(
    "&(?:amp;){0,4}(?:lt|gt|#0{0,6}6[02]|#x0{0,6}3[ce])\\b;?|\\\\u003[ce]|\\\\[nrt]"
    f"|[＜＞〈〉／｜＿：\\u2581Ａ-Ｚａ-ｚ]|[{INVISIBLE}]+",
    re.IGNORECASE,
)
_UNVEILED = {"〈": "<", "〉": ">", "\u2581": "_"}


@lru_cache(maxsize=16)  # cached, because several detectors read the same answer
def characters(text: str) -> frozenset[str]:
    """The set of characters of a text. A pattern that needs another character need not be searched."""
    return frozenset(text)


def is_blank(text: str | None) -> bool:
    """Whether there is nothing to see or to speak: None, empty, white space, control or zero-width characters."""
    return not text or _UNSEEN.fullmatch(text) is not None


def fold(text: str) -> str:
    """Remove case, width and accents: `Ｚürich` -> `zurich`. Marks that are letters (か゛, matras) are kept."""
    if text.isascii():
        return text.casefold()
    apart = unicodedata.normalize("NFKD", text.casefold())
    return unicodedata.normalize("NFKC", _ACCENT.sub("", apart))


def words(text: str) -> list[str]:
    """The folded words of a text; apostrophes are removed (`mother's` -> `mothers`), other punctuation separates
    words.
    """
    return [word for word in _NOT_WORD.split(_APOSTROPHE.sub("", fold(text)).replace("_", " ")) if word]


def normalise(text: str) -> str:
    """Folded words without articles, joined by one space: `The  Mother's-Recipe!` -> `mothers recipe`."""
    every = words(text)
    kept = [word for word in every[:-1] if word not in _ARTICLES] + every[-1:]
    return " ".join(kept)


def blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with some spans replaced by spaces; indices stay the same."""
    shown: list[str] = []
    done = 0
    for start, end in sorted(spans):
        if end > done:
            shown += [text[done:start], " " * (end - max(start, done))]
            done = end
    return "".join([*shown, text[done:]])


def unveil(text: str, *, escapes: bool = False) -> tuple[str, list[int] | None]:
    """The text with decoded angle brackets and without invisible characters, so that hidden tags are found.

    Undoes HTML entities for `<` and `>`, full-width letters and brackets, zero-width characters and, with `escapes`,
    JSON's `\\u003c` and `\\n`.

    Returns:
        The new text, and for each of its characters (and its end) the index in `text`; None if nothing changed.
    """
    if not _VEIL.search(text):
        return text, None
    pieces: list[str] = []
    origin: list[int] = []
    done = 0
    for match in _VEIL.finditer(text):
        shown = _shown(match.group(), escapes)
        pieces += [text[done : match.start()], shown]
        origin += range(done, match.start())
        origin += (
            [match.start() + i for i in range(len(shown))] if shown == match.group() else [match.start()] * len(shown)
        )
        done = match.end()
    pieces.append(text[done:])
    origin += range(done, len(text) + 1)
    return "".join(pieces), origin


@lru_cache(maxsize=1024)
def _shown(veiled: str, escapes: bool) -> str:
    if veiled[0] == "\\":
        if not escapes:
            return veiled
        return {"n": "\n", "r": "\r", "t": "\t"}.get(veiled[1].lower()) or ("<" if veiled[-1].lower() == "c" else ">")
    if veiled[0] == "&":
        return "<" if re.search("lt|60|3c", veiled, re.IGNORECASE) else ">"
    if veiled in _UNVEILED:
        return _UNVEILED[veiled]
    return chr(ord(veiled) - 0xFEE0) if "\uff01" <= veiled[0] <= "\uff5e" else ""


def original_span(start: int, end: int, origin: list[int] | None) -> tuple[int, int]:
    """Convert a span of the text of `unveil` to a span of the original text."""
    if origin is None:
        return start, end
    return origin[start], max(origin[start], origin[min(end, len(origin) - 1)])


def printable(text: str) -> str:
    """Text on one line without control characters: unprintable characters become Python escapes.

    This covers control characters (C0, C1), bidirectional overrides, zero-width and separator characters, and lone
    surrogates: a model's answer cannot move the cursor, change colours, or hide a part of itself.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def tool_name(name: str | None) -> str:
    """A tool's name as the model wrote it, on one line; quoted if it is no plain identifier."""
    if name is None or not name.strip():
        return "a nameless tool"
    return name[:80] if _PLAIN_NAME.fullmatch(name) else repr(name[:80])


def shortened(text: str, width: int) -> str:
    """At most `width` characters, with `...` where it was cut."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a plain table: two spaces between columns, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]

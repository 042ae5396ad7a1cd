"""Reads the numbers in a text, in digits and in English words, with all values that each may have.

Digits: thousands separators, decimals with point or comma, signs, percent, money, fractions, clock times, ordinals,
any script's digits. Words: "forty-two", "a hundred and five", "two point five", "three quarters", "one and a half",
"half a dozen", "minus five", "nineteen forty-five", "half past three".

Some texts can mean several numbers, which are all kept as readings: "50%" is 50 and 0.5, "3:30" is 3.5 hours, "1.234"
is a decimal, and outside of English also 1234.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from annie_eval.detectors.english.units import singular, unit_of
from annie_eval.text import WORD, word_set


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    Attributes:
        readings: the values that it may have, the likeliest first.
        start, end: indices into the text.
        unit: what is counted (see `annie_eval.detectors.english.units`); None if nothing is named.
        weak: "one", "first", "a couple of" or "none": counts as a number only if the caller looks for it.
    """

    readings: tuple[float, ...]
    start: int
    end: int
    unit: str | None = None
    weak: bool = False

    def near(self, value: float, tolerance: float = 0.0) -> bool:
        """Return whether a reading equals `value`, within `tolerance` and float rounding."""
        margin = tolerance + 1e-9 * max(1.0, abs(value))
        return any(abs(reading - value) <= margin for reading in self.readings)


def _counted(words: str, start: int, step: int = 1) -> dict[str, int]:
    return {word: start + step * place for place, word in enumerate(words.split())}


_SMALL = _counted(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen",
    0,
)
_TENS = _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
SCALES = {"hundred": 100.0, "dozen": 12.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_ORDINALS = _counted(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth twentieth",
    1,
) | {"thirtieth": 30, "fortieth": 40, "fiftieth": 50, "sixtieth": 60, "hundredth": 100}
_PARTS = {"half": 0.5, "halves": 0.5, "quarter": 0.25, "quarters": 0.25} | {
    word + plural: 1 / number for word, number in _ORDINALS.items() if number > 2 for plural in ("", "s")
}
_GERMAN_SMALL = [
    "-",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
]
_GERMAN = {word: value for value, word in enumerate(_GERMAN_SMALL) if value} | {
    (f"{_GERMAN_SMALL[one]}und" if one else "") + ten: 10 * place + one
    for place, ten in enumerate(
        ["zwanzig", "dreissig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"], 2
    )
    for one in range(10)
}
# In "this one thing" the word is not a number; in "one moon" it is.
_POINTED = word_set("the this that which no any every each some another") | _ORDINALS.keys()
_DECIMALS = {word: number for word, number in _SMALL.items() if number < 10} | {"oh": 0}
_NOTHING = word_set("none nothing nil nought nobody")
_MONEY = word_set("dollar euro pound")
_MONEY_BETWEEN = re.compile(r" (?:dollars?|bucks?|euros?|pounds?|quid) ", re.IGNORECASE)
_CURRENCY = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}

_DIGITS = re.compile(
    r"(?<![\w.,:/])(?P<sign>[-−](?=[\d$€£¥₹.]))?(?P<money>[$€£¥₹])?"
    r"(?:(?P<date>\d{4}-\d\d-\d\d)|(?P<clock>\d{1,2}:\d\d)(?!:?\d)|(?P<over>\d{1,4})[/⁄](?P<under>\d{1,4})(?![\d/])"
    r"|(?P<figure>\d{1,3}(?:[,.'’\u00a0\u202f ]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?|\.\d+))"
    r"(?P<part>[½¼¾⅓⅔])?(?P<ordinal>(?:st|nd|rd|th)\b)?\s?(?P<percent>%)?"
    r"|(?P<alone>[½¼¾⅓⅔])"
)
_WORDS = re.compile(rf"[{WORD}]+")
_BELOW = re.compile(r"(?: degrees?)?(?: celsius| fahrenheit)? below (?:zero|freezing)", re.IGNORECASE)
_SCALE = re.compile(r"[ -]?(hundred|dozen|thousand|million|billion|trillion)s?\b", re.IGNORECASE)
_AND_PART = re.compile(r" (\d)[/⁄](\d)(?!\d)| and a half\b", re.IGNORECASE)
_BEYOND = 300  # digits; larger than any float

_Words = Callable[[int], str]


def numbers(text: str, *, english: bool = True, most: int = 1000) -> list[Number]:
    """Return the numbers in a text, in order: the first `most` of those in digits and of those in words.

    `english` decides what a separator means, see the module.
    """
    found = [*islice(_in_digits(text, english), most), *islice(_in_words(text), most)]
    found.sort(key=lambda number: (number.start, -number.end))
    apart: list[Number] = []
    for number in found:
        if not apart or number.start >= apart[-1].end:
            apart.append(number)
    return _with_cents(apart, text)


def _with_cents(found: list[Number], text: str) -> list[Number]:
    """The numbers with "six euros fifty" as one."""
    joined: list[Number] = []
    for number in found:
        last = joined[-1] if joined else None
        if (
            last
            and last.unit in _MONEY
            and _MONEY_BETWEEN.fullmatch(text, last.end, number.start)
            and number.near(number.readings[0] % 100)
        ):
            joined[-1] = Number(
                tuple(one + number.readings[0] / 100 for one in last.readings), last.start, number.end, last.unit
            )
        else:
            joined.append(number)
    return joined


def _in_digits(text: str, english: bool) -> Iterator[Number]:
    for match in _DIGITS.finditer(text):
        readings = _readings(match, english)
        if not readings:
            continue
        start, end = match.start(), match.end()
        while text[end - 1].isspace():
            end -= 1
        unit = _CURRENCY.get(match.group("money") or "")
        if match.group("percent"):
            readings, unit = (*readings, readings[0] / 100), "percent"
        elif scale := _scale_after(text, end):
            factor, end = scale
            readings = tuple(reading * factor for reading in readings)
        elif match.group("figure") and (more := _AND_PART.match(text, end)):
            extra = int(more[1]) / int(more[2]) if more[1] and int(more[2]) else 0.5
            readings, end = tuple(reading + extra for reading in readings), more.end()
        unit = unit or ("ordinal" if match.group("ordinal") else unit_of(text, start, end))
        below = _below_zero(text, end)
        if match.group("sign") or below or _negative_word(text, start):
            readings, end = tuple(-reading for reading in readings), below or end
        if unit == "percent" and len(readings) == 1:
            readings = (*readings, readings[0] / 100)
        yield Number(readings, start, end, unit)


def _readings(match: re.Match[str], english: bool) -> tuple[float, ...]:
    if match.group("alone"):
        return (unicodedata.numeric(match.group("alone")),)
    if date := match.group("date"):
        return (float(date[:4]),)
    if clock := match.group("clock"):
        hour, minute = map(int, clock.split(":"))
        return (hour + minute / 60,)
    if match.group("over"):
        under = int(match.group("under"))
        return (int(match.group("over")) / under,) if under else ()
    figure = re.sub("['’\u00a0\u202f ]", "", match.group("figure"))
    if len(figure) > _BEYOND:
        return ()
    extra = unicodedata.numeric(match.group("part")) if match.group("part") else 0.0
    return tuple(value + extra for value in _figure(figure, english))


def _figure(figure: str, english: bool) -> tuple[float, ...]:
    """Readings of digits with separators: which of `.` and `,` is the decimal one?"""
    points, commas = figure.count("."), figure.count(",")
    if points and commas:
        decimal = max(".,", key=figure.rfind)
        other = "," if decimal == "." else "."
        return (float(figure.replace(other, "").replace(decimal, ".")),)
    if points + commas == 0:
        return (float(figure),)
    separator = "." if points else ","
    whole = float(figure.replace(separator, ""))
    if points + commas > 1:
        return (whole,)
    part = float(figure.replace(separator, "."))
    if len(figure) - figure.index(separator) != 4 or figure[0] in "0.":
        return (part,)
    if english:
        return (part,) if points else (whole,)
    return (part, whole) if points else (whole, part)


def _scale_after(text: str, end: int) -> tuple[float, int] | None:
    match = _SCALE.match(text, end)
    return (SCALES[match[1].lower()], match.end()) if match else None


def _negative_word(text: str, start: int) -> bool:
    """Whether "minus" stands before a number as its sign, not as an operation on another number."""
    match = re.search(rf"([{WORD}.,%]+)?\s*\b(?:minus|negative)\s$", text[max(0, start - 40) : start], re.IGNORECASE)
    if match is None:
        return False
    before = (match[1] or "").casefold().strip(".,")
    return not (before[:1].isdigit() or before in _SMALL or before in _TENS or before in SCALES)


def _below_zero(text: str, end: int) -> int | None:
    """Where "degrees below zero" behind a number ends; None if it does not stand there."""
    match = _BELOW.match(text, end)
    return match.end() if match else None


def _german(word: str) -> float | None:
    """The value of a German number in one word: "sechzehn", "zweihundertzehn". None for "ein"."""
    rest, value = word, 0
    for scale, name in ((1000, "tausend"), (100, "hundert")):
        head, found, tail = rest.partition(name)
        if found and head and head not in _GERMAN:
            return None
        if found:
            value, rest = value + scale * _GERMAN.get(head, 1), tail.removeprefix("und")
    below = 1 if rest == "eins" else _GERMAN.get(rest, 0)
    return float(value + below) if (below or not rest) and rest != "ein" else None


def _worth(word: str) -> float | None:
    return _SMALL.get(word, _TENS.get(word, SCALES.get(word)))


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    start: int
    end: int


def _in_words(text: str) -> Iterator[Number]:
    tokens = [_Token(match.group().casefold(), *match.span()) for match in _WORDS.finditer(text)]
    at = 0
    while at < len(tokens):
        read = _read(tokens, at, text)
        if read is None:
            at += 1
            continue
        readings, after, weak = read
        first, start, end = tokens[at].word, tokens[at].start, tokens[after - 1].end
        # The unit stands within "an hour and a half".
        unit = singular(tokens[at + 1].word) if first in ("a", "an") and after == at + 5 else unit_of(text, start, end)
        below = _below_zero(text, end)
        if below or _negative_word(text, start):
            readings, end = tuple(-reading for reading in readings), below or end
        if unit == "percent":
            readings = (*readings, readings[0] / 100)
        counts = first == "one" and unit not in (None, "thing") and tokens[max(0, at - 1)].word not in _POINTED
        yield Number(readings, start, end, unit, weak and not counts)
        at = after


def _read(tokens: Sequence[_Token], at: int, text: str) -> tuple[tuple[float, ...], int, bool] | None:
    """The number that begins at a token: its readings, the token behind it, and whether it is weak."""

    def word(place: int) -> str:
        """The word at a place that follows its forerunner directly; "" where a comma or a full stop parts them."""
        if place >= len(tokens):
            return ""
        gap = text[tokens[place - 1].end : tokens[place].start] if place > at else ""
        return tokens[place].word if place == at or gap.strip() in ("", "-") else ""

    first = word(at)
    if clock := _clock(word, at):
        return clock
    if first in _NOTHING:
        return (0.0,), at + 1, True
    if first == "half":  # half a dozen, half an hour
        article = word(at + 1) in ("a", "an")
        scale = SCALES.get(word(at + 2), 1.0) if article else 1.0
        return (0.5 * scale,), at + 1 + article + (scale > 1), False
    if first in ("a", "an"):
        if [word(at + 2), word(at + 3), word(at + 4)] == ["and", "a", "half"]:  # an hour and a half
            return (1.5,), at + 5, False
        if word(at + 1) == "couple" and word(at + 2) == "of":
            return (2.0,), at + 3, True
        if word(at + 1) in SCALES:
            return _with_rest(word, at + 1)
        if word(at + 1) in _PARTS and word(at + 1) not in _ORDINALS:
            return (_PARTS[word(at + 1)],), at + 2, False
        return ((1 / 3,), at + 2, False) if word(at + 1) == "third" else None
    if first in _ORDINALS:
        return (float(_ORDINALS[first]),), at + 1, True
    if _worth(first) is not None:
        return _with_rest(word, at)
    german = _german(first)
    return None if german is None else ((german,), at + 1, first in ("eins", "elf"))  # "an elf" is no eleven


def _clock(word: _Words, at: int) -> tuple[tuple[float, ...], int, bool] | None:
    """ "half past three", "ten to nine", "a quarter past five": hours."""
    skip = 1 if word(at) == "a" else 0
    minutes: float | None = {"half": 30.0, "quarter": 15.0}.get(word(at + skip))
    length = skip + 1
    if minutes is None and not skip:
        minutes, length = _below_hundred(word, at)
        if minutes is not None and word(at + length) == "minutes":
            length += 1
    turn, hour = word(at + length), word(at + length + 1)
    if minutes is None or turn not in ("past", "to") or not 0 < _SMALL.get(hour, 0) <= 12:
        return None
    hours = _SMALL[hour] + (minutes if turn == "past" else -minutes) / 60
    return (hours, hours + 12), at + length + 2, False


def _below_hundred(word: _Words, at: int) -> tuple[float | None, int]:
    """The number below a hundred at a token, and how many tokens it takes."""
    first = word(at)
    if first in _SMALL:
        return float(_SMALL[first]), 1
    if first in _TENS:
        second = word(at + 1)
        if 0 < _SMALL.get(second, 0) < 10:
            return float(_TENS[first] + _SMALL[second]), 2
        if 0 < _ORDINALS.get(second, 0) < 10:
            return float(_TENS[first] + _ORDINALS[second]), 2
        return float(_TENS[first]), 1
    return None, 0


def _with_rest(word: _Words, at: int) -> tuple[tuple[float, ...], int, bool]:
    """A cardinal in words: groups below a hundred, scales, "and", "point", parts; or two groups as a year or time."""
    total = group = 0.0
    place, seen, last_scale = at, False, float("inf")
    year: float | None = None
    while True:
        skip = 1 if seen and last_scale < float("inf") and word(place) == "and" else 0
        value, length = _below_hundred(word, place + skip)
        scale = SCALES.get(word(place), 0.0)
        if value is not None and not group % 100:
            group += value
            place, seen = place + skip + length, True
        elif scale == 100 or scale == 12:
            group = (group or 1) * scale
            place, seen, last_scale = place + 1, True, scale
        elif scale:
            total, group = total + (group or 1) * scale, 0.0
            place, seen, last_scale = place + 1, True, scale
        elif year is None and last_scale == float("inf") and 0 < group < 100 and (pair := _second_half(word, place)):
            year, place = pair[0], place + pair[1]
            break
        else:
            break
    value_ = total + group
    if year is not None:
        return (group * 100 + year, group + year / 60), place, False
    if word(place) == "point" and word(place + 1) in _DECIMALS:
        digits = ""
        while (decimal := _DECIMALS.get(word(place + 1))) is not None:
            digits += str(decimal)
            place += 1
        value_, place = float(f"{value_:.0f}.{digits or 0}"), place + 1
        if word(place) in SCALES:
            return (value_ * SCALES[word(place)],), place + 1, False
        return (value_,), place, False
    if word(place) == "and" and word(place + 1) in ("a", "an", "one", "three"):
        part = _PARTS.get(word(place + 2), 0.0)
        if part and word(place + 2) not in ("second", "seconds"):
            return (value_ + part * (3 if word(place + 1) == "three" else 1),), place + 3, False
    if place == at + 1 and word(place) in _PARTS and word(place) not in ("second", "seconds"):
        return (value_ * _PARTS[word(place)],), place + 1, False
    return (value_,), place, place == at + 1 and word(at) == "one"


def _second_half(word: _Words, place: int) -> tuple[float, int] | None:
    """The second half of "nineteen forty-five" or "six oh five"."""
    if word(place) == "oh":
        value, length = _below_hundred(word, place + 1)
        return (value, length + 1) if value is not None and value < 10 else None
    value, length = _below_hundred(word, place)
    return (value, length) if value is not None and value >= 10 else None

"""Finds the unit of a number in a text: the noun after it, a currency, percent, or the part of a date."""

from __future__ import annotations

import re

from annie_eval.text import WORD, fold, word_set

# Words after a number that are not its unit.
_NO_UNIT = word_set(
    "and or but in is are was were be been plus minus times divided multiplied by of to for at on as with so then than"
    " that which who it you i we they he she the a an from until since because if when where there this these those"
    " your my our his her its their total altogether left more less each per not no too also exactly please now again"
    " point after before under over without within among during am pm o would could can will should may might must"
    " has have had do does did gives makes equals leaves apiece back remainder"
    " remains just only about roughly though however while und oder aber ist sind et ou est y es e è"
)
_SAME_UNIT = {"quid": "pound", "buck": "dollar", "metre": "meter", "foot": "feet", "people": "person", "°": "degree"}
_MONTHS = word_set(
    "january february march april may june july august september october november december januar februar märz april"
    " mai juni juli august oktober dezember janvier février mars avril juin juillet août septembre octobre novembre"
    " décembre enero febrero marzo abril mayo junio julio agosto septiembre noviembre diciembre gennaio febbraio"
    " aprile maggio giugno luglio settembre ottobre dicembre"
)
_BEHIND = re.compile(rf"[ \u00a0-]?(%|°|[{WORD}]+)")
_DEGREES = re.compile(r" ?(c|f|celsius|fahrenheit)\b", re.IGNORECASE)
_AHEAD = re.compile(rf"([{WORD}]+)(?: the)?,? \Z")
_YEAR_AHEAD = word_set("in since of from by until before after around year im seit en depuis desde dal nel")


def unit_of(text: str, start: int, end: int) -> str | None:
    """The unit of the number at a span, singular and case-folded: `mile`, `percent`, `degree c`, `date`, `year`.

    None if the next word is not a unit.
    """
    ahead = _AHEAD.search(text, max(0, start - 24), start)
    before = ahead[1].casefold() if ahead else ""
    if before in _MONTHS:
        return "date"
    if re.fullmatch(r"1\d\d\d|20\d\d", text[start:end]) and before in _YEAR_AHEAD:
        return "year"
    behind = _BEHIND.match(text, end)
    if behind is None:
        return None
    word = behind[1].casefold()
    if word in ("%", "percent", "prozent", "pourcent"):
        return "percent"
    if word in _MONTHS:
        return "date"
    if word in _NO_UNIT or not (word[0].isalpha() or word == "°"):
        return None
    unit = singular(word)
    if unit == "degree" and (scale := _DEGREES.match(text, behind.end())):
        unit = f"degree {scale[1][0].lower()}"
    return unit


_DAY, _YEAR = 86_400.0, 31_557_600.0
# Units of one kind, and how large each is beside the others.
_KINDS: tuple[dict[str, float], ...] = (
    {"second": 1, "minute": 60, "hour": 3600, "day": _DAY, "week": 7 * _DAY, "month": _YEAR / 12, "year": _YEAR}
    | {"decade": 10 * _YEAR, "century": 100 * _YEAR, "centurie": 100 * _YEAR},
    {"millimeter": 0.001, "centimeter": 0.01, "meter": 1, "kilometer": 1000}
    | {"inch": 0.0254, "inche": 0.0254, "feet": 0.3048, "yard": 0.9144, "mile": 1609.344},
    {"gram": 1, "kilogram": 1000, "kilo": 1000, "tonne": 1e6, "ounce": 28.35, "pound": 453.6, "stone": 6350.3},
    {"p": 1, "penny": 1, "pence": 1, "cent": 1, "pound": 100, "dollar": 100, "euro": 100},
    {"milliliter": 0.001, "liter": 1, "pint": 0.568, "gallon": 4.546, "cup": 0.25},
)


def rate(unit: str | None, asked: set[str]) -> float | None:
    """Return how many of the unit that was asked for one of its kind is: an hour is 60, where minutes are asked."""
    if unit is None or unit in asked:
        return None
    kinds = (kind for kind in _KINDS if unit in kind)
    return next((kind[unit] / kind[other] for kind in kinds for other in kind.keys() & asked), None)


def singular(word: str) -> str:
    """Return an English noun without its plural s, case-folded; all spellings of a unit become one."""
    word = fold(word)
    single = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
    single = single.removesuffix("metre") + "meter" if single.endswith("metre") else single
    return _SAME_UNIT.get(single, _SAME_UNIT.get(word, single))

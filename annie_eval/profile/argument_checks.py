"""Checks of a tool call's arguments: validates checks in scenarios, and applies them to values.

A check is a JSON value. A value other than an object must be equal, by JSON's equality (1 equals 1.0, true does not
equal 1). An object has exactly one of these keys:

    equals        any JSON value, which must be equal; needed for objects
    any_of        list of checks; one must pass
    normalized    text; must be equal, ignoring case, accents, punctuation, white space and articles
    contains      text or list of texts; the value must contain each, normalised in the same way
    contains_any  list of texts; the value must contain one, normalised in the same way
    regex         regular expression that must match a part of the value (`annie_eval.profile.patterns`)
    number        number that must be met within `tolerance` (a second key, default 0); "5" counts as a number
    set           list; the value must have the same elements in any order, texts normalised
    fields object of checks by name; the value must be an object whose named members pass; others are not checked
    predicate nonempty, iso_date, iso_datetime, time_24h, positive_integer, url, e164_phone or email absent true: the
    argument must not be given

This module is fast to import, because the profile loader uses it at start-up.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from annie_eval.profile import patterns
from annie_eval.text import is_blank, normalise


class Missing:
    """The value of an argument that is missing in the call."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()

# Longer values are not plausible as arguments of a voice assistant's tools.
_REGEX_REACH = 500
# An unlikely text: a pattern that matches it matches any text.
_UNLIKELY = "\u2603 zq"


def validate_check(check: Any) -> str | None:
    """What is wrong with a check, and the fix, as the end of a message after the field's name; None if it is valid."""
    if not isinstance(check, Mapping):
        return _not_json(check)
    operators = [key for key in check if key in _OPERATORS]
    unknown = [str(key) for key in check if key not in _OPERATORS and key != "tolerance"]
    if unknown or not operators:
        named = f'has the unknown check "{unknown[0]}"' if unknown else "is an object without a check"
        return f"{named}; use one of {', '.join(_OPERATORS)} (a wanted object is written as equals)"
    if len(operators) > 1:
        return f"has more than one check ({', '.join(operators)}); keep one, or put them into any_of"
    if "tolerance" in check and operators != ["number"]:
        return "has a tolerance without a number; remove it"
    return _OPERATORS[operators[0]][0](check[operators[0]], check)


def check_value(check: Any, value: Any) -> str | None:
    """Why a value fails a check, as the rest of a message after the argument's name; None if it passes.

    Args:
        check: a check that is valid by `validate_check`.
        value: the argument as parsed from JSON, or `MISSING`.

    Raises:
        ValueError: the check is invalid.
    """
    if not isinstance(check, Mapping):
        check = {"equals": check}
    elif problem := validate_check(check):
        raise ValueError(f"the check {problem}")
    operator = next(key for key in check if key != "tolerance")
    if value is MISSING and operator not in ("absent", "any_of"):
        return f"is missing, wanted {describe(check)}"
    return _OPERATORS[operator][1](check[operator], value, check)


def describe(check: Any) -> str:
    """A check in a few words: `"Paris"`, `contains ["mother", "recipe"]`."""
    if not isinstance(check, Mapping):
        return show(check)
    operator = next((key for key in check if key != "tolerance"), "")
    if operator in ("equals", "normalized"):
        return show(check[operator])
    return f"{operator} {show(check[operator])}" if operator else show(check)


def show(value: Any) -> str:
    """A value as JSON, cut after 60 characters."""
    try:
        text = repr(value) if isinstance(value, Missing) else json.dumps(value, ensure_ascii=False, default=repr)
        text.encode()
    except (ValueError, RecursionError):  # an unpaired surrogate, or too deeply nested to print
        text = ascii(value) if isinstance(value, str) else f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= 60 else f"{text[:59]}…"


def json_equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: 1 equals 1.0, true does not equal 1, the order of members does not matter."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(json_equal(left[key], right[key]) for key in left)
    if _is_list(left) and _is_list(right):
        return len(left) == len(right) and all(map(json_equal, left, right))
    alike = type(left) is type(right) or (_is_number(left) and _is_number(right))
    return alike and bool(left == right)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _not_json(value: Any) -> str | None:
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return None
    if _is_list(value):
        return next(filter(None, map(_not_json, value)), None)
    if isinstance(value, Mapping):
        return next(filter(None, map(_not_json, value.values())), None)
    return f"is {value!r}, which no JSON value equals; write a JSON value"


# Validation: one function for each kind of operand.


def _sound_any(operand: Any, check: Mapping[str, Any]) -> str | None:
    return _not_json(operand)


def _sound_checks(operand: Any, check: Mapping[str, Any]) -> str | None:
    if not _is_list(operand) or not operand:
        return "has any_of without a list of checks; write at least one"
    return next(filter(None, map(validate_check, operand)), None)


def _sound_text(operand: Any, check: Mapping[str, Any]) -> str | None:
    if isinstance(operand, str) and normalise(operand):
        return None
    return f"has normalized {show(operand)}, which has no word to compare; write a text"


def _sound_contains(operand: Any, check: Mapping[str, Any]) -> str | None:
    return _sound_texts([operand] if isinstance(operand, str) else operand, {"contains": operand})


def _sound_texts(operand: Any, check: Mapping[str, Any]) -> str | None:
    name = next(iter(check))
    if not _is_list(operand) or not operand or not all(isinstance(text, str) and normalise(text) for text in operand):
        return f"has {name} {show(operand)}; write a list of texts that hold words"
    return None


def _sound_regex(operand: Any, check: Mapping[str, Any]) -> str | None:
    if not isinstance(operand, str):
        return f"has regex {show(operand)}; write a text"
    if problem := patterns.problem(operand):
        return f"has regex {show(operand)}, which does not compile: it {problem}"
    if patterns.found_in(operand, "") and patterns.found_in(operand, _UNLIKELY):
        return f"has regex {show(operand)}, which is found in any text; write one that can miss"
    return None


def _sound_number(operand: Any, check: Mapping[str, Any]) -> str | None:
    tolerance = check.get("tolerance", 0)
    if not _is_number(operand) or not math.isfinite(operand):
        return f"has number {show(operand)}; write a number"
    if not _is_number(tolerance) or not 0 <= tolerance < math.inf:
        return f"has tolerance {show(tolerance)}; write a number of at least 0"
    return None


def _sound_set(operand: Any, check: Mapping[str, Any]) -> str | None:
    return _not_json(operand) if _is_list(operand) else f"has set {show(operand)}; write a list"


def _sound_fields(operand: Any, check: Mapping[str, Any]) -> str | None:
    if not isinstance(operand, Mapping) or not operand:
        return "has fields without an object of checks; name at least one member"
    for name, inner in operand.items():
        if problem := validate_check(inner):
            return f"fields.{name} {problem}"
    return None


def _sound_predicate(operand: Any, check: Mapping[str, Any]) -> str | None:
    if isinstance(operand, str) and operand in _PREDICATES:
        return None
    return f"has the unknown predicate {show(operand)}; use one of {', '.join(_PREDICATES)}"


def _sound_absent(operand: Any, check: Mapping[str, Any]) -> str | None:
    return None if operand is True else "has absent other than true; leave the argument out of the checks instead"


# Application: one function for each operator: (operand, value, check) -> reason or None.


def _equals(operand: Any, value: Any, check: Mapping[str, Any]) -> str | None:
    return None if json_equal(operand, value) else f"is {show(value)}, wanted {show(operand)}"


def _any_of(operand: Any, value: Any, check: Mapping[str, Any]) -> str | None:
    if any(check_value(choice, value) is None for choice in operand):
        return None
    found = "is missing" if value is MISSING else f"is {show(value)}"
    return f"{found}, wanted one of {', '.join(map(describe, operand))}"


def _forms(text: str) -> tuple[str, str]:
    """A text normalised in two ways, with hyphens as spaces and removed: `e-mail` is `e mail` and `email`."""
    return normalise(text), normalise(re.sub(r"[-‐‑–/]", "", text))


def _scalar_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return show(value) if _is_number(value) else None


def _normalized(operand: str, value: Any, check: Mapping[str, Any]) -> str | None:
    text = _scalar_text(value)
    if text is not None and normalise(text).replace(" ", "") == normalise(operand).replace(" ", ""):
        return None
    return f"is {show(value)}, wanted {show(operand)}"


def _holds(text: str, part: str) -> bool:
    return any(wanted in held for wanted in _forms(part) for held in _forms(text))


def _contains(operand: Any, value: Any, check: Mapping[str, Any]) -> str | None:
    text = _scalar_text(value)
    for part in [operand] if isinstance(operand, str) else operand:
        if text is None or not _holds(text, part):
            return f"is {show(value)}, wanted it to contain {show(part)}"
    return None


def _contains_any(operand: Any, value: Any, check: Mapping[str, Any]) -> str | None:
    text = _scalar_text(value)
    if text is not None and any(_holds(text, part) for part in operand):
        return None
    return f"is {show(value)}, wanted it to contain one of {show(operand)}"


def _regex(operand: str, value: Any, check: Mapping[str, Any]) -> str | None:
    text = _scalar_text(value)
    if text is not None and len(text) <= _REGEX_REACH and patterns.found_in(operand, text):
        return None
    return f"is {show(value)}, wanted a match of {show(operand)}"


def _number(operand: float, value: Any, check: Mapping[str, Any]) -> str | None:
    tolerance = check.get("tolerance", 0)
    try:
        number = float(value) if isinstance(value, str) or _is_number(value) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    # The last term only allows for rounding errors such as that of 0.1 + 0.2.
    if abs(number - operand) <= tolerance + 1e-9 * max(1.0, abs(operand)):
        return None
    return f"is {show(value)}, wanted {show(operand)}" + (f" ± {show(tolerance)}" if tolerance else "")


def _element(value: Any) -> str:
    if isinstance(value, str):
        return f'"{normalise(value).replace(" ", "")}"'
    if _is_number(value) and math.isfinite(value) and value == int(value):
        value = int(value)
    return json.dumps(value, sort_keys=True, default=repr)


def _set(operand: Any, value: Any, check: Mapping[str, Any]) -> str | None:
    try:
        same = _is_list(value) and Counter(map(_element, value)) == Counter(map(_element, operand))
    except (ValueError, RecursionError):
        same = False
    return None if same else f"is {show(value)}, wanted {show(operand)} in any order"


def _fields(operand: Mapping[str, Any], value: Any, check: Mapping[str, Any]) -> str | None:
    if not isinstance(value, Mapping):
        return f"is {show(value)}, wanted an object"
    for name, inner in operand.items():
        if reason := check_value(inner, value.get(name, MISSING)):
            return f"has {name}, which {reason}"
    return None


def _predicate(operand: str, value: Any, check: Mapping[str, Any]) -> str | None:
    return None if _PREDICATES[operand](value) else f"is {show(value)}, wanted {operand}"


def _absent(operand: bool, value: Any, check: Mapping[str, Any]) -> str | None:
    return None if value is MISSING else f"is {show(value)}, wanted it left out"


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _nonempty(value: Any) -> bool:
    return not is_blank(value) if isinstance(value, str) else value not in (None, [], {})


def _iso_date(value: Any) -> bool:
    return _matches(r"\d{4}-\d\d-\d\d")(value) and _parses(date.fromisoformat, value)


def _iso_datetime(value: Any) -> bool:
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?"
    return _matches(form)(value) and _parses(datetime.fromisoformat, value)


def _parses(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _positive_integer(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"0*[1-9]\d*", value, re.ASCII) is not None
    return _is_number(value) and value > 0 and value == value // 1


_PREDICATES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "nonempty": _nonempty,
    "iso_date": _iso_date,
    "iso_datetime": _iso_datetime,
    "time_24h": _matches(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?"),
    "positive_integer": _positive_integer,
    "url": _matches(r"https?://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(:\d+)?([/?#]\S*)?"),
    "e164_phone": _matches(r"\+[1-9]\d{6,14}"),
    "email": _matches(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
}

_Sound = Callable[[Any, Mapping[str, Any]], str | None]
_Judge = Callable[[Any, Any, Mapping[str, Any]], str | None]
_OPERATORS: Final[Mapping[str, tuple[_Sound, _Judge]]] = {
    "equals": (_sound_any, _equals),
    "any_of": (_sound_checks, _any_of),
    "normalized": (_sound_text, _normalized),
    "contains": (_sound_contains, _contains),
    "contains_any": (_sound_texts, _contains_any),
    "regex": (_sound_regex, _regex),
    "number": (_sound_number, _number),
    "set": (_sound_set, _set),
    "fields": (_sound_fields, _fields),
    "predicate": (_sound_predicate, _predicate),
    "absent": (_sound_absent, _absent),
}

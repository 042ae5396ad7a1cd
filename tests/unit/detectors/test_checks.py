"""The checks that a scenario may put on an argument of a call."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.tool_calls import validate_check
from annie_eval.profile.argument_checks import MISSING, check_value, json_equal
from tests.support.growth import LINEAR, growth

PASSING = [
    ("Paris", "Paris"),
    (1, 1.0),
    (1.5, 1.5),
    (True, True),
    (None, None),
    ([1, "a"], [1.0, "a"]),
    ({"equals": {"a": [1]}}, {"a": [1]}),
    ({"any_of": ["Paris", {"contains": "Lyon"}]}, "in Lyon"),
    ({"any_of": ["celsius", {"absent": True}]}, MISSING),
    ({"normalized": "Mother's recipe"}, "the  mothers RECIPE!"),
    ({"normalized": "São Paulo"}, "sao paulo"),
    ({"normalized": "e-mail"}, "Email"),
    ({"normalized": "ein Geschenk"}, "Geschenk"),
    ({"normalized": "42"}, 42),
    ({"contains": "recipe"}, "my mother's Recipes"),
    ({"contains": ["mother", "recipe"]}, "recipe of my mother"),
    ({"contains": "birth-day"}, "birthday of Ann"),
    ({"contains": "東京"}, "東京の天気"),
    ({"contains_any": ["gift", "present"]}, "a birthday present"),
    ({"regex": r"^\d{2}:\d{2}$"}, "07:30"),
    ({"regex": "(?i)paris"}, "in PARIS"),
    ({"number": 5}, 5),
    ({"number": 5}, "5.0"),
    ({"number": 5, "tolerance": 0.5}, 5.5),
    ({"number": 0.3}, 0.1 + 0.2),
    ({"set": ["milk", "Brown eggs"]}, ["brown  eggs", "Milk"]),
    ({"set": [1, {"a": 1}]}, [{"a": 1}, 1.0]),
    ({"fields": {"date": {"predicate": "iso_date"}}}, {"date": "2026-11-23", "time": "x"}),
    ({"fields": {"time": {"absent": True}}}, {}),
    ({"absent": True}, MISSING),
    ({"predicate": "nonempty"}, "x"),
    ({"predicate": "nonempty"}, 0),
    ({"predicate": "iso_date"}, "2024-02-29"),
    ({"predicate": "iso_datetime"}, "2026-11-23T07:30"),
    ({"predicate": "iso_datetime"}, "2026-11-23T07:30:00.5Z"),
    ({"predicate": "iso_datetime"}, "2026-11-23T07:30:00+01:00"),
    ({"predicate": "time_24h"}, "23:59"),
    ({"predicate": "positive_integer"}, 3),
    ({"predicate": "positive_integer"}, "3"),
    ({"predicate": "url"}, "https://example.org/a?b=c"),
    ({"predicate": "e164_phone"}, "+4930123456"),
    ({"predicate": "email"}, "ann.lee@mail.example.org"),
]
FAILING = [
    ("Paris", "paris"),
    ("Paris", MISSING),
    (1, True),
    (True, 1),
    (0, False),
    (1, "1"),
    (None, MISSING),
    ([1, 2], [2, 1]),
    ([1], [1, 1]),
    ({"equals": {"a": 1}}, {"a": 1, "b": 2}),
    ({"any_of": ["Paris", "Lyon"]}, "Nice"),
    ({"any_of": ["Paris", "Lyon"]}, MISSING),
    ({"normalized": "mother"}, "father"),
    ({"normalized": "mother"}, ["mother"]),
    ({"contains": ["mother", "recipe"]}, "recipe of my father"),
    ({"contains": "recipe"}, 7),
    ({"contains_any": ["gift", "present"]}, "a cake"),
    ({"regex": r"^\d{2}:\d{2}$"}, "7:30"),
    ({"regex": "x"}, "y" * 1_000 + "x"),
    ({"number": 5}, 5.1),
    ({"number": 1}, True),
    ({"number": 5}, "five"),
    ({"number": 5}, "nan"),
    ({"set": ["milk", "eggs"]}, ["milk"]),
    ({"set": ["milk"]}, ["milk", "milk"]),
    ({"set": ["milk"]}, "milk"),
    ({"fields": {"date": "x"}}, {"date": "y"}),
    ({"fields": {"date": "x"}}, "x"),
    ({"absent": True}, None),
    ({"predicate": "nonempty"}, " \u200b"),
    ({"predicate": "nonempty"}, []),
    ({"predicate": "iso_date"}, "2025-02-29"),
    ({"predicate": "iso_date"}, "23.11.2026"),
    ({"predicate": "iso_date"}, "20261123"),
    ({"predicate": "iso_datetime"}, "2026-11-23"),
    ({"predicate": "iso_datetime"}, "2026-11-23T25:00"),
    ({"predicate": "time_24h"}, "24:00"),
    ({"predicate": "time_24h"}, "7:30"),
    ({"predicate": "positive_integer"}, 0),
    ({"predicate": "positive_integer"}, 2.5),
    ({"predicate": "positive_integer"}, True),
    ({"predicate": "url"}, "example.org"),
    ({"predicate": "e164_phone"}, "030 123456"),
    ({"predicate": "email"}, "ann@example"),
]
UNSOUND = [
    ({}, "without a check"),
    ({"city": "Paris"}, 'unknown check "city"'),
    ({"contain": "x"}, 'unknown check "contain"'),
    ({"contains": "x", "regex": "y"}, "more than one check"),
    ({"contains": "x", "tolerance": 1}, "tolerance without a number"),
    ({"tolerance": 1}, "without a check"),
    ({"any_of": []}, "any_of without a list"),
    ({"any_of": "x"}, "any_of without a list"),
    ({"any_of": [{"nope": 1}]}, 'unknown check "nope"'),
    ({"normalized": "..."}, "no word"),
    ({"normalized": 3}, "no word"),
    ({"contains": []}, "contains"),
    ({"contains": "!"}, "contains"),
    ({"contains_any": "x"}, "contains_any"),
    ({"regex": "("}, "does not compile"),
    ({"regex": 3}, "write a text"),
    ({"regex": r"(a)\1"}, "RE2 does not support (invalid escape sequence"),
    ({"regex": "(?=a)b"}, "RE2 does not support (invalid perl operator"),
    ({"regex": "(a|a)*"}, "is found in any text"),
    ({"regex": ".*"}, "is found in any text"),
    ({"number": "5"}, "write a number"),
    ({"number": True}, "write a number"),
    ({"number": 5, "tolerance": -1}, "at least 0"),
    ({"set": "x"}, "write a list"),
    ({"fields": {}}, "fields without"),
    ({"fields": {"a": {"nope": 1}}}, "fields.a has the unknown check"),
    ({"predicate": "iso"}, "unknown predicate"),
    ({"predicate": []}, "unknown predicate"),
    ({"absent": False}, "absent other than true"),
    (float("nan"), "no JSON value"),
    (object(), "no JSON value"),
]


@pytest.mark.parametrize(("check", "value"), PASSING)
def test_a_value_that_meets_its_check_passes(check: Any, value: Any) -> None:
    assert validate_check(check) is None
    assert check_value(check, value) is None


@pytest.mark.parametrize(("check", "value"), FAILING)
def test_a_value_that_does_not_is_told_why(check: Any, value: Any) -> None:
    assert validate_check(check) is None
    reason = check_value(check, value)
    assert reason is not None
    assert reason.startswith(("is ", "has "))
    assert "\n" not in reason


@pytest.mark.parametrize(("check", "problem"), UNSOUND)
def test_an_unsound_check_is_refused_with_the_mend(check: Any, problem: str) -> None:
    message = validate_check(check)
    assert message is not None
    assert problem in message


def test_judging_by_an_unsound_check_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown check"):
        check_value({"contain": "x"}, "x")


@pytest.mark.parametrize(
    "pattern", [r"\(a+\)+", r"[(a+)]+", "(abc)+", "(a|b)", r"(\d+)-(\d+)", r"\p{L}{3}", r"\u00e9t\u00e9", "^$"]
)
def test_a_harmless_pattern_is_sound(pattern: str) -> None:
    assert validate_check({"regex": pattern}) is None


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "((a*)c)*b", "(a|a)*b", "a*" * 30 + "b", "(.*)(.*)(.*)(.*)(.*)x", "(a?){30}a{30}$"]
)
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    """Each of these takes Python's `re` from minutes to the end of the world."""
    assert validate_check({"regex": pattern}) is None
    began = time.perf_counter()
    check_value({"regex": pattern}, "a" * 498 + "!")
    assert time.perf_counter() - began < 1.0


def test_a_pattern_knows_ecmas_escapes_and_any_text() -> None:
    assert check_value({"regex": r"^\u00e9t\u00e9$"}, "été") is None
    assert check_value({"regex": "^d"}, "d\ud800") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_every_json_value_equals_itself_and_is_a_sound_wish(value: Any) -> None:
    assert json_equal(value, value)
    if value not in (float("inf"), float("-inf")) and "Infinity" not in repr(value) and "inf" not in repr(value):
        assert validate_check({"equals": value}) is None
        assert check_value({"equals": value}, value) is None


@given(st.sampled_from([check for check, _ in PASSING + FAILING]), JSON)
def test_no_value_raises(check: Any, value: Any) -> None:
    check_value(check, value)


@given(JSON | st.dictionaries(st.sampled_from(["contains", "regex", "number", "any_of", "set", "fields", "x"]), JSON))
def test_a_check_is_either_refused_or_usable(check: Any) -> None:
    if validate_check(check) is None:
        check_value(check, "some text")


def test_a_sound_pattern_ends_soon_on_a_long_value() -> None:
    check = {"regex": r"\w+\s*\w+$"}
    assert growth(lambda size: lambda: check_value(check, "a" * size + "!"), 300) < LINEAR


def test_the_checks_are_cheap_to_import() -> None:
    seen = (
        "import sys, annie_eval.detectors.tool_calls; print('jsonschema' in sys.modules, 'markdown_it' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]

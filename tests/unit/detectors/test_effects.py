"""Every rule of the detectors has a measured effect, and the page's tables are those of the stored figures."""

from __future__ import annotations

import re

import pytest

from benchmarks import detector_effects
from benchmarks.detector_sets import page, rules


def test_every_rule_has_a_row_and_every_row_a_rule() -> None:
    """After a change: python -m benchmarks.detector_effects ... --write."""
    in_code, stored = set(rules.every()), set(detector_effects.read())
    assert in_code - stored == set()
    assert stored - in_code == set()


def test_every_rule_takes_part_somewhere() -> None:
    assert [rule for rule, sets in detector_effects.read().items() if not any(n for n, _ in sets.values())] == []


def test_no_rule_decides_in_more_texts_than_it_takes_part_in() -> None:
    for rule, sets in detector_effects.read().items():
        assert all(0 <= decided <= taken for taken, decided in sets.values()), rule


def test_the_tables_of_the_page_are_those_of_the_figures() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert len(page.names(text)) == len(set(page.names(text))) >= 12
    assert text.count("written by python -m") == len(page.names(text))
    assert page.filled(text, page.read()) == text


def test_another_figure_makes_another_page() -> None:
    text, figures = page.PAGE.read_text(encoding="utf-8"), page.read()
    figures["speed"][0][1] += 1
    assert page.filled(text, figures) != text


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a|b", ["a", "b"]),
        (r"(?:a|b)c|d\|e|[|)]f", [r"(?:a|b)c", r"d\|e", "[|)]f"]),
        (r"(?s:(.)\1{3}|(..)\2)", [r"(.)\1{3}", r"(..)\2"]),
        (r"(?:a|b)(?:c|d)", ["(?:a|b)(?:c|d)"]),
        (r"[]|]x|[^]|]y", ["[]|]x", "[^]|]y"]),
    ],
)
def test_alternatives_of_a_pattern_are_those_outside_of_its_groups(pattern: str, parts: list[str]) -> None:
    assert [pattern[start:end] for start, end in rules.alternatives(pattern)] == parts


def test_a_stand_in_says_which_alternative_matched_and_leaves_one_out() -> None:
    watch = rules.Watch()
    stand_in = rules.Pattern("module.NAME", re.compile(r"(a)\1|(b)\2|c"), watch)
    assert stand_in.search("xbb")
    assert watch.seen == {("module.NAME", r"(b)\2")}
    watch.leave_out(("module.NAME", r"(b)\2"))
    assert stand_in.search("xbb") is None
    assert [match.group() for match in stand_in.finditer("aa bb c")] == ["aa", "c"]


def test_a_word_list_that_is_left_out_holds_no_word() -> None:
    watch = rules.Watch()
    words = rules.Words("module.WORDS", frozenset({"one", "two"}), watch)
    assert "one" in words
    assert {"two", "six"} & words == {"two"}
    assert watch.seen == {("module.WORDS", "")}
    watch.leave_out(("module.WORDS", ""))
    assert "one" not in words
    assert words.isdisjoint({"two"})

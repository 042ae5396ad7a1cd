"""The test helper `growth` distinguishes linear from quadratic time."""

from __future__ import annotations

import re

from tests.support.growth import LINEAR, growth, growth_by_text


def test_quadratic_time_is_told_from_linear() -> None:
    assert growth(lambda size: lambda: sum(range(size)), 200_000) < LINEAR
    assert growth(lambda size: lambda: [sum(range(size)) for _ in range(size)], 500) > LINEAR


def test_a_pattern_that_looks_to_the_end_from_every_place_is_found() -> None:
    assert growth_by_text(re.compile("<[^>]*>").findall, "<", size=2_000) > LINEAR
    assert growth_by_text(re.compile("<[^<>]{1,100}>").findall, "<", size=2_000) < LINEAR

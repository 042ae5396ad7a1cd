"""Two groups of answers: what they differ by beyond their scatter, and how often chance does as much."""

from __future__ import annotations

import random

import pytest

from annie_eval.stats.relabel import apart, p_value, within


def table(points: list[float]) -> list[list[float]]:
    return [[abs(a - b) for b in points] for a in points]


def test_groups_are_as_far_apart_as_their_nearest_members() -> None:
    assert apart(table([0.0, 1.0, 10.0, 11.0]), [2, 3]) == pytest.approx(9.0)
    assert apart(table([0.0, 2.0, 11.0]), [2]) == pytest.approx(9.0)
    assert apart(table([0.0, 5.0, 5.0]), [2]) == 0.0
    assert within(table([0.0, 1.0, 4.0]), [0, 1, 2]) == pytest.approx(8 / 3)
    assert within(table([0.0, 1.0]), [0]) is None


def test_groups_that_differ_in_every_request_are_beyond_chance() -> None:
    """Two of five answers: chance picks them as (1 / 10) of ways, in four requests of four as 1 / 10,000."""
    far = (table([0.0, 0.1, 0.2, 5.0, 5.1]), 2)
    assert p_value([far] * 4) == pytest.approx(1e-4, abs=2e-4)
    assert p_value([far]) == pytest.approx(0.1, abs=0.01)


def test_the_chance_of_a_small_p_is_that_small_where_the_groups_are_alike() -> None:
    draw = random.Random(1)
    small = 0
    for _ in range(60):
        requests = [(table([draw.gauss(0, 1) for _ in range(5)]), 3) for _ in range(4)]
        small += p_value(requests) <= 0.1
    assert small <= 13  # 6 expected; more than 13 in one of 500 such tests

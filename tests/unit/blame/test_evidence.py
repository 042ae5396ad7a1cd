"""Pairs of prompts, and when a change is named."""

from __future__ import annotations

import math
import random

import pytest

from annie_eval.blame.evidence import ALPHA, FOR_SEVERAL, compare, fewest, holds
from annie_eval.stats import binomial


def one_each(count: int, passed: int) -> dict[str, bool | None]:
    return {f"p{number}": number < passed for number in range(count)}


def same(count: int) -> dict[str, str]:
    return {f"p{number}": f"p{number}" for number in range(count)}


def test_a_change_is_named_where_it_helps_and_the_gate_holds_with_it() -> None:
    found = compare(one_each(10, 2), one_each(10, 10), same(10), 0.6, 0.005)
    assert (found.n, found.better, found.worse, found.passed, found.asked) == (10, 8, 0, 10, 10)
    assert found.named
    assert not found.useless


def test_a_change_that_helps_without_mending_the_gate_is_not_named() -> None:
    found = compare(one_each(40, 0), one_each(40, 20), same(40), 0.8, 0.005)
    assert found.helps
    assert not found.named
    assert not found.useless, "more prompts may still show that the gate holds"


def test_no_gain_makes_a_change_useless() -> None:
    assert compare(one_each(16, 4), one_each(16, 4), same(16), 0.6, 0.005).useless
    assert not compare(one_each(16, 4), one_each(16, 5), same(16), 0.6, 0.005).useless
    assert not compare(one_each(16, 4), {}, same(16), 0.6, 0.005).useless, "nothing was answered"


def test_what_broke_in_either_run_is_left_out() -> None:
    before = {"p0": False, "p1": None, "p2": True, "p3": False}
    found = compare(before, {"p0": True, "p1": True, "p2": None, "p3": True}, same(4), 0.5, 0.05)
    assert (found.n, found.better, found.asked) == (2, 2, 2)
    assert compare(before, {}, same(4), 0.5, 0.05).n == 0


def test_two_samples_of_a_prompt_are_one_pair() -> None:
    prompt_of = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    before = dict.fromkeys(prompt_of, False)
    found = compare(before, {"a1": True, "a2": True, "b1": True, "b2": False}, prompt_of, 0.5, 0.05)
    assert (found.n, found.better) == (2, 2)


@pytest.mark.parametrize(("n", "level", "least"), [(10, 0.005, 7), (15, 0.005, 8), (16, 0.0008, 9), (3, 0.005, None)])
def test_how_many_must_change(n: int, level: float, least: int | None) -> None:
    assert fewest(n, level) == least
    if least is None:
        return
    assert compare(one_each(n, 0), one_each(n, least), same(n), 0.1, level).helps
    assert not compare(one_each(n, 0), one_each(n, least - 1), same(n), 0.1, level).helps
    # Prompts that pass half of the time change most: each is then better, or worse, with probability 1/4.
    seen = binomial.mcnemar(least, 0)
    chance = sum(
        math.comb(n, better) * math.comb(n - better, worse) * 0.25 ** (better + worse) * 0.5 ** (n - better - worse)
        for better in range(n + 1)
        for worse in range(n - better + 1)
        if binomial.mcnemar(better, worse) <= seen
    )
    assert chance <= level


def test_two_draws_of_one_server_rarely_look_like_a_cause() -> None:
    """At the level of one of five changes; prompts of any pass rates."""
    level = (ALPHA - FOR_SEVERAL) / 5
    draw = random.Random(0)
    named = 0
    for _ in range(3000):
        rates = [draw.choice((0.2, 0.5, 0.8)) for _ in range(16)]
        before, now = ({f"p{n}": draw.random() < rate for n, rate in enumerate(rates)} for _ in range(2))
        named += compare(before, now, same(16), 0.1, level).named
    assert named <= 3000 * level + 3 * (3000 * level) ** 0.5


def test_a_share_is_reached_without_rounding_errors() -> None:
    assert holds(12, 15, 12 / 15)
    assert not holds(11, 15, 12 / 15)
    assert holds(3, 3, 1.0)
    assert not holds(0, 0, 0.0)

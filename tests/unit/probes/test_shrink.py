"""Shrinking ends when nothing can be removed, and needs few requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.probes import draw, prompts
from annie_eval.probes.example import Example
from annie_eval.probes.shrink import OutOfBudget, shrink
from annie_eval.profile.load import load
from tests.support.triggers import TRIGGERS


class Judge:
    """Counts what it is asked, each text once."""

    def __init__(self, fails: Callable[[str], bool], budget: int = 10**9) -> None:
        self.fails, self.asked, self.budget = fails, set[str](), budget

    def __call__(self, candidates: list[tuple[str, ...]]) -> list[bool]:
        self.asked.update(map("".join, candidates))
        if len(self.asked) > self.budget:
            raise OutOfBudget
        return [bool(parts) and self.fails("".join(parts)) for parts in candidates]


@pytest.fixture(scope="module")
def drawn() -> list[Example]:
    profile = load("annie")
    return draw.batches(lambda size: prompts.spoken(profile, size), 150, 0)


LONG = {name for name in TRIGGERS if name.startswith(("more than", "thirty"))}


@pytest.mark.parametrize("name", sorted(TRIGGERS.keys() - LONG))
def test_what_brings_a_weakness_out_is_all_that_is_left(name: str, drawn: list[Example]) -> None:
    trigger = TRIGGERS[name]
    found = min((e.prompt for e in drawn if trigger(e.prompt)), key=len)
    judge = Judge(trigger)
    left = "".join(shrink(found, judge))
    assert trigger(left)
    assert len(left) <= 25
    assert len(judge.asked) <= 140  # what half of the default budget leaves
    assert not any(trigger(left[:i] + left[i + 1 :]) for i in range(len(left)) if len(left) > 1)


@given(st.text(min_size=1, max_size=60), st.sets(st.integers(0, 59), max_size=4))
def test_any_set_of_needed_characters_is_found(text: str, needed: set[int]) -> None:
    items = list(enumerate(text))
    wanted = {place for place in needed if place < len(text)}

    def still(candidates: list[tuple[tuple[int, str], ...]]) -> list[bool]:
        return [wanted <= {place for place, _ in parts} for parts in candidates]

    left = shrink(items, still)
    assert {place for place, _ in left} == wanted or (not wanted and len(left) == 1)


def test_the_empty_sequence_is_tried_only_where_it_may_be() -> None:
    assert shrink("abc", lambda parts: [True] * len(parts), least=0) == ()
    assert len(shrink("abc", lambda parts: [True] * len(parts), least=1)) == 1


def test_a_spent_budget_is_heard() -> None:
    with pytest.raises(OutOfBudget):
        shrink("a long enough prompt with ?? in it", Judge(lambda text: "??" in text, budget=5))

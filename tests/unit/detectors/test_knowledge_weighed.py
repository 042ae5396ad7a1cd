"""Knowledge: which of several clauses or numbers answers the question."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.make_sample import reply, sample


def passes(text: str, question: str, **wanted: object) -> bool:
    return not find(sample(reply(text, user=question, answer=AnswerExpectation(**wanted))))  # type: ignore[arg-type]


RIVERS = "Which one is longer, the Nile or the Thames?"
SPRING = "What month comes after March?"


@pytest.mark.parametrize(
    "text",
    [
        "The Nile is longer. The Thames is better known in London.",
        "The Thames is pretty, but the title goes to the Nile.",
    ],
)
def test_of_two_that_the_question_offers_the_one_with_its_adjective_is_the_answer(text: str) -> None:
    assert passes(text, RIVERS, any_of=("Nile",))
    assert not passes(text, RIVERS, any_of=("Thames",))


def test_may_is_a_month_and_no_doubt() -> None:
    assert passes("Tempting as May may sound, the right answer is April.", SPRING, any_of=("April",))
    assert not passes("Tempting as April may sound, the right answer is May.", SPRING, any_of=("April",))


def test_who_wins_or_is_right_is_the_answer() -> None:
    assert passes("Not May, although it comes close. April wins.", SPRING, any_of=("April",))
    assert not passes("Not April, although it comes close. May wins.", SPRING, any_of=("April",))


WORKED = [
    ("Tom had 20 nuts and ate half of the remaining 12 later. How many did he eat later?", "He ate 12/2 = 6 nuts.", 6),
    (
        "Ann reads 24 of 120 pages. If she reads half of the remaining pages tomorrow, how many pages is that?",
        "There are 120 - 24 = 96 pages left to be read. So she reads 96/2 = 48 pages.",
        48,
    ),
    ("She bakes 4 trays of 21 rolls. How many dozen rolls is that?", "4*21 = 84 rolls, so 84/12 = 7 dozen rolls.", 7),
    ("A ship of 2 decks has 4 S, and S is 7. How many seats are there?", "So it had 2 * 4S. That is 8 * 7 = 56.", 56),
]


@pytest.mark.parametrize(("question", "working", "number"), WORKED)
def test_a_worked_sum_comes_to_its_last_result_or_to_what_is_called_the_answer(
    question: str, working: str, number: float
) -> None:
    assert passes(working, question, number=number)
    assert passes(f"The answer is {number}. {working}", question, number=number)
    assert passes(f"{number}. {working}", question, number=number)
    assert not passes(f"{working} The answer is {number + 1}.", question, number=number)
    assert not passes(f"The answer is {number + 1}. {working}", question, number=number)


def test_a_condition_that_ends_in_the_phrase_states_nothing() -> None:
    product = "What's seven times eight?"
    assert not passes("If seven times eight is 56, I'll eat my hat.", product, number=56)
    assert passes("If you say 56, you're right.", product, number=56)
    assert not passes("It would be 56 if you took eight.", product, number=56)

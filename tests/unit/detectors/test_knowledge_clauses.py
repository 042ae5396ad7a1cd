"""Knowledge: which clauses say an answer, and which say something else of the right word."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.make_sample import reply, sample

QUESTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "capital": ("What's the capital of Turkey, is it Istanbul?", ("Ankara",)),
    "river": ("What's the longest river in Africa?", ("Nile",)),
    "faster": ("Which one is faster, a snail or a horse?", ("horse",)),
    "wrote": ("Who wrote Dracula?", ("Bram Stoker", "Stoker")),
    "gas": ("Which gas do we breathe in?", ("oxygen",)),
    "day": ("The delivery takes five days from Monday. What day does it come?", ("Saturday",)),
}


def passes(which: str, text: str) -> bool:
    question, accepted = QUESTIONS[which]
    return not find(sample(reply(text, user=question, answer=AnswerExpectation(any_of=accepted))))


@pytest.mark.parametrize(
    ("which", "right", "wrong"),
    [
        ("capital", "You're after Ankara, Istanbul is only bigger.", "You're after Istanbul, Ankara is only bigger."),
        ("capital", "Istanbul is where people go. Put down Ankara.", "Ankara is where people go. Put down Izmir."),
        (
            "wrote",
            "Mary Shelley did another. The one you want is Stoker.",
            "Stoker did another. What you want is Shelley.",
        ),
        ("gas", "Helium is in balloons. What goes in is oxygen.", "Oxygen is in water. What goes in is helium."),
        (
            "river",
            "The Congo and the Niger are all shorter than the Nile.",
            "The Nile and the Niger are shorter than the Congo.",
        ),
        ("faster", "It's the horse you can't keep up with.", "It's the horse that can't keep up."),
        (
            "capital",
            "They moved it to Ankara. It's been the capital since.",
            "They moved it to Izmir. It's been the capital since.",
        ),
        (
            "day",
            "It would be Friday in four days, five makes it Saturday.",
            "It would've been Saturday if it took four days.",
        ),
    ],
)
def test_what_a_clause_points_at_is_the_answer(which: str, right: str, wrong: str) -> None:
    assert passes(which, right)
    assert not passes(which, wrong)

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
        ("gas", "Helium is in balloons. What we inhale is oxygen.", "Oxygen is in water. What we inhale is helium."),
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


@pytest.mark.parametrize(
    ("right", "wrong", "question", "accepted"),
    [
        (
            "It's July, June comes before.",
            "It's May. July is the one before June.",
            "Which month comes after June?",
            "July",
        ),
        (
            "The horse, because the snail is slow.",
            "The horse is the slower one because it's big.",
            QUESTIONS["faster"][0],
            "horse",
        ),
        ("A horse is faster than a snail.", "A snail or a horse is faster.", QUESTIONS["faster"][0], "horse"),
        ("Red, not green.", "Green, red, blue and purple.", "What colour are ripe tomatoes?", "red"),
        ("Red, blue is for plums.", "Green, red, blue, it's one of those.", "What colour are ripe tomatoes?", "red"),
        ("Flour, eggs, milk and salt.", "Flour, oil, milk and salt.", "What do I need for pancakes?", "eggs"),
    ],
)
def test_the_opposite_and_all_of_a_list_are_no_answer(right: str, wrong: str, question: str, accepted: str) -> None:
    answer = AnswerExpectation(any_of=(accepted,))
    assert not find(sample(reply(right, user=question, answer=answer)))
    assert find(sample(reply(wrong, user=question, answer=answer)))


def test_a_list_of_accepted_words_is_an_answer() -> None:
    answer = AnswerExpectation(any_of=("red", "blue", "yellow"))
    asked = reply("Red, green, blue and black.", user="Tell me a primary colour.", answer=answer)
    assert not find(sample(asked))


@pytest.mark.parametrize(
    ("which", "right", "wrong"),
    [
        (
            "wrote",
            "Bram Stoker, he wrote it to please Mary Shelley.",
            "Mary Shelley, she wrote it to please Bram Stoker.",
        ),
        (
            "wrote",
            "Emma was Jane Austen. Dracula was Bram Stoker.",
            "Bram Stoker wrote Emma. Dracula was Edgar Allan Poe.",
        ),
        ("wrote", "Mr Stoker, of Dublin.", "Florence Balcombe Stoker, his wife."),
        ("wrote", "Clearly Stoker.", "Stoker Shelley."),
        (
            "gas",
            "It's the nitrogen we need least, it's the oxygen that we breathe in.",
            "It's oxygen, but it's the helium that we breathe in.",
        ),
        ("day", "Today's Monday, so you get to Saturday.", "Today's Saturday, so you get to Thursday."),
    ],
)
def test_a_namesake_another_writer_or_today_is_no_answer(which: str, right: str, wrong: str) -> None:
    assert passes(which, right)
    assert not passes(which, wrong)


def test_today_is_the_answer_where_it_is_asked() -> None:
    answer = AnswerExpectation(any_of=("Saturday",))
    assert not find(sample(reply("Today's Saturday.", user="What day is it today?", answer=answer)))
    assert passes("day", "Five days from today is a Saturday, the fifth of May.")


@pytest.mark.parametrize(
    ("which", "right", "wrong"),
    [
        (
            "capital",
            "The capital of Turkey is Ankara, not Istanbul.",
            "The capital of Turkey is Istanbul, not Ankara.",
        ),
        ("capital", "Ankara is the capital (not Istanbul).", "Istanbul is the capital (not Ankara)."),
        ("capital", "Yep, Ankara it is.", "Yep, Istanbul it is."),
        (
            "river",
            "The Nile (many say the Congo, but that's wrong).",
            "The Congo (many say the Nile, but that's wrong).",
        ),
        ("river", "The Congo... no, make that the Nile.", "The Nile... no, make that the Congo."),
        ("wrote", "That's Stoker.", "That's Shelley."),
        ("wrote", "I'm pretty sure it was Bram Stoker.", "I'm pretty sure it was Mary Shelley."),
        (
            "river",
            "Some say the Congo. Don't believe them, it's the Nile.",
            "Some say it's the Nile. Don't believe them.",
        ),
        ("river", "The Congo would be a good guess, but it's the Nile.", "The Nile would be a good guess, but no."),
        (
            "river",
            "You'd think it's the Congo, wouldn't you? It's the Nile.",
            "You'd think it's the Nile, wouldn't you?",
        ),
        (
            "capital",
            "It was Istanbul, but that's out of date. It's Ankara.",
            "They say Ankara, but that's out of date.",
        ),
    ],
)
def test_what_is_rejected_is_no_answer_and_takes_none_away(which: str, right: str, wrong: str) -> None:
    assert passes(which, right)
    assert not passes(which, wrong)

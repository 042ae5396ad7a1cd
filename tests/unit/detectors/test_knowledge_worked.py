"""Knowledge: what a worked or restated answer comes to."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.make_sample import reply, sample

QUESTIONS: dict[str, tuple[str, float]] = {
    "trays": ("A tray holds nine buns and I need forty. How many trays?", 5),
    "pens": ("Four packs of six pens shared between eight pupils. How many pens does each get?", 3),
    "marbles": ("Twenty-three marbles in bags of five. How many are left over?", 3),
    "change": ("Three stamps at eighty cents and a card at two sixty. What change do I get from a tenner?", 5),
    "strings": ("How many strings has a ukulele?", 4),
    "ant": ("Ann says an ant has four legs. How many is it?", 6),
}


def passes(which: str, text: str) -> bool:
    question, number = QUESTIONS[which]
    return not find(sample(reply(text, user=question, answer=AnswerExpectation(number=number))))


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("trays", "40 / 9 = 4.44, round up, 5."),
        ("pens", "4 times 6 is 24, divided between 8 gives 3."),
        ("pens", "Twenty-four pens and eight pupils, which comes to three apiece."),
        ("marbles", "23 ÷ 5 = 4 remainder 3"),
        ("trays", "Four. Hmm, that's thirty-six, so make that one more. Five."),
        ("change", "Two euros, no wait, one more stamp. Three stamps and the card are €5, so €5 back."),
        ("strings", "A banjo has five, but a ukulele gets by with four."),
        ("ant", "You may find one with five because it lost one, but they all have six."),
    ],
)
def test_the_last_number_of_a_worked_answer_is_what_it_comes_to(which: str, text: str) -> None:
    assert passes(which, text)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("trays", "40 / 8 = 5, round up, 6."),
        ("pens", "24 pens by 8 is 3, less 1 gives 2."),
        ("pens", "Somewhere between 3 and 4."),
        ("marbles", "23 ÷ 7 = 3 remainder 2"),
        ("trays", "Five. Hmm, that's forty-five, so make that one less. Four."),
        ("strings", "A violin has four, but a ukulele gets by with six."),
        ("ant", "An ant has six eyes and four legs."),
    ],
)
def test_the_right_number_on_the_way_is_no_answer(which: str, text: str) -> None:
    assert not passes(which, text)


SANK = "When did the Titanic sink?"
TOWELS = "Two towels dry in two hours on the line. How long do four take?"


@pytest.mark.parametrize(
    ("text", "question", "accepted"),
    [
        ("Nineteen twelve, and the first war came two years after.", SANK, ("1912", "nineteen twelve")),
        ("It was built in 1909 and went down in '12.", SANK, ("1912", "nineteen twelve")),
        ("Ninety-eight, not so long ago.", "What year was it?", ("1998",)),
        ("Six up from two is 8.", "I'm on the second step and go up six. Which one am I on?", ("eight", "8", "8th")),
        ("2 + 9 - 3 = 8", "Up two, up nine and down three. Which step am I on?", ("eight", "eighth", "8")),
        ("It takes a couple of hours, as before.", TOWELS, ("2", "two")),
    ],
)
def test_phrases_that_are_one_number_are_judged_as_a_number(
    text: str, question: str, accepted: tuple[str, ...]
) -> None:
    answer = AnswerExpectation(any_of=accepted)
    assert not find(sample(reply(text, user=question, answer=answer)))
    assert find(sample(reply(text, user=question, answer=AnswerExpectation(any_of=("1777", "1777")))))


def test_the_end_of_a_year_counts_only_where_a_year_is_asked() -> None:
    asked = reply("Ninety-eight.", user="How many pages has it?", answer=AnswerExpectation(number=1998))
    assert find(sample(asked))


PEN = "A pen and a pad are three pounds together and the pad is two pounds more. How much is the pen, in pence?"


@pytest.mark.parametrize(
    ("text", "question", "number"),
    [
        ("Half a pound, so fifty pence.", PEN, 50),
        ("It's £0.50.", PEN, 50),
        ("50p.", PEN, 50),
        ("An hour and a half.", "How many minutes does the match last?", 90),
        ("A year and a half.", "How many months old is the puppy?", 18),
    ],
)
def test_another_unit_than_was_asked_for_is_converted(text: str, question: str, number: float) -> None:
    assert not find(sample(reply(text, user=question, answer=AnswerExpectation(number=number))))
    assert find(sample(reply(text, user=question, answer=AnswerExpectation(number=number + 1))))


def test_the_right_figure_in_another_unit_is_no_answer() -> None:
    assert find(sample(reply("Fifty pounds.", user=PEN, answer=AnswerExpectation(number=50))))
    metres = ("How many metres are five kilometres?", AnswerExpectation(number=5000))
    assert find(sample(reply("Five kilometres are 500 metres.", user=metres[0], answer=metres[1])))


COACH = "There are forty seats on the coach and a quarter are empty. How many people are on it?"
LIFT = "I take the lift from floor five up six, then down three. Which floor am I on?"


@pytest.mark.parametrize(
    ("right", "wrong", "question", "number"),
    [
        ("Ten are empty, so thirty are taken.", "Thirty are empty, so ten are taken.", COACH, 30),
        ("Five. Hmm, that's one short. So it takes 30.", "30. Hmm, that's too many. So 20, let's say.", COACH, 30),
        (
            "Each gets three, since there's twenty-four.",
            "Each gets two, since there's three boxes.",
            *QUESTIONS["pens"],
        ),
        (
            "It makes twenty, so they get five and you keep three.",
            "So they get three and you keep four.",
            *QUESTIONS["marbles"],
        ),
        ("Five, up to eleven, down to eight.", "Up to eight, down to nine.", LIFT, 8),
    ],
)
def test_a_later_conclusion_is_the_answer(right: str, wrong: str, question: str, number: float) -> None:
    assert not find(sample(reply(right, user=question, answer=AnswerExpectation(number=number))))
    assert find(sample(reply(wrong, user=question, answer=AnswerExpectation(number=number))))


def test_of_two_numbers_the_one_with_the_words_of_the_question_is_the_answer() -> None:
    question, number = QUESTIONS["change"]
    answer = AnswerExpectation(number=number)
    assert not find(sample(reply("You spend four pounds and get five back.", user=question, answer=answer)))
    assert find(sample(reply("You spend five pounds and get six back.", user=question, answer=answer)))
    cuts = ("I saw a plank with five cuts. How many pieces are there?", AnswerExpectation(number=6))
    assert not find(sample(reply("Five cuts give six pieces.", user=cuts[0], answer=cuts[1])))
    assert find(sample(reply("You make six cuts and get five pieces.", user=cuts[0], answer=cuts[1])))


@pytest.mark.parametrize(
    ("which", "right", "wrong"),
    [
        (
            "change",
            "Three stamps are two forty, so that makes five with the card. Ten minus that is five. Enjoy!",
            "Three stamps are two forty, so that makes five with the card. Ten minus five is four. Enjoy!",
        ),
        (
            "pens",
            "Four packs of six make twenty-four. Share those and everybody gets 3 pens.",
            "Four packs of six make twenty-four. Share those and everybody gets 4 pens.",
        ),
        (
            "trays",
            "The answer is four. Wait, four hold only thirty-six. I was wrong, it's five.",
            "The answer is five. Wait, five hold too many. I was wrong, it's four.",
        ),
        ("strings", "Not six and not five: it's four.", "Not four and not five: it's six."),
        (
            "strings",
            "Not six strings and not five; it's four strings.",
            "Not four strings and not five; it's six strings.",
        ),
        (
            "ant",
            "I was torn between four legs and six legs, but now I'm sure: six legs.",
            "It's between four and six.",
        ),
        ("ant", "Six legs, whereas eight legs is for spiders.", "Eight legs, whereas six legs is for beetles."),
        (
            "ant",
            "Ten legs is a crab's number. But it's six legs.",
            "Six legs is a beetle's number. But it's ten legs.",
        ),
    ],
)
def test_what_comes_last_decides_over_what_was_said_on_the_way(which: str, right: str, wrong: str) -> None:
    assert passes(which, right)
    assert not passes(which, wrong)

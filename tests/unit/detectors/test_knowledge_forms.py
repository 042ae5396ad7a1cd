"""Knowledge: many forms of right answers pass; wrong answers with the right word or number do not."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.make_sample import reply, sample


def passes(text: str, question: str, wanted: AnswerExpectation) -> bool:
    return not find(sample(reply(text, user=question, answer=wanted)))


CAPITAL = ("What's the capital of Peru?", AnswerExpectation(any_of=("Lima",)))


@pytest.mark.parametrize(
    "text",
    [
        "Not Cusco - it's Lima.",
        "I'm not joking\nIt's Lima.",
        "I can't see a map, but it's Lima.",
        "You might think Cusco, but it's Lima.",
        "Cusco is a common guess, but it's Lima.",
        "That might surprise you, but it's Lima.",
        "I thought it was Cusco, but it's Lima.",
        "It's Lima, and you don't need to look it up.",
        "Anything else? It's Lima.",
    ],
)
def test_a_right_word_passes_where_something_else_is_denied_or_hedged(text: str) -> None:
    assert passes(text, *CAPITAL)


@pytest.mark.parametrize(
    "text",
    [
        "Maybe Lima.",
        "It might be Lima.",
        "It could be Lima.",
        "Lima, perhaps?",
        "I have no idea, Lima possibly.",
        "Lima is a common guess, but it's Cusco.",
        "I thought it was Lima, but it's Cusco.",
        "Some say Lima, some say Cusco.",
        "It's anything but Lima.",
        "Everything but Lima.",
    ],
)
def test_a_hedged_offered_or_rejected_word_is_no_answer(text: str) -> None:
    assert not passes(text, *CAPITAL)


def test_the_right_word_in_another_role_is_no_answer() -> None:
    ended = ("In which year did the war end?", AnswerExpectation(any_of=("1918",)))
    assert passes("It ended in 1918.", *ended)
    assert passes("It began in 1914 and ended in 1918.", *ended)
    assert not passes("It began in 1918.", *ended)
    assert passes("It began in 1918.", "What's the opposite of: the war ended in 1918?", ended[1])
    assert passes("It's the shortest.", "Is it the longest?", AnswerExpectation(any_of=("shortest",)))
    day = ("Which day is it?", AnswerExpectation(any_of=("Friday",)))
    assert passes("It's Friday, the day before Saturday.", *day)
    assert not passes("It's Thursday, the day before Friday.", *day)


CLIPS = ("I have 48 clips and buy 24 more. How many clips are that?", AnswerExpectation(number=72.0))


@pytest.mark.parametrize(
    "text",
    [
        "The answer is 72. You take 48 and add 24, then check that 72 - 24 = 48.",
        "It's a total of 72.",
        "Not 71 - it's 72.",
        "You have 48 + 24 = 72 clips.",
        "Half of 48 is 24. Then 48 + 24 = 72 clips.",
        "48 and 20 is 68.\nIn total you have 72 clips.",
        "First it looks like 62. So the answer is 72.",
        "You put them together. There are 72 clips left in the box.",
    ],
)
def test_the_right_number_passes_wherever_it_is_stated(text: str) -> None:
    assert passes(text, *CLIPS)


@pytest.mark.parametrize(
    "text",
    [
        "48 and 24 is 72, so the answer is 24.",
        "The answer is 24. On the way you get 72.",
        "48 + 24 = 72. 72 - 1 = 71.",
        "More than 72.",
        "Maybe 72.",
        "It's 72. No, wait, 24.",
        "Some say 72, some 74.",
        "That's 72 pins and 70 clips.",
    ],
)
def test_another_conclusion_a_bound_or_another_thing_is_no_answer(text: str) -> None:
    assert not passes(text, *CLIPS)

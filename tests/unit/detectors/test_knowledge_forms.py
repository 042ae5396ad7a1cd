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


@pytest.mark.parametrize(
    "text",
    [
        "It's Cusco. Lima just has the airport.",
        "Cusco is the capital, and Lima lies by the sea.",
        "Lima has the port, while Cusco is the capital.",
        "Cusco, and Lima came second.",
        "Cusco—Lima has the port.",
        "The old city of Cusco is, and Lima has the port.",
        "Lima came long after the first one, Cusco.",
        "Lima is the port of Peru, so Cusco it is.",
        "Lima was founded later, so the capital is Cusco.",
        "I thought Lima at first. It's really Cusco.",
        "I don't know. Lima is just a guess.",
        "You'd expect Lima, but no: Cusco.",
        "Half of people say Lima. They're wrong, it's Cusco.",
        "Sorry, I said Lima before. It's Cusco.",
        "I was going to say Lima. It's Cusco.",
        "Lots of folks guess Lima. It's Cusco.",
        "It's Cusco. Lima was my other idea.",
        "Lima's rival Cusco is the capital.",
        "Cusco took over from Lima.",
        "Cusco replaced Lima as the capital.",
        "It was Lima, it's Cusco now.",
        "Lima used to be, now Cusco.",
        "Lima. Hmm, no: Cusco.",
    ],
)
def test_a_right_word_in_a_clause_that_does_not_answer_is_none(text: str) -> None:
    assert not passes(text, *CAPITAL)


@pytest.mark.parametrize(
    "text",
    [
        "Lima has ten million people.",
        "It's Lima. Cusco just has the ruins.",
        "The government moved. It sits in Lima.",
        "Cusco was it for the Incas. Since then the capital has been Lima.",
        "It's Lima, so pack a coat.",
        "Lima grew around its port. That makes it the capital, too.",
        "That's an easy one. Lima has that honour.",
        "Good question: Lima.",
        "They moved it from Cusco, by the sea, in Lima.",
        "It isn't Cusco. Lima took over.",
        "Sorry, I said Cusco before. It's Lima.",
    ],
)
def test_a_right_word_in_a_clause_that_answers_passes(text: str) -> None:
    assert passes(text, *CAPITAL)


def test_places_and_people_may_come_in_several_clauses() -> None:
    assert passes("It's in the hall, under the mat.", "Where's the key?", AnswerExpectation(any_of=("mat",)))
    eggs = AnswerExpectation(any_of=("eggs",))
    assert passes("First the flour, then eggs, then milk.", "Can you read out that list?", eggs)
    assert passes("Ben comes, and Ann will be there too.", "Who comes?", AnswerExpectation(any_of=("Ann",)))


BIRD = ("Is a bat a bird?", AnswerExpectation(any_of=("no",)))


@pytest.mark.parametrize(
    "text", ["No.", "No it isn't.", "Yes. Actually, no, it's a mammal.", "Many say yes, but the answer is no."]
)
def test_the_last_of_yes_and_no_decides(text: str) -> None:
    assert passes(text, *BIRD)
    assert not passes(text, BIRD[0], AnswerExpectation(any_of=("yes",)))


@pytest.mark.parametrize(
    "text",
    [
        "Yes and no.",
        "No... wait, yes, it is a bird.",
        "Yes. People who say no are wrong.",
        "No, but then again maybe yes.",
        "No? No idea.",
    ],
)
def test_yes_is_not_no_and_a_guess_is_neither(text: str) -> None:
    assert not passes(text, *BIRD)


def test_another_accepted_phrase_answers_without_yes_or_no() -> None:
    assert passes("Yes, you're right, it's a mammal.", BIRD[0], AnswerExpectation(any_of=("no", "mammal")))


COMMON_NOUN = ("What instrument did Miles Davis play?", AnswerExpectation(any_of=("trumpet",)))


@pytest.mark.parametrize(
    "text",
    [
        "I believe it was the trumpet.",
        "I'm pretty sure it's the trumpet.",
        "As far as I know, it's the trumpet.",
        "I'd say it's the trumpet.",
        "The answer you're after is the trumpet, since he was a jazz musician.",
        "It's the saxophone. Sorry, I meant the trumpet.",
    ],
)
def test_the_speaker_may_be_named_before_an_answer_that_is_no_name(text: str) -> None:
    assert passes(text, *COMMON_NOUN)


def test_a_long_answer_behind_the_short_one_is_no_other_number() -> None:
    wanted = AnswerExpectation(number=85)
    assert passes("Short answer, 85. Long answer: seven and eight make fifteen.", "Add 47 and 38 for me.", wanted)


def test_an_answer_of_more_than_100_000_characters_is_not_read() -> None:
    assert passes("It's Lima. " + "It is. " * 10_000, *CAPITAL)
    (found,) = find(sample(reply("It's Lima. " + "It is. " * 20_000, user=CAPITAL[0], answer=CAPITAL[1])))
    assert found.reason == "140011 characters, more than the 100000 that are read for an answer"


def test_another_word_for_the_unit_that_the_question_has_is_no_other_unit() -> None:
    question = "I cut a rope into pieces with four cuts. How many bits have I got?"
    assert passes("Four cuts give you five pieces.", question, AnswerExpectation(number=5))


def test_a_word_of_the_opposite_in_another_sentence_refuses_no_number() -> None:
    question = "If I do sixty miles an hour for two and a half hours, how far have I got?"
    assert passes(
        "That's short work. You'd have covered a hundred and fifty miles.", question, AnswerExpectation(number=150)
    )

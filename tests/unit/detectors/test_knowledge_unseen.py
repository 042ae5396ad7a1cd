"""Knowledge: open choices, rejections, comparisons and later answers, in frames of kinds that were once misjudged."""

from __future__ import annotations

import pytest

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import reply, sample

QUESTIONS: dict[str, tuple[str, AnswerExpectation]] = {
    "capital": ("What's the capital of Peru?", AnswerExpectation(any_of=("Lima",))),
    "fastest": ("Which bird is the fastest?", AnswerExpectation(any_of=("falcon",))),
    "wrote": ("Who wrote Emma?", AnswerExpectation(any_of=("Austen",))),
    "bat": ("Is a bat a bird?", AnswerExpectation(any_of=("no",))),
    "whale": ("Is a whale a mammal?", AnswerExpectation(any_of=("yes",))),
    "month": ("Which month comes after June?", AnswerExpectation(any_of=("July",))),
    "ended": ("When did the siege end?", AnswerExpectation(any_of=("1683",))),
    "older": ("Who is the oldest of Max, Eva and Lou?", AnswerExpectation(any_of=("Eva",))),
    "symbol": ("What's the symbol for tin?", AnswerExpectation(any_of=("Sn",))),
    "square": ("What is 9 times 9?", AnswerExpectation(number=81)),
    "left": ("What's 500 minus 144?", AnswerExpectation(number=356)),
    "keys": ("Wie viele Tasten hat ein Klavier?", AnswerExpectation(number=88)),
    "second": ("Who came second?", AnswerExpectation(any_of=("Lou",))),
}


def passes(which: str, text: str) -> bool:
    question, wanted = QUESTIONS[which]
    return not find(sample(reply(text, user=question, answer=wanted)))


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("capital", "I waver between Cusco and Lima."),
        ("capital", "I waver between Lima and Cusco."),
        ("capital", "It must be one of Lima, Cusco or Ica."),
        ("capital", "Lima, Cusco, take your pick."),
        ("ended", "Either in 1682 or in 1683."),
        ("bat", "No or yes, you tell me."),
        ("bat", "That's open. Some say no and others say yes."),
    ],
)
def test_an_open_choice_is_no_answer(which: str, text: str) -> None:
    assert not passes(which, text)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("capital", "Many used to say Lima. The correct answer is Cusco."),
        ("capital", "Lima has the airport, but the real one is Cusco."),
        ("capital", "You'd think of Lima, wouldn't you? Wrong, it's Cusco."),
        ("square", "It would be 81 only if both were nines. Here it's 72."),
        ("symbol", "Lead is Sn, so tin is Pb."),
        ("symbol", "Sn is what I'd have said years ago. Today I say Ti."),
    ],
)
def test_the_answer_that_is_stated_last_wins(which: str, text: str) -> None:
    assert not passes(which, text)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("capital", "Whoever told you Lima was kidding. It's Cusco."),
        ("bat", "It is. Anyone who says no is wrong."),
        ("bat", "No? It surely is."),
        ("whale", "No, although many would answer yes."),
        ("capital", "Forget Lima, it's Cusco."),
        ("capital", "Lima can be ruled out, so Cusco."),
        ("capital", "People keep saying Lima, which is wrong."),
        ("capital", "Lima is often named, mistakenly."),
        ("capital", "Cusco, since Lima is too young."),
    ],
)
def test_what_the_frame_rejects_is_no_answer(which: str, text: str) -> None:
    assert not passes(which, text)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("fastest", "A falcon is nearly as fast as a swift, the fastest of all."),
        ("fastest", "The falcon is only a little slower than the fastest, the swift."),
        ("fastest", "The swift, as it outruns the falcon."),
        ("fastest", "The falcon is beaten by the swift."),
        ("fastest", "The falcon loses to the swift."),
        ("fastest", "The falcon comes close, but the swift wins."),
        ("fastest", "The swift is first, the falcon is second."),
        ("capital", "The bus from Lima to the capital, Cusco, takes a day."),
        ("capital", "From Lima you drive up to Cusco, the capital."),
        ("wrote", "Austen was a fan of its author, Burney."),
        ("wrote", "Austen heard of it from Burney, who wrote it."),
        ("wrote", "Someone who knew Austen."),
        ("older", "Eva is older than Lou, but Max is the oldest."),
        ("capital", "It lies far from Lima."),
        ("capital", "It's north of Lima."),
        ("month", "August, right after July."),
        ("month", "It's the month that follows July."),
        ("ended", "After 1683."),
        ("square", "72, next to the 81 of another row."),
        ("capital", "North of Lima."),
        ("ended", "It began in 1683 and ended in 1699."),
    ],
)
def test_what_is_compared_with_the_answer_is_no_answer(which: str, text: str) -> None:
    assert not passes(which, text)


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("capital", "Lima - and no, not Cusco."),
        ("capital", "Cusco is wrong, Lima is right."),
        ("capital", "The right answer is Lima, though Cusco is a common guess."),
        ("capital", "It's the capital on the coast, Lima."),
        ("capital", "Lima is the capital, Cusco the older town."),
        ("fastest", "Nothing outruns a falcon."),
        ("bat", "Nope, it's a mammal."),
        ("bat", "No it isn't."),
        ("whale", "Yep, it breathes air."),
        ("ended", "1683. It had begun in the same summer."),
        ("ended", "In 1683, two months after it began."),
        ("second", "Lou came second."),
        ("square", "It has to be 81: 72 is 8 nines and 90 is 10 nines."),
        ("square", "It's 81; 72 would be 8 nines."),
        ("left", "500 less 100 is 400, less 40 is 360, less 4 more - 356 all told."),
        ("keys", "Ein Klavier hat achtundachtzig Tasten."),
    ],
)
def test_right_answers_in_these_frames_pass(which: str, text: str) -> None:
    assert passes(which, text)


@pytest.mark.parametrize(
    ("word", "value"), [("sechzehn", 16), ("einundzwanzig", 21), ("zweihundertfünfzig", 250), ("tausendundeins", 1001)]
)
def test_german_numbers_are_read(word: str, value: int) -> None:
    wanted = AnswerExpectation(number=value)
    assert not find(sample(reply(f"Es sind {word}.", user="Wie viele sind es?", answer=wanted)))
    assert find(sample(reply(f"Es sind {word}.", user="Wie viele sind es?", answer=AnswerExpectation(number=3))))


@pytest.mark.parametrize("piece", ["A", "Aa ", "Aa, the capital, ", "between Aa and ", "no, not A. ", "hundert"])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    for question, wanted in (QUESTIONS["wrote"], QUESTIONS["capital"], QUESTIONS["square"]):

        def judged(text: str, question: str = question, wanted: AnswerExpectation = wanted) -> object:
            return find(sample(reply(text, user=question, answer=wanted)))

        assert growth_by_text(judged, piece) < LINEAR

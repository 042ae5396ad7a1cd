"""Knowledge: an answer that states a fact passes, one that only mentions it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annie_eval.detectors.knowledge import find
from annie_eval.profile.types import AnswerExpectation
from annie_eval.wire.sample import Exchange
from tests.support.growth import LINEAR, growth_by_text
from tests.support.make_sample import call, reply, sample


def misses(content: str | None, user: str = "Hello.", language: str = "en", **expected: object) -> list[str]:
    wanted = AnswerExpectation(**expected)  # type: ignore[arg-type]
    findings = find(sample(reply(content, answer=wanted, user=user), language=language))
    assert all(finding.detector == "knowledge" for finding in findings)
    return [finding.reason for finding in findings]


STATED = [
    "Paris.",
    "It's Paris.",
    "PARIS!",
    "The capital of France is Paris, a lovely city.",
    "That would be “Paris”.",
    "Not Lyon, it is Paris.",
    "It's not Lyon but Paris.",
    "It isn't Lyon, it's Paris.",
    "No, it's Paris.",
    "No it's Paris.",
    "Not only Paris but all of France is lovely.",
    "Paris is not only the capital, it is the largest city too.",
    "Paris isn't just the capital, it's the largest city.",
    "Paris, not Lyon.",
    "Paris, of course. It's not far from the sea.",
    "It's Paris. Would you like to know more?",
    "It's Paris, would you like to hear more?",
    "Is it Lyon? No, it's Paris.",
    "I'm not sure, but I think it's Paris.",
    "Lyon... no, wait, Paris.",
    "Lyon. Actually, it's Paris.",
    "It's Paris. Actually, it's also the largest city.",
    "It's Paris. Paris is not small.",
    "Paris. No doubt about it.",
    "No doubt it's Paris.",
    "None other than Paris.",
    "It didn't move until they chose Paris.",
    "Rather than Lyon, it's Paris.",
    "Many people say Lyon, but it's Paris.",
    "If you mean France, it's Paris.",
    "Jon says Lyon. It's Paris, so he is wrong.",
    "Sorry, I misheard you. It's Paris.",
    "It's Paris. Sorry, I can't say more.",
    "It's Paris. Wait for me there!",
    "Paris does not sleep.",
    "Paris, I believe, though some say Lyon.",
    "I say Paris, but ask Jon too.",
    "I think Paris, but do look it up.",
    "So, and this is easy, it's Paris, right?",
    "Paris has no equal.",
    "If you had asked me earlier I would have said Paris.",
    "Paris. No.",
    "Paris, actually, not Lyon.",
    "Paris, actually, mate.",
    "It's Paris. No, really?",
    "It's Paris. Or was it, no, wait?",
]


@pytest.mark.parametrize("text", STATED)
def test_an_answer_that_states_the_phrase_passes(text: str) -> None:
    assert misses(text, any_of=("Paris",)) == []


MENTIONED = [
    "I have no idea.",
    "Not Paris.",
    "It is not Paris.",
    "It isn't Paris.",
    "It isn’t Paris.",
    "It is definitely not Paris.",
    "I do not think that the capital of France is Paris.",
    "It's not Paris but Lyon.",
    "Neither Lyon nor Paris.",
    "Paris is not the capital.",
    "Paris isn't the capital, Lyon is.",
    "Paris is wrong.",
    "Paris was never the capital.",
    "It is wrong to say Paris.",
    "Rather than Paris, it's Lyon.",
    "It's Lyon instead of Paris.",
    "It's Lyon rather than Paris.",
    "Any city other than Paris.",
    "Is it Paris?",
    "Could it be Paris?",
    "Do you mean Paris, or something else?",
    "I don't know if it is Paris.",
    "I'm not sure whether it's Paris.",
    "I doubt it is Paris.",
    "I have no idea if it's Paris or Lyon.",
    "Paris... no, Lyon.",
    "Paris. No, wait, it's Lyon.",
    "It's Paris. Actually, it's Lyon.",
    "It's Paris. Actually, Lyon.",
    "It's Paris. I mean Lyon.",
    "It's Paris, sorry, it's Lyon.",
    "It's Paris. Scratch that, Lyon.",
    "You might say Paris. It's not Paris.",
    "Many people say Paris, but it's Lyon.",
    "I said Paris, but Paris is not correct.",
    "The comparison with Parisian cafés is fair.",
    "Comparisons are hard.",
    "It is without Paris.",
    "Paris can't be it.",
    "Paris is really not it.",
    "Paris was not.",
    "Paris is simply wrong.",
    "They say Paris, but it's Lyon.",
    "Jon thinks it's Paris, however it's Lyon.",
    "And is it, well, Paris, or Lyon?",
    "If it's Paris I will be surprised.",
    "It's Paris. No, wait... Lyon.",
    "Paris? Lyon?",
]


@pytest.mark.parametrize("text", MENTIONED)
def test_an_answer_that_only_mentions_the_phrase_is_a_miss(text: str) -> None:
    assert misses(text, any_of=("Paris",)) == ['does not state "Paris"']


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("São Paulo", "It's SAO PAULO."),
        ("Zürich", "Das ist Zurich."),
        ("New York", "It's New-York, of course."),
        ("Washington, D.C.", "It's Washington DC."),
        ("Washington DC", "It's Washington, D.C."),
        ("mother's recipe", "It's your Mother’s recipe."),
        ("9. April", "Am 9. April."),
        ("16:20", "It's 16:20 now."),
        ("10½", "A 10½, wide fit."),
        ("H2O", "It's H₂O."),
        ("42", "It's forty-two."),
        ("1.16", "It's one point one six."),
        ("東京", "それは東京です。"),
        ("दिल्ली", "राजधानी दिल्ली है।"),
        ("Ｐaris", "Paris."),
        ("couldn't find", "I'm sorry, I couldn't find it."),
        ("doesn't eat fish", "Better not, because Theo doesn't eat fish."),
        ("no fish", "There is no fish for Theo."),
    ],
)
def test_phrases_are_compared_as_they_are_heard(phrase: str, text: str) -> None:
    assert misses(text, any_of=(phrase,)) == []


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("Paris", "Nicht Paris."),
        ("Paris", "Es ist nicht Paris, sondern Lyon."),
        ("Paris", "Paris ist nicht die Hauptstadt."),
        ("Paris", "Ce n'est pas Paris."),
        ("Paris", "Paris n'est pas la capitale."),
        ("París", "No es París."),
        ("París", "París no es la capital."),
        ("Parigi", "Non è Parigi."),
        ("東京", "東京ではありません。"),
        ("東京", "東京ですか？"),
        ("दिल्ली", "दिल्ली नहीं है।"),
        ("巴黎", "不是巴黎。"),
    ],
)
def test_negation_in_other_languages_is_seen(phrase: str, text: str) -> None:
    assert misses(text, any_of=(phrase,)) != []


@pytest.mark.parametrize("text", ["No, es París.", "Nein, es ist París.", "No es Lyon, sino París.", "¡París!"])
def test_a_correction_in_other_languages_states_the_answer(text: str) -> None:
    assert misses(text, any_of=("París",)) == []


def test_all_of_none_of_and_any_of() -> None:
    assert misses("Margot and Theo.", all_of=("Margot", "Theo")) == []
    assert misses("Margot, not Theo.", all_of=("Margot", "Theo")) == ['does not state "Theo"']
    assert misses("It's Lyon.", any_of=("Paris", "Lyon")) == []
    assert misses("It's Nice.", any_of=("Paris", "Lyon")) == ['does not state any of "Paris", "Lyon"']
    assert misses("Amir is the shortest.", none_of=("Amir is the shortest",)) == ['states "Amir is the shortest"']
    assert misses("It's Carlos, not Amir.", any_of=("Carlos",), none_of=("Amir",)) == []
    assert misses("Jane.", any_of=("Austen",), all_of=("Jane", "Emma"), none_of=("Jane",), number=3) != []


@pytest.mark.parametrize("text", [None, "", "\u200b\n"])
def test_no_answer_is_a_miss(text: str | None) -> None:
    assert misses(text, any_of=("Paris",)) == ["no answer: an empty reply"]
    assert misses(text, none_of=("Paris",)) == ["no answer: an empty reply"]


def test_what_came_in_place_of_an_answer_is_told() -> None:
    def found(exchange: Exchange) -> list[tuple[str, str]]:
        return [(one.reason, one.excerpt) for one in find(sample(exchange))]

    paris = AnswerExpectation(any_of=("Paris",))
    called = reply(None, calls=[call("book", {"day": "Monday"})], answer=paris)
    assert found(called) == [("no answer: calls book instead", '{"day": "Monday"}')]
    nameless = reply(" ", calls=[call(None, {})], answer=paris)
    assert found(nameless) == [("no answer: calls a nameless tool instead", "{}")]
    assert found(reply("", reasoning="It is Paris.", answer=paris)) == [("no answer: only reasoning", "It is Paris.")]


RIGHT = [
    (42, "42."),
    (42, "It's 42.0."),
    (42, "Forty-two."),
    (42, "It is forty two, I think."),
    (105, "One hundred and five."),
    (12, "A dozen."),
    (150, "You'd have covered a hundred and fifty miles."),
    (1234, "It's 1,234 people."),
    (0.5, "Half of it."),
    (0.5, "It's 50%."),
    (50, "It's 50 percent."),
    (0.5, "It's 50 percent."),
    (0.5, "It's fifty percent."),
    (0.75, "Three quarters."),
    (2.5, "Two and a half hours."),
    (3.5, "At half past three."),
    (1945, "Nineteen forty-five."),
    (-5, "It's minus five degrees."),
    (-5, "It's five degrees below zero."),
    (0, "There are none."),
    (1, "Just one."),
    (1, "The earth has one moon, 384,400 kilometres away."),
    (42, "Not 41, it's 42."),
    (42, "It's 41... no, wait, 42."),
    (42, "So the answer is 42."),
    (42, "6 times 7 is 42."),
    (42, "42, because 6 times 7 is 42 and 6 times 6 is only 36."),
    (42, "First we get 36. Then we add 6, which gives 42."),
    (42, "The answer is 42. You can check it: 40 plus 2."),
    (42, "It's 42 (and not the 41 that the book says)."),
    (330, "It's 330 metres tall. It was built in 1889."),
    (7, "There are 7 days in a week. That's 168 hours."),
    (42, "That's 42, isn't it great?"),
    (8849, "It's about 8,849 metres, or 29,032 feet."),
    (42.195, "A marathon is 42.195 kilometres, or 26.2 miles."),
    (100, "Water boils at 100 degrees Celsius, which is 212 degrees Fahrenheit."),
    (1945, "It ended in 1945, on September 2."),
    (1945, "It ended on 2 September 1945."),
    (1969, "On July 20, 1969."),
    (8, "Eight. Spiders have eight legs, unlike insects, which have six."),
    (8, "Spiders have eight legs, unlike insects, which have six."),
    (366, "There are 366 days in a leap year, one more than the usual 365."),
    (15, "It's a 15 minute drive, about 10 miles."),
    (4, "You need four boxes: three would only give you eighteen."),
    (8, "From 9 to 5 is 8 hours."),
    (150, "One hundred and fifty (150)."),
    (10, "It's 3 pm in London, so it's 10 am in New York."),
]


@pytest.mark.parametrize(("number", "text"), RIGHT)
def test_the_number_that_an_answer_comes_to_is_read(number: float, text: str) -> None:
    assert misses(text, number=number) == []


WRONG = [
    (42, "Many."),
    (42, "It's 41."),
    (42, "It's not 42."),
    (42, "Is it 42?"),
    (42, "It's 42. No, wait, it's 43."),
    (42, "It's 42, sorry, I mean 43."),
    (42, "It's 42. Actually, it's 43."),
    (42, "First we get 42. Then we add 3, which gives 45."),
    (42, "It is 42. It is 45."),
    (42, "It's 42, so that makes 45 in total."),
    (42, "It could be 41, 42 or 43."),
    (42, "It's 41 or 42."),
    (42, "Between 42 and 45."),
    (42, "About 42 to 45."),
    (42, "42-45"),
    (42, "Candidates: 40, 41, 42, 43."),
    (42, "Maybe 40. Maybe 41. Maybe 42."),
    (42, "It's 420."),
    (42, "It's 4.2."),
    (42, "It's 1,042."),
    (42, "I don't know if it's 42."),
    (-5, "It's five degrees."),
    (5, "It's minus five degrees."),
    (42, "That is 42 apples, so that makes 45."),
    (42, "You have 42 apples. No, 45."),
    (5, "Five, I think, maybe six."),
    (1, "This is the one thing I cannot tell, maybe seven."),
]


@pytest.mark.parametrize(("number", "text"), WRONG)
def test_another_number_or_several_are_a_miss(number: float, text: str) -> None:
    assert len(misses(text, number=number)) == 1


@pytest.mark.parametrize(
    ("number", "question", "text"),
    [
        (
            8,
            "My brother says spiders have six legs. How many?",
            "Spiders have eight legs. It's insects that have six.",
        ),
        (
            4,
            "Twenty eggs, boxes of six. How many boxes?",
            "You need four boxes, and you'll have a few eggs left over.",
        ),
        (4, "Twenty eggs, boxes of six. How many boxes?", "Four boxes, which gives you twenty-four eggs."),
        (50, "Eighty quid, 25% off, ten pound voucher?", "Fifty pounds, because the sale takes it down to sixty."),
        (
            50,
            "Eighty quid, 25% off, ten pound voucher?",
            "You'd pay £50. With the sale it's £60, and the voucher does the rest.",
        ),
        (50, "Eighty quid, 25% off, ten pound voucher?", "The sale takes it down to sixty, and the voucher to fifty."),
        (
            150,
            "Sixty miles an hour for two and a half hours?",
            "At sixty you cover 150 miles in two and a half hours.",
        ),
        (5, "I have 3 apples and buy 2. How many?", "You have 5 apples. You started with 3 and bought 2."),
        (7, "How many days has a week?", "Seven. That is 168 hours."),
        (3, "Is 3 prime, and how many divisors below 9 has 9?", "It has 3."),
    ],
)
def test_the_numbers_of_the_question_are_not_the_answer(number: float, question: str, text: str) -> None:
    assert misses(text, user=question, number=number) == []


def test_a_later_number_in_the_unit_that_was_asked_for_overrides() -> None:
    assert misses("Seven. That is 8 days.", user="How many days?", number=7) == ["comes to 8, not to 7"]
    assert misses("Seven. That is 8 days.", user="How many?", number=7) == []


def test_more_than_fifty_numbers_are_a_table() -> None:
    fifty = ". ".join(f"{number} of it" for number in range(100, 149))
    assert misses(f"7 apples. {fifty}.", number=7) == []
    assert misses(f"7 apples. {fifty}. 149 of it.", number=7) == ["states more than 50 numbers"]


@pytest.mark.parametrize(
    "answer", ["Maybe 40.", "It might be 40.", "It could be 40.", "40, perhaps.", "More than 40."]
)
def test_a_guess_and_a_bound_are_no_answer(answer: str) -> None:
    assert misses(answer, number=40) != []
    assert misses("It's 40, which might surprise you.", number=40) == []


def test_a_tolerance_is_kept() -> None:
    assert misses("About 330 metres.", number=324, tolerance=10) == []
    assert misses("About 340 metres.", number=324, tolerance=10) != []
    assert misses("It's 3.14.", number=3.14159, tolerance=0.01) == []


def test_separators_mean_what_they_mean_in_the_language() -> None:
    assert misses("Es sind 1.234 Leute.", language="de", number=1234) == []
    assert misses("Es sind 3,5 Kilo.", language="de-DE", number=3.5) == []
    assert misses("It is 1.234.", number=1234) != []


def test_each_exchange_is_judged_by_its_own_expectation() -> None:
    first = reply("It's Oslo.", answer=AnswerExpectation(any_of=("Oslo",)))
    second = reply("It's Oslo.", answer=AnswerExpectation(any_of=("Stockholm",)), turn=1)
    assert [finding.exchange for finding in find(sample(first, second, reply("Oslo.")))] == [1]


def test_the_finding_quotes_what_was_said_instead() -> None:
    (finding,) = find(sample(reply("I think it is 43.", answer=AnswerExpectation(number=42))))
    assert "43" in finding.excerpt
    assert finding.reason == "does not state 42, but 43"


@given(st.integers(0, 9999))
def test_every_number_is_read_back_from_digits(number: int) -> None:
    assert misses(f"It is {number}.", number=number) == []
    assert misses(f"It is {number:,}.", number=number) == []
    assert misses(f"It is {number + 1}.", number=number) != []


TEENS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
SMALL = f"{TEENS} seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def spelled(number: int) -> str:
    small, tens = SMALL.split(), TENS.split()
    if number < 20:
        return small[number]
    if number < 100:
        return tens[number // 10 - 2] + (f"-{small[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{small[number // 100]} hundred" + (f" and {spelled(number % 100)}" if number % 100 else "")
    thousands, rest = divmod(number, 1000)
    joint = " and " if 0 < rest < 100 else " "
    return f"{spelled(thousands)} thousand" + (f"{joint}{spelled(rest)}" if rest else "")


@given(st.integers(0, 999_999))
def test_every_number_is_read_back_from_words(number: int) -> None:
    assert misses(f"It is {spelled(number)}.", number=number) == []


@given(
    st.none() | st.text(max_size=120),
    st.lists(st.text(max_size=12), max_size=2).map(tuple),
    st.none() | st.floats(allow_nan=False),
    st.text(max_size=40),
)
def test_no_text_raises(content: str | None, phrases: tuple[str, ...], number: float | None, question: str) -> None:
    misses(content, user=question, any_of=phrases, none_of=phrases, number=number)


PIECES = [
    "Paris",
    " ",
    "not ",
    "is ",
    "no, ",
    "5",
    ",",
    ".",
    "half ",
    "a ",
    "past ",
    "minus ",
    "?",
    "1/2",
    "oh ",
    "point ",
    "%",
]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_mixture_raises(text: str) -> None:
    misses(text, any_of=("Paris",), number=5)
    misses(text, language="de", any_of=("Paris",), number=5)


@pytest.mark.parametrize("piece", ["not Paris. ", "5, ", "no, ", "Paris? ", "(5 ", "1 000 "])
def test_the_time_is_linear_in_the_text(piece: str) -> None:
    assert growth_by_text(lambda text: misses(text, any_of=("Paris",), number=5), piece) < LINEAR


@pytest.mark.parametrize("piece", ["Paris ", "Paris so ", "so the capital ", "Rome, and ", "A", "Aa ", "it is, "])
def test_the_time_is_linear_in_the_text_where_clauses_are_told_apart(piece: str) -> None:
    asked = "Which town is the capital of France, yes or no?"
    assert growth_by_text(lambda text: misses(text, user=asked, any_of=("Paris", "yes")), piece) < LINEAR

"""Generates quizzes: several questions in a row, chosen so that all facts and sums occur equally often.

With random choice the rarest of the 462 sums and differences would occur a tenth as often as the most frequent one,
and not at all in a thousand conversations. Quizzes go through the complete list repeatedly: after n passes every item
has occurred n times, in the wordings of single questions, alternately bare and as a story.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from random import Random

from research.annie_smol.generator import facts, facts_table, lexicon, reasoning, sums
from research.annie_smol.generator.request import AnsweredRequest

#: numbers of questions per quiz, in turn; at most five exchanges come before a request
SIZES = (3, 4, 5, 6)

_Item = Callable[[Random, int], AnsweredRequest]


def _sum(problem: sums.Sum, rng: Random, turn: int) -> AnsweredRequest:
    return (sums.bare if turn % 2 == 0 or 0 in problem else sums.story)(rng, problem)


def _double(n: int, rng: Random, turn: int) -> AnsweredRequest:
    return sums.double(rng, n, story=turn % 2 == 1)


def _half(n: int, rng: Random, turn: int) -> AnsweredRequest:
    return sums.half(rng, n, story=turn % 2 == 1)


def _dozen(half: bool, rng: Random, turn: int) -> AnsweredRequest:
    return sums.dozen(rng, half=half)


def _numbers(place: int, rng: Random, turn: int) -> AnsweredRequest:
    return reasoning.compare_numbers(rng, small=(place + turn) % 3 == 0)


def _things(rng: Random, turn: int) -> AnsweredRequest:
    return reasoning.comparison(rng, things=True)


def _other(family: Callable[..., AnsweredRequest], value: object, rng: Random, turn: int) -> AnsweredRequest:
    return family(rng, value)


@cache
def items() -> tuple[_Item, ...]:
    """All items of the domain, as functions of a random generator and the number of the pass."""
    found: list[_Item] = [partial(_sum, problem) for problem in sums.TABLE]
    found += [partial(_double, n) for n in range(1, 11)]
    found += [partial(_half, n) for n in range(2, 21, 2)]
    found += [partial(_dozen, half) for half in (True, False)]
    found += [partial(_numbers, place) for place in range(60)]  # of 5,050 pairs: others in each pass
    found += [_things] * 40  # likewise
    others: list[tuple[Callable[..., AnsweredRequest], Sequence[object]]] = [
        (reasoning.calendar, reasoning.CALENDAR),
        (reasoning.comparison, reasoning.PAIRS),
        (facts.capital, sorted(lexicon.CAPITALS)),
        (partial(facts.capital, backwards=True), sorted(lexicon.CAPITALS)),
        (partial(facts.young, backwards=True), sorted(facts_table.YOUNG)),
        (facts.table, facts_table.TABLE),
        (facts.young, sorted(facts_table.YOUNG)),
        (facts.colour, sorted(facts_table.COLOURS)),
        (facts.opposite, sorted(facts_table.OPPOSITES | facts_table.BOTH_WAYS)),
    ]
    found += [partial(_other, family, value) for family, values in others for value in values]
    return tuple(found)


@cache
def _deck(turn: int) -> tuple[int, ...]:
    order = list(range(len(items())))
    Random(f"deck/{turn}").shuffle(order)
    return tuple(order)


def quiz(rng: Random, number: int) -> list[AnsweredRequest]:
    """The questions of the `number`-th quiz: the next items of the list."""
    round_, place = divmod(number, len(SIZES))
    first = round_ * sum(SIZES) + sum(SIZES[:place])
    dealt = []
    for card in range(first, first + SIZES[place]):
        turn, index = divmod(card, len(items()))
        dealt.append(items()[_deck(turn)[index]](rng, turn))
    return dealt

"""Fills freely worded templates of arithmetic and comparisons with numbers and things: `data/spoken/frames.tsv`.

A line is `operation TAB prompt`; a language model wrote the prompts one by one from docs/annie-smol-domain.md (those
of larger, smaller and things with knowledge of the grammar). Each is filled several times; no numbers of an operation
are repeated before all have been used. The reply repeats the numbers before the result, like the grammar's replies.

    add, sub                {a} plus or minus {b}, a story: numbers and result from 2 to 20
    add-bare, sub-bare      the same bare: from 0 to 20
    double, half            of {a}: 2 to 10, and even numbers from 2 to 20
    larger, smaller         which of the numbers {a} and {b}, up to 100; a tenth of all pairs
    things                  which of {a} and {b} is {word}
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from research.annie_smol.generator import lexicon
from research.annie_smol.generator.grammar import sentence
from research.annie_smol.generator.reasoning import SCALES
from research.annie_smol.study import tables

Filling = tuple[dict[str, str], str, str]  # slots, reply, thought

_STORY = [(a, b) for a in range(2, 19) for b in range(2, 21 - a)]
_BARE = [(a, b) for a in range(21) for b in range(21 - a)]
_NUMBERS = [(a, b) for a in range(101) for b in range(a)]
# (word, more, less): neighbours on a scale differ too little, except for the last two
_THINGS = [
    (word, scale[above], scale[below])
    for words, scale in SCALES
    for word in words
    for below in range(len(scale) - 1)
    for above in range(min(below + 2, len(scale) - 1), len(scale))
]
TIMES = {"add": 7, "sub": 7, "add-bare": 10, "sub-bare": 10, "double": 9, "half": 10, "larger": 24, "smaller": 24,
         "things": 30}  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")
_STRAY = re.compile(r"\{(?!\w+\})|(?<!\w)\}")
_START = re.compile(r"(?:^|[.?!]\s)\s*[a-z]")


def _two(deck: list[tuple[int, int]], sign: str) -> Callable[[Random], Iterator[Filling]]:
    def fillings(rng: Random) -> Iterator[Filling]:
        for low, other in _dealt(rng, deck):
            first, result = (low, low + other) if sign == "plus" else (low + other, low)
            a, b, r = (lexicon.in_words(number) for number in (first, other, result))
            slots = {"a": a, "b": b} if rng.random() < 0.75 else {"a": str(first), "b": str(other)}
            yield slots, f"{a} {sign} {b} is {r}.", f"This is {a} {sign} {b}."

    return fillings


def _one(numbers: range, word: str) -> Callable[[Random], Iterator[Filling]]:
    def fillings(rng: Random) -> Iterator[Filling]:
        for (number,) in _dealt(rng, [(n,) for n in numbers]):
            result = lexicon.in_words(2 * number if word == "double" else number // 2)
            word_of_number = lexicon.in_words(number)
            of = "" if word == "double" else "of "
            slots = {"a": word_of_number if rng.random() < 0.75 else str(number)}
            yield slots, f"{word} {of}{word_of_number} is {result}.", f"This is {word} {of}{word_of_number}."

    return fillings


def _numbers(word: str, least: bool) -> Callable[[Random], Iterator[Filling]]:
    def fillings(rng: Random) -> Iterator[Filling]:
        for more, less in _dealt(rng, _NUMBERS):
            say = str if rng.random() < 0.5 else lexicon.in_words
            most, other = (say(less), say(more)) if least else (say(more), say(less))
            a, b = rng.sample([most, other], 2)
            yield {"a": a, "b": b}, f"{most} is {word} than {other}.", f"Two numbers, {a} and {b}."

    return fillings


def _things(rng: Random) -> Iterator[Filling]:
    for word, more, less in _dealt(rng, _THINGS):
        a, b = rng.sample([more, less], 2)
        yield {"a": a, "b": b, "word": word}, f"{more} is {word} than {less}.", f"I compare {a} and {b}."


def _dealt(rng: Random, deck: list[Any]) -> Iterator[Any]:
    """Endlessly yields the items in shuffled order, shuffled again after each pass."""
    while True:
        yield from rng.sample(deck, len(deck))


FILL: dict[str, Callable[[Random], Iterator[Filling]]] = {
    "add": _two(_STORY, "plus"), "sub": _two(_STORY, "minus"),
    "add-bare": _two(_BARE, "plus"), "sub-bare": _two(_BARE, "minus"),
    "double": _one(range(2, 11), "double"), "half": _one(range(2, 21, 2), "half"),
    "larger": _numbers("larger", least=False), "smaller": _numbers("smaller", least=True),
    "things": _things,
}  # fmt: skip


def filled(directory: Path) -> Iterator[tuple[str, str, str]]:
    """(prompt, reply, thought) for each template of `frames.tsv`, filled TIMES times; deterministic.

    Raises:
        SystemExit: like `tables.rows`, or a line with an unknown operation or wrong slots.
    """
    fillings = {name: fill(Random(f"frames/{name}")) for name, fill in FILL.items()}
    for _, number, (operation, frame) in tables.rows(directory, {"frames": 2}):
        if operation not in FILL:
            raise SystemExit(f"{directory / 'frames.tsv'}:{number}: {operation}: no operation; {', '.join(FILL)} are")
        for slots, reply, thought in itertools.islice(fillings[operation], TIMES[operation]):
            if sorted(_SLOT.findall(frame)) != sorted(slots) or _STRAY.search(frame):
                raise SystemExit(f"{directory / 'frames.tsv'}:{number}: needs {', '.join(slots)} in braces, each once")
            order = list(slots.values())  # a sum is repeated in the order of the prompt
            if operation.startswith("add") and frame.index("{b}") < frame.index("{a}"):
                order.reverse()
            prompt = frame.format(**dict(zip(slots, order, strict=True)))
            yield _START.sub(lambda found: found[0].upper(), prompt), sentence(reply, ""), sentence(thought, "")

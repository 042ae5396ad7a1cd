"""Generates sums and differences up to 20 (bare or as a story), doubles, halves and dozens."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

import re
from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("sums")
_ONE: dict[str, str] = _TABLES["one"]


def _number(rng: Random, number: int) -> str:
    return lex.in_words(number) if rng.random() < 0.75 else str(number)


#: (word, first, second): all sums and differences with numbers and results between 0 and 20
TABLE = [("plus", a, b) for a in range(21) for b in range(21 - a)]
TABLE += [("minus", a, b) for a in range(21) for b in range(a + 1)]
Sum = tuple[str, int, int]


def _draw(rng: Random) -> Sum:
    """A random entry of the table; small numbers and zero are less frequent than their share."""
    total = rng.randint(2, 20)
    a = rng.randint(0 if rng.random() < 0.1 else 1, total)
    return ("plus", a, total - a) if rng.random() < 0.5 else ("minus", total, total - a)


def _result(problem: Sum) -> int:
    word, x, y = problem
    return x + y if word == "plus" else x - y


def _restated(problem: Sum) -> str:
    """The problem and its result. Repeating the numbers first helps a small model to compute the result."""
    word, x, y = problem
    return f"{lex.in_words(x)} {word} {lex.in_words(y)} is {lex.in_words(_result(problem))}"


def bare(rng: Random, problem: Sum | None = None) -> AnsweredRequest:
    """`What's six plus four?`"""
    word, x, y = problem = problem or _draw(rng)
    result = _result(problem)
    if word == "plus":
        patterns = [
            "(what is|what's|how much is) {x} plus {y}",
            "(what is|what's|how much is) {x} and {y}",
            "{x} plus {y}",
            "{x} and {y} (make|makes|is) (what|how much|how many)",
            "(add|can you add) {x} and {y} [for me|together]",
            "(what do|how much do) {x} and {y} (make|come to) [together]",
            "what do you get (if|when) you add {x} (and|to) {y}",
            "(work out|tell me) {x} plus {y}",
            "{x} plus {y} is (what|how much)",
            "what('s| is) the sum of {x} and {y}",
            "add {x} to {y}",
            "(give me|tell me) the sum of {x} and {y}",
            "{x} and {y} together",
            "{x} more than {y} (is|makes) (what|how much)",
        ]
    else:
        patterns = [
            "(what is|what's|how much is) {x} minus {y}",
            "(what is|what's) {x} less {y}",
            "{x} minus {y}",
            "{x} take away {y}",
            "(what is|what's|how much is) {x} take away {y}",
            "take {y} [away] from {x}",
            "what('s| is) left (if|when) (you|I) take {y} (from|away from) {x}",
            "(work out|tell me|can you tell me) {x} minus {y}",
            "{x} minus {y} is (what|how much)",
            "what('s| is) the difference between {x} and {y}",
            "how much is left of {x} without {y}",
            "(subtract|can you subtract) {y} from {x}",
            "{y} (less than|from) {x} (is|makes) (what|how much)",
            "if (you|I) have {x} and take away {y}, what('s| is) left",
        ]
    digits = rng.random() < 0.35
    sx, sy = (str(x), str(y)) if digits else (lex.in_words(x), lex.in_words(y))
    user = pick(rng, patterns, x=sx, y=sy)
    if digits and rng.random() < 0.35:
        sign = "+" if word == "plus" else "-"
        user = pick(
            rng,
            [
                "what is {x} {s} {y}",
                "{x} {s} {y}",
                "{x}{s}{y}",
                "what's {x} {s} {y}",
                "{x} {s} {y} =",
                "how much is {x} {s} {y}",
                "can you do {x} {s} {y}",
            ],
            x=sx,
            y=sy,
            s=sign,
        )
    reply = _restated(problem)
    thought = pick(
        rng,
        ["A sum: {x} {word} {y}.", "{x} {word} {y}. That is easy.", "This asks for {x} {word} {y}.",
         "A small sum, no tool needed."],
        x=lex.in_words(x), word=word, y=lex.in_words(y),
    )  # fmt: skip
    asks = not user.startswith(("add", "take", "work", "tell"))
    again = (("which numbers did I give you", f"You gave me {lex.in_words(x)} and {lex.in_words(y)}."),)
    return AnsweredRequest(
        "reasoning.sum", user, sentence(reply), sentence(thought), question=asks, again=again
    ).stating(number=result)


# {a} is the first amount, {b} is added or taken away
_MORE: list[str] = _TABLES["more"]
_BIRDS_MORE: list[str] = _TABLES["birds_more"]
_FRIENDS_MORE = [
    "{a} friends (are here|are at the party|sit at the table) and {b} more (come|arrive), how many [friends] are (there|here) [now]",
]
_LESS: list[str] = _TABLES["less"]
_EAT: list[str] = _TABLES["eat"]
_BREAK: list[str] = _TABLES["break"]
_BIRDS_LESS: list[str] = _TABLES["birds_less"]
_FRIENDS_LESS: list[str] = _TABLES["friends_less"]


def story(rng: Random, problem: Sum | None = None) -> AnsweredRequest:
    """The same problem as a story; neither number is zero."""
    while problem is None or 0 in problem:
        problem = _draw(rng)
    word, first, second = problem
    result = _result(problem)
    things = rng.choice(sorted(_ONE))
    if word == "plus":
        patterns = {"birds": _BIRDS_MORE, "friends": _FRIENDS_MORE}.get(things, _MORE)
    elif things in {"birds", "friends"}:
        patterns = _BIRDS_LESS if things == "birds" else _FRIENDS_LESS
    elif things in {"apples", "biscuits", "eggs"}:
        patterns = _EAT + _LESS
    else:
        patterns = _BREAK + _LESS if things == "cups" else _LESS
    name = rng.choice(lex.NAMES)
    saying = (lambda n: str(n)) if rng.random() < 0.25 else lex.in_words
    user = pick(
        rng, patterns, a=saying(first), b=saying(second), things=_ONE[things] if first == 1 else things, name=name
    )
    user = _agreeing(user, first, second, things)
    left = f" {_ONE[things] if result == 1 else things}" if result else ", so none are left"
    thought = pick(
        rng,
        ["A little story with numbers: {a} {sign} {b}.", "I count: {a} {sign} {b}.", "This is {a} {sign} {b}.",
         "{things}, {a} {sign} {b}."],
        a=lex.in_words(first), b=lex.in_words(second), sign=word, things=things,
    )  # fmt: skip
    made = AnsweredRequest("reasoning.story", user, sentence(_restated(problem) + left), sentence(thought))
    return made.stating(number=result) if result else made


def _agreeing(user: str, first: int, second: int, things: str) -> str:
    """Adapt verbs and nouns to the number one."""
    one = _ONE[things]
    swaps: list[tuple[str, str]] = []
    if first == 1:
        swaps += [(rf"more {one}\b", f"more {things}"), (rf"how many {one}\b", f"how many {things}")]
        swaps += [("there are (one|1)\\b", r"there is \1"), ("there were (one|1)\\b", r"there was \1")]
        swaps += [(rf"\b(one|1) {things}\b", rf"\1 {one}")]
        swaps += [(rf"^(one|1) {one} are\b", rf"\1 {one} is"), (rf"^(one|1) {one} sit\b", rf"\1 {one} sits")]
    if second == 1:
        swaps += [
            (rf"\b(one|1) (more )?{verb}\b", rf"\1 \2{verb.replace('are', 'is') if ' ' in verb else verb + 's'}")
            for verb in ("come", "arrive", "join", "break", "leave", "are gone", "are missing")
        ]
        swaps += [
            (r"\b(one|1) fly", r"\1 flies"),
            (r"\b(one|1) go home", r"\1 goes home"),
            (r"\b(one|1) fall down", r"\1 falls down"),
        ]
        swaps += [
            (r"\b(one|1) of ((?:\w|-)+ birds) fly", r"\1 of \2 flies"),
            (rf"\b(one|1) more {things}", rf"\1 more {one}"),
        ]
    for pattern, replacement in swaps:
        user = re.sub(pattern, replacement, user)
    return user


_GOODS = sorted(_ONE.keys() - {"birds", "friends"})  # things that can be bought and given away
_DOUBLE: list[str] = _TABLES["double"]
_DOUBLE_STORY: list[str] = _TABLES["double_story"]
_HALF: list[str] = _TABLES["half"]
_HALF_STORY: list[str] = _TABLES["half_story"]


def dozen(rng: Random, *, half: bool) -> AnsweredRequest:
    """A dozen, or half of one."""
    if half:
        user = pick(rng, ["what('s| is) half a dozen", "how many (is|are) half a dozen", "half a dozen (is|are|means) how many",
                          "how many eggs are [in] half a dozen", "if I buy half a dozen eggs, how many (do I get|are that)"])  # fmt: skip
        return AnsweredRequest("reasoning.dozen", user, "Half a dozen is six.", "Half of a dozen.").stating(number=6)
    user = pick(
        rng,
        ["how many (is|are|are in|make) a dozen", "how many eggs are (in a dozen|a dozen)", "what number is a dozen",
         "a dozen (is|means|are) how many", "what('s| is) a dozen", "if I buy a dozen eggs, how many (do I get|are that)"],
    )  # fmt: skip
    made = AnsweredRequest("reasoning.dozen", user, "A dozen is twelve.", "A dozen. That is a fixed number.")
    return made.stating(number=12)


def double(rng: Random, n: int, *, story: bool | None = None) -> AnsweredRequest:
    """Twice a number from 1 to 10."""
    told = rng.random() < 0.3 if story is None else story
    things = rng.choice(_GOODS)
    counted = _ONE[things] if n == 1 else things
    user = pick(rng, _DOUBLE_STORY if told else _DOUBLE, n=_number(rng, n), things=counted, name=rng.choice(lex.NAMES))
    reply = f"Double {lex.in_words(n)} is {lex.in_words(2 * n)}."
    asks = not user.startswith("double")
    made = AnsweredRequest("reasoning.double", user, reply, f"The double of {lex.in_words(n)}.", question=asks)
    return made.stating(number=2 * n)


def half(rng: Random, n: int, *, story: bool | None = None) -> AnsweredRequest:
    """Half of an even number up to 20."""
    told = rng.random() < 0.45 if story is None else story
    user = pick(rng, _HALF_STORY if told else _HALF, n=_number(rng, n), things=rng.choice(_GOODS), name=rng.choice(lex.NAMES))  # fmt: skip
    reply = f"Half of {lex.in_words(n)} is {lex.in_words(n // 2)}."
    asks = not user.startswith(("cut", "split", "work", "tell"))
    made = AnsweredRequest("reasoning.half", user, reply, f"The half of {lex.in_words(n)}.", question=asks)
    return made.stating(number=n // 2)


def double_half(rng: Random) -> AnsweredRequest:
    """Doubles, halves and the dozen."""
    draw = rng.random()
    if draw < 0.14:
        return dozen(rng, half=draw > 0.08)
    if draw < 0.56:
        return double(rng, rng.randint(1, 10))
    return half(rng, 2 * rng.randint(1, 10))

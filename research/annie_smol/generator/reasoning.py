"""Generates small reasoning problems: sums, the day before or after, and which of two things is more."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest
from research.annie_smol.generator.sums import bare, double_half, story

#: (day or month, whether the question is about the next one)
CALENDAR = [(given, forward) for given in (*lex.DAYS, *lex.MONTHS) for forward in (True, False)]


def calendar(rng: Random, step: tuple[str, bool] | None = None) -> AnsweredRequest:
    """The day before and after, the month before and after."""
    if step is None:
        step = rng.choice(lex.MONTHS if rng.random() < 0.45 else lex.DAYS), rng.random() < 0.5
    given, forward = step
    months = given in lex.MONTHS
    names, unit = (lex.MONTHS, "month") if months else (lex.DAYS, "day")
    index = names.index(given)
    after, before = names[(index + 1) % len(names)], names[index - 1]
    if forward:
        patterns = ["(which|what) {unit} (comes|is) [right] after {given}", "what comes after {given}",
                    "(which|what) {unit} follows {given}", "what('s| is) the {unit} after {given}",
                    "(tell me|name) the {unit} after {given}", "after {given} comes (which|what) {unit}",
                    "when {given} is over, (which|what) {unit} (starts|is it|comes)",
                    "if (today|it) is {given}, what (is|will be) tomorrow", "today is {given}, what('s| is) tomorrow",
                    "what day is it tomorrow if today is {given}", "yesterday was {given}, what (is|day is) (today|it today)",
                    "if this month is {given}, what('s| is) next month", "it's {given} now, what('s| is) the next month",
                    "what('s| is) the next {unit} after {given}", "{given} is followed by (what|which {unit})"]  # fmt: skip
        value = after
        relation = "after"
    else:
        patterns = ["(which|what) {unit} (comes|is) [right|just] before {given}", "what comes before {given}",
                    "what('s| is) the {unit} before {given}", "(tell me|name) the {unit} before {given}",
                    "before {given} comes (which|what) {unit}",
                    "if (today|it) is {given}, what was yesterday", "today is {given}, what (was|day was) yesterday",
                    "what day was it yesterday if today is {given}", "tomorrow is {given}, what (is|day is) (today|it today)",
                    "if this month is {given}, what was last month", "it's {given} now, what was the (last|month before) month",
                    "(which|what) {unit} is just ahead of {given}"]  # fmt: skip
        patterns[10] = "it's {given} now, what was last month"
        value = before
        relation = "before"
    wrong = ("today", "tomorrow", "yesterday") if months else ("month",)
    fitting = [pattern for pattern in patterns if not any(word in pattern for word in wrong)]
    user = pick(rng, fitting, unit=unit, given=given)
    # The reply repeats the given part before the result, which is easier for a small model.
    reply = f"The {unit} {relation} {given} is {value}."
    thought = pick(
        rng,
        [
            "The {unit} {relation} {given}.",
            "A question about the order of the {unit}s.",
            "{given}, and the {unit} {relation} it.",
        ],
        unit=unit,
        relation=relation,
        given=given,
    )
    return AnsweredRequest(
        "reasoning.calendar", user, reply, sentence(thought), question=not user.startswith(("tell", "name"))
    ).stating(value)


_TABLES = table("reasoning")
#: (comparatives, things in ascending order); things two or more steps apart differ clearly
SCALES: list[tuple[tuple[str, ...], list[str]]] = [(tuple(words), things) for words, things in _TABLES["scales"]]
PAIRS: list[tuple[str, str, str]] = [(word, more, less) for word, more, less in _TABLES["pairs"]]


def compare_numbers(rng: Random, *, small: bool | None = None) -> AnsweredRequest:
    """Which of two numbers is more; with `small`, which is less."""
    a, b = rng.sample(range(101), 2)
    if small is None:
        small = rng.random() < 0.2
    word = rng.choice(["smaller", "less"] if small else ["bigger", "larger", "more", "greater"])
    most = min(a, b) if small else max(a, b)
    say = str if rng.random() < 0.5 else lex.in_words
    user = pick(
        rng,
        ["(which|what) is {word}, {a} or {b}", "is {a} or {b} {word}", "which number is {word}, {a} or {b}",
         "{a} or {b}, which is {word}", "what is {word}, {a} or {b}", "which of the two is {word}, {a} or {b}"],
        word=word, a=say(a), b=say(b),
    )  # fmt: skip
    low = max(a, b) if small else min(a, b)
    reply = f"{sentence(say(most), '')} is {word} than {say(low)}."
    # "Thirty-eight is more" also contains "eight is more".
    never = () if say(most).endswith(f"-{say(low)}") else _the_other(say(low), word)
    made = AnsweredRequest("reasoning.compare", user, reply, f"Two numbers, {say(a)} and {say(b)}.")
    return made.stating(say(most), never=never)


def _the_other(less: str, word: str) -> tuple[str, str]:
    """A phrase of a wrong (reversed) answer."""
    return f"{less} is {word}", f"{less} is the {word}"


def comparison(rng: Random, pair: tuple[str, str, str] | None = None, *, things: bool = False) -> AnsweredRequest:
    """Which of two things or, without `things`, numbers is more; `pair` is (comparative, more, less)."""
    if pair is None and not things and rng.random() < 0.3:
        return compare_numbers(rng)
    if pair is not None:
        word, more, less = pair
        if word == "bigger" and rng.random() < 0.35:
            word = "larger"
    elif rng.random() < 0.45:
        word, more, less = rng.choice(PAIRS)
    else:
        words, scale = rng.choice(SCALES)
        below = rng.randrange(len(scale) - 1)
        above = rng.randrange(min(below + 2, len(scale) - 1), len(scale))
        word, more, less = rng.choice(words), scale[above], scale[below]
    a, b = (more, less) if rng.random() < 0.5 else (less, more)
    user = pick(
        rng,
        ["(which|what) is {word}, {a} or {b}", "(which|what)'s {word}, {a} or {b}", "is {a} {word} than {b}",
         "is {a} or {b} {word}", "{a} or {b}, which is {word}", "which (one|of them|of the two) is {word}, {a} or {b}",
         "what is {word}, {a} or {b}", "tell me which is {word}, {a} or {b}", "between {a} and {b}, which is {word}",
         "which is the {word} one, {a} or {b}", "(say|guess), which is {word}, {a} or {b}", "I wonder which is {word}, {a} or {b}", "would you say {a} or {b} is {word}",
         "is {a} or is {b} the {word} [one] of the two", "put {a} beside {b}, which (is|looks) {word}", "we argue about {a} and {b}, which (is|one is) {word}"],
        word=word, a=a, b=b,
    )  # fmt: skip
    if word == "heavier" and rng.random() < 0.3:
        user = pick(rng, ["(what|which) weighs more, {a} or {b}", "does {a} weigh more than {b}"], a=a, b=b)
    if word in {"faster", "quicker"} and more not in {"a train", "a plane"} and rng.random() < 0.3:
        user = pick(
            rng, ["(who|what|which) (runs|moves|goes) faster, {a} or {b}", "who wins a race, {a} or {b}"], a=a, b=b
        )
    if word == "older" and rng.random() < 0.5:
        user = f"who is {word}, {a} or {b}"
    if user.startswith((f"is {a} {word} than", "does ")):
        reply = f"Yes, {a} is {word} than {b}." if a == more else f"No, {b} is {word} than {a}."
    else:
        reply = f"{more} is {word} than {less}."
    thought = pick(
        rng,
        ["I compare {a} and {b}.", "Two things: {a} and {b}.", "Which is {word}: {a} or {b}?"],
        a=a,
        b=b,
        word=word,
    )
    return AnsweredRequest(
        "reasoning.compare", user, sentence(reply), sentence(thought), question=not user.startswith("tell")
    ).stating(_bare(more), never=_the_other(_bare(less), word))


def _bare(thing: str) -> str:
    return thing.removeprefix("a ").removeprefix("an ").removeprefix("the ")


FAMILIES = {bare: 6, story: 6, double_half: 3, calendar: 4, comparison: 4}


def reasoning(rng: Random) -> AnsweredRequest:
    """One small problem."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)

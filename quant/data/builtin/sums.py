"""Sums and differences up to 20, bare or as a story, doubles, halves and the dozen."""
# ruff: noqa: E501 - a phrase is read best on one line, and a list of words as words

from random import Random

from quant.data.builtin import lexicon as lex
from quant.data.builtin.exchange import Exchange
from quant.data.builtin.grammar import pick, sentence

_ONE = {"apples": "apple", "biscuits": "biscuit", "eggs": "egg", "coins": "coin", "books": "book", "birds": "bird",
        "cups": "cup", "friends": "friend"}  # fmt: skip


def _said(rng: Random, number: int) -> str:
    return lex.in_words(number) if rng.random() < 0.75 else str(number)


def _count(number: int, things: str) -> str:
    if number == 0:
        return f"no {things}"
    return f"{lex.in_words(number)} {_ONE[things] if number == 1 else things}"


def _sum(rng: Random) -> tuple[int, int, int]:
    """Two numbers and their sum, all between 0 and 20."""
    total = rng.randint(2, 20)
    a = rng.randint(0 if rng.random() < 0.1 else 1, total)
    return a, total - a, total


def bare(rng: Random) -> Exchange:
    """`What's six plus four?`"""
    a, b, total = _sum(rng)
    if rng.random() < 0.5:
        x, y, result, word = a, b, total, "plus"
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
            "add {y} to {x}",
            "(give me|tell me) the sum of {x} and {y}",
            "{x} and {y} together",
            "{y} more than {x} (is|makes) (what|how much)",
        ]
    else:
        x, y, result, word = total, b, a, "minus"
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
    reply = rng.choice(
        [
            f"{lex.in_words(x)} {word} {lex.in_words(y)} is {lex.in_words(result)}.",
            f"{lex.in_words(x)} {word} {lex.in_words(y)} is {lex.in_words(result)}.",
            f"That's {lex.in_words(result)}.",
            f"That makes {lex.in_words(result)}.",
        ]
    )
    thought = pick(
        rng,
        ["A sum: {x} {word} {y}.", "{x} {word} {y}. That is easy.", "This asks for {x} {word} {y}.",
         "A small sum, no tool needed."],
        x=lex.in_words(x), word=word, y=lex.in_words(y),
    )  # fmt: skip
    asks = not user.startswith(("add", "take", "work", "tell"))
    again = (("which numbers did I give you", f"You gave me {lex.in_words(x)} and {lex.in_words(y)}."),)
    return Exchange("reasoning.sum", user, sentence(reply), sentence(thought), question=asks, again=again).stating(
        number=result
    )


# (pattern, answer); {a} is what there was, {b} what is added or taken, {they} and {them} the thing counted
_MORE = [
    (
        "I have {a} {things} and (buy|get|find|take) {b} more, how many [{things}] (do I have|have I got) [now]",
        "You have {n}.",
    ),
    (
        "there are {a} {things} (on the table|in the bag|in the box|here) and I (add|bring|put in) {b}, how many are there [now]",
        "There are {n}.",
    ),
    (
        "I (had|have) {a} {things} and {name} (gives|gave) me {b} [more], how many (do I have|is that|are there)",
        "You have {n}.",
    ),
    (
        "{name} has {a} {things} and (buys|gets|finds) {b} more, how many (does {name} have|is that) [now]",
        "{name} has {n}.",
    ),
    (
        "I (bought|got|found) {a} {things} (yesterday|in the morning) and {b} (today|now), how many (is that|do I have) [in all|together]",
        "You have {n}.",
    ),
    ("if I have {a} {things} and you (give|bring) me {b} [more], how many (do I have|is that)", "You have {n}."),
    ("{a} {things} and {b} more {things}, how many [is that|are there]", "That's {n}."),
    (
        "I put {a} {things} in one (box|bag|basket) and {b} in (another|the other), how many [are there] (in all|together)",
        "There are {n} in all.",
    ),
]
_BIRDS_MORE = [
    (
        "{a} birds sit (in the tree|on the roof|on the fence) and {b} more (come|arrive|join them), how many [birds] are there [now]",
        "There are {n}.",
    ),
    (
        "{a} birds are (in the garden|on the wall) and {b} (fly in|come), how many (are there|is that)",
        "There are {n}.",
    ),
]
_FRIENDS_MORE = [
    (
        "{a} friends (are here|are at the party|sit at the table) and {b} more (come|arrive), how many [friends] are (there|here) [now]",
        "There are {n}.",
    ),
]
_LESS = [
    (
        "I have {a} {things} and (lose|give away|sell) {b}, how many (are left|do I have left|have I got left)",
        "You have {n} left.",
    ),
    (
        "there (are|were) {a} {things} (on the table|in the bag|in the box|here) and I take {b} [away], how many are left",
        "There are {n} left.",
    ),
    (
        "I (had|have) {a} {things} and (gave|give) {name} {b}, how many do I (still have|have left|have now)",
        "You have {n} left.",
    ),
    (
        "{name} has {a} {things} and (loses|gives away) {b}, how many (are left|does {name} have left)",
        "{name} has {n} left.",
    ),
    ("of my {a} {things} I (lose|give away|sell) {b}, how many do I (keep|still have)", "You have {n} left."),
    ("I give {name} {b} of my {a} {things}, how many are left [for me]", "You have {n} left."),
    ("from {a} {things} I take {b}, what('s| is) left", "There are {n} left."),
    ("if I have {a} {things} and you take {b}, how many (do I have left|are left)", "You have {n} left."),
    ("of {a} {things} {b} are (gone|missing), how many are (left|still there)", "There are {n} left."),
]
_EAT = [
    ("I have {a} {things} and (eat|I eat) {b}, how many are left", "You have {n} left."),
    ("there (are|were) {a} {things} and {name} (eats|ate) {b}, how many are left", "There are {n} left."),
    ("I (bake|had|bought) {a} {things} and we (eat|ate) {b}, how many (are left|remain)", "There are {n} left."),
    ("I eat {b} of (my|the) {a} {things}, how many are left", "There are {n} left."),
    ("{name} ate {b} of {a} {things}, how many are there [still|now]", "There are {n} left."),
    ("{a} {things}, and I eat {b}, what('s| is) left", "There are {n} left."),
]
_BREAK = [
    ("I have {a} {things} and {b} (break|fall down), how many are (left|whole)", "There are {n} left."),
    ("there are {a} {things} and {name} (breaks|drops) {b}, how many are left", "There are {n} left."),
]
_BIRDS_LESS = [
    (
        "{a} birds (sit|are) (in the tree|on the roof|on a fence) and {b} fly away, how many [birds] are left",
        "There are {n} left.",
    ),
    ("{b} of {a} birds fly away, how many (stay|are left)", "There are {n} left."),
    ("there (are|were) {a} birds and {b} (flew|fly) away, how many (are left|stay|stayed)", "There are {n} left."),
]
_FRIENDS_LESS = [
    ("{a} friends are here and {b} (go home|leave), how many [friends] are (left|still here)", "There are {n} left."),
    ("I invited {a} friends but {b} can't come, how many [friends] (come|will come)", "{n} will come."),
]


def story(rng: Random) -> Exchange:
    """The same as a story."""
    a, b, total = _sum(rng)
    while a == 0 or b == 0:
        a, b, total = _sum(rng)
    things = rng.choice(sorted(_ONE))
    if rng.random() < 0.5:
        patterns = {"birds": _BIRDS_MORE, "friends": _FRIENDS_MORE}.get(things, _MORE)
        first, second, result = a, b, total
    else:
        first, second, result = total, b, a
        if things in {"birds", "friends"}:
            patterns = _BIRDS_LESS if things == "birds" else _FRIENDS_LESS
        elif things in {"apples", "biscuits", "eggs"}:
            patterns = _EAT + _LESS
        elif things == "cups":
            patterns = _BREAK + _LESS
        else:
            patterns = _LESS
    pattern, answer = rng.choice(patterns)
    name = rng.choice(lex.NAMES)
    saying = (lambda n: str(n)) if rng.random() < 0.25 else lex.in_words
    user = pick(
        rng, [pattern], a=saying(first), b=saying(second), things=_ONE[things] if first == 1 else things, name=name
    )
    user = user.replace("{things}", things)
    if first == 1:
        user = user.replace(f"more {_ONE[things]}", f"more {things}").replace(
            f"how many {_ONE[things]}", f"how many {things}"
        )
        user = (
            user.replace("there are one", "there is one")
            .replace("there were one", "there was one")
            .replace("one birds", "one bird")
        )
        user = user.replace("one friends", "one friend")
    if second == 1:
        user = (
            user.replace("and one fly", "and one flies")
            .replace("one go home", "one goes home")
            .replace("one leave", "one leaves")
        )
        user = user.replace("one are gone", "one is gone").replace("one are missing", "one is missing")
        user = user.replace("one break,", "one breaks,").replace("one fall down", "one falls down")
    count = _count(result, things) if rng.random() < 0.6 else (lex.in_words(result) if result else "none")
    reply = answer.replace("{n}", count).replace("{name}", name)
    if result == 1:
        reply = reply.replace("There are one", "There is one")
    if rng.random() < 0.15:
        reply = f"That's {count}." if result else "There are none left."
    thought = pick(
        rng,
        ["A little story with numbers: {a} {sign} {b}.", "I count: {a} {sign} {b}.", "This is {a} {sign} {b}.",
         "{things}, {a} {sign} {b}."],
        a=lex.in_words(first), b=lex.in_words(second), sign="plus" if result == total and patterns in (_MORE, _BIRDS_MORE, _FRIENDS_MORE) else "minus", things=things,
    )  # fmt: skip
    made = Exchange("reasoning.story", user, sentence(reply), sentence(thought))
    return made.stating(number=result) if result else made


def double_half(rng: Random) -> Exchange:
    """Doubles, halves and the dozen."""
    draw = rng.random()
    if draw < 0.15:
        user = pick(
            rng,
            ["how many (is|are|are in|make) a dozen", "how many eggs are (in a dozen|a dozen)", "what number is a dozen",
             "a dozen (is|means|are) how many", "what('s| is) a dozen", "if I buy a dozen eggs, how many (do I get|are that)"],
        )  # fmt: skip
        return Exchange(
            "reasoning.dozen",
            user,
            rng.choice(["A dozen is twelve.", "That's twelve.", "A dozen means twelve."]),
            "A dozen. That is a fixed number.",
        ).stating(number=12)
    if draw < 0.22:
        user = pick(rng, ["what('s| is) half a dozen", "how many (is|are) half a dozen"])
        return Exchange(
            "reasoning.dozen", user, rng.choice(["Half a dozen is six.", "That's six."]), "Half of a dozen."
        ).stating(number=6)
    if draw < 0.62:
        n = rng.randint(1, 10)
        said = _said(rng, n)
        user = pick(
            rng,
            ["(what's|what is) (double|twice|two times) {n}", "(what's|what is) the double of {n}", "double {n} [for me]",
             "(how much is|what do you get for) twice {n}", "{n} doubled (is what|makes what)", "what('s| is) {n} times two",
             "{n} and {n} again, what (is|does) that [make]", "if I have {n} and get as many again, how many do I have"],
            n=said,
        )  # fmt: skip
        reply = rng.choice(
            [
                f"Double {lex.in_words(n)} is {lex.in_words(2 * n)}.",
                f"Twice {lex.in_words(n)} is {lex.in_words(2 * n)}.",
                f"That's {lex.in_words(2 * n)}.",
            ]
        )
        return Exchange(
            "reasoning.double",
            user,
            reply,
            f"The double of {lex.in_words(n)}.",
            question=not user.startswith("double"),
        ).stating(number=2 * n)
    n = 2 * rng.randint(1, 10)
    said = _said(rng, n)
    user = pick(
        rng,
        ["(what's|what is|how much is) half of {n}", "(what's|what is) the half of {n}", "half of {n}",
         "what('s| is) {n} divided by two", "if I (share|split) {n} (apples|coins|biscuits|eggs) between two, how many does each get",
         "(cut|split) {n} in half", "what do you get when you halve {n}"],
        n=said,
    )  # fmt: skip
    reply = rng.choice(
        [
            f"Half of {lex.in_words(n)} is {lex.in_words(n // 2)}.",
            f"Half of {lex.in_words(n)} is {lex.in_words(n // 2)}.",
            f"That's {lex.in_words(n // 2)}.",
        ]
    )
    if "each" in user:
        reply = f"Each gets {lex.in_words(n // 2)}."
    return Exchange(
        "reasoning.half",
        user,
        reply,
        f"The half of {lex.in_words(n)}.",
        question=not user.startswith(("cut", "split")),
    ).stating(number=n // 2)

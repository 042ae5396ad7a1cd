"""Generates requests for lists, tables, bold, emoji, code and links, which are answered in plain sentences."""
# ruff: noqa: E501, SIM905 - a phrase is read best on one line, and a list of words as words

from random import Random

from research.annie_smol.generator import topics
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_TABLES = table("formats")
# what is listed -> (its things, ways to begin a sentence that names some)
LISTS: dict[str, tuple[list[str], list[str]]] = {
    x: (things, starts) for x, (things, starts) in _TABLES["lists"].items()
}

_LIST: list[str] = _TABLES["list"]

# A subject and a format, freely combined.
_WISH: list[str] = _TABLES["wish"]
_PACK: list[str] = _TABLES["pack"]
_BAGS: dict[str, list[str]] = _TABLES["bags"]
FORM: list[str] = _TABLES["form"]
_WITH: list[str] = _TABLES["with"]

# what is explained in steps -> answers
STEPS: dict[str, list[str]] = _TABLES["steps"]
_DOING: dict[str, list[str]] = _TABLES["doing"]
_STEP: list[str] = _TABLES["step"]

VERSUS: dict[tuple[str, str], list[str]] = {(one, other): answers for one, other, answers in _TABLES["versus"]}
_VERSUS: list[str] = _TABLES["versus_questions"]

CARDS: dict[str, list[str]] = _TABLES["cards"]
_CARD: list[str] = _TABLES["card"]

CODE: list[tuple[list[str], list[str]]] = [(questions, answers) for questions, answers in _TABLES["code"]]
_EXTRA: list[str] = _TABLES["extra"]
_EXTRA_REPLY: list[str] = _TABLES["extra_reply"]

_THOUGHT: list[str] = _TABLES["thought"]
_NUMBERS: list[str] = _TABLES["numbers"]


def _join(rng: Random, things: list[str], count: int) -> str:
    chosen = [
        thing.replace("-", " ") if thing != "hide-and-seek" else "hide and seek" for thing in rng.sample(things, count)
    ]
    return ", ".join(chosen[:-1]) + " and " + chosen[-1]


def a_list(rng: Random) -> AnsweredRequest:
    """A list of something."""
    x = rng.choice(sorted(LISTS))
    things, starts = LISTS[x]
    free = rng.random() < 0.5
    number = rng.choice(_NUMBERS)
    if x in {"days of the week", "months", "seasons", "planets"}:
        number = rng.choice(["", "the", "all the", "all"])
    user = pick(rng, _LIST, x=x, number=number, number_of="").replace("I 'd", "I'd").replace("want need", "need")
    user = " ".join(user.split()).replace(" ,", ",")
    if free:
        wish = (
            pick(rng, _PACK, bag=rng.choice(_BAGS[x]))
            if x in _BAGS and rng.random() < 0.6
            else pick(rng, _WISH, x=x, number=number)
        )
        user = " ".join(pick(rng, _WITH, wish=wish, form=pick(rng, FORM)).split())
    count = {"two": 2, "three": 3, "3": 3, "four": 4, "five": 5, "5": 5, "six": 6, "ten": 6}.get(
        number, rng.choice([2, 3, 3, 4])
    )
    start = rng.choice(starts)
    if things:
        chosen = _join(rng, things, min(count, len(things)))
        reply = start.format(x=chosen)
        if rng.random() < 0.15:
            reply = sentence(f"{chosen} come to mind") if x not in {"colours", "sports", "drinks"} else reply
        second: tuple[tuple[str, str], ...] = ()
        names = chosen.replace(" and ", ", ").split(", ")
        if "hide and seek" not in chosen and len(names) >= 2:
            second = (
                (
                    "what was the (first|first one) again".split(" again")[0].replace(
                        "(first|first one)", "first one"
                    ),
                    f"The first one was {names[0]}.",
                ),
                ("so what was the second one", f"The second one was {names[1]}."),
                ("and the last one was what", f"The last one was {names[-1]}."),
            )
        return AnsweredRequest("formats.list", user, reply, rng.choice(_THOUGHT), question=_asks(user), again=second)
    return AnsweredRequest("formats.list", user, start, rng.choice(_THOUGHT), question=_asks(user))


def _asks(user: str) -> bool:
    return user.startswith(("can", "could", "what", "how", "where"))


def steps(rng: Random) -> AnsweredRequest:
    """Numbered steps."""
    task = rng.choice(sorted(STEPS))
    if rng.random() < 0.3:
        wish = pick(
            rng,
            [
                "how do I {do}",
                "(tell|show) me how to {do}",
                "explain how to {do}",
                "what are the steps to {do}",
                "I want to {do}, how",
            ],
            do=rng.choice(_DOING[task]),
        )
        form = pick(
            rng,
            [
                *FORM,
                "step by step",
                "in numbered steps",
                "in five steps",
                "one step per line",
                "step one, step two and so on",
            ],
        )
        user = pick(rng, _WITH, wish=wish, form=form)
        reply = rng.choice(STEPS[task])
    elif rng.random() < 0.3:
        task_words = rng.choice(sorted(topics.HOW_TO))
        user = pick(rng, _STEP, do=pick(rng, [task_words]))
        reply = rng.choice(topics.HOW_TO[task_words])
    else:
        user = pick(rng, _STEP, do=rng.choice(_DOING[task]))
        reply = rng.choice(STEPS[task])
    return AnsweredRequest("formats.steps", user, reply, rng.choice(_THOUGHT), question=_asks(user))


def versus(rng: Random) -> AnsweredRequest:
    """A table of two things."""
    pair = rng.choice(sorted(VERSUS))
    a, b = pair if rng.random() < 0.6 else pair[::-1]
    user = pick(rng, _VERSUS, a=a, b=b)
    if rng.random() < 0.4:
        wish = pick(
            rng,
            [
                "compare {a} and {b}",
                "what's the difference between {a} and {b}",
                "{a} or {b}, which is better",
                "tell me about {a} and {b}",
                "how are {a} and {b} different",
            ],
            a=a,
            b=b,
        )
        user = pick(rng, _WITH, wish=wish, form=pick(rng, FORM))
    return AnsweredRequest(
        "formats.versus", user, rng.choice(VERSUS[pair]), rng.choice(_THOUGHT), question=_asks(user)
    )


def card(rng: Random) -> AnsweredRequest:
    """Greetings with emoji."""
    kind = rng.choice(sorted(CARDS))
    user = pick(rng, _CARD, card=kind)
    return AnsweredRequest("formats.card", user, rng.choice(CARDS[kind]), rng.choice(_THOUGHT), question=_asks(user))


def code(rng: Random) -> AnsweredRequest:
    """Code and links."""
    questions, answers = rng.choice(CODE)
    user = pick(rng, questions, x=rng.choice(sorted(topics.TOPICS)))
    return AnsweredRequest("formats.code", user, rng.choice(answers), rng.choice(_THOUGHT), question=_asks(user))


def about(rng: Random) -> AnsweredRequest:
    """Everyday topics in a format."""
    topic = rng.choice(sorted(topics.TOPICS))
    user = pick(
        rng,
        ["(tell me|write) (everything|all|something|three things) about {topic} (in bullet points|in a list|with headings|in bold|in a table|as a numbered list|with emojis)",
         "(list|write|give me) (three|five|some|ten) facts about {topic}[, one per line|, numbered| as bullets| in a table]", "explain {topic} (step by step|with headings|in bullet points|in markdown|in a table)",
         "(make|write) a (bulleted list|table|numbered list|page with headings) about {topic}"],
        topic=topic,
    )  # fmt: skip
    facts = topics.TOPICS[topic]
    reply = " ".join(facts[: rng.choice([1, 2, 2, 3])])
    return AnsweredRequest("formats.about", user, reply, rng.choice(_THOUGHT), question=False)


def extra(rng: Random) -> AnsweredRequest:
    """A format without a subject."""
    user = pick(rng, _EXTRA)
    return AnsweredRequest("formats.extra", user, rng.choice(_EXTRA_REPLY), rng.choice(_THOUGHT), question=_asks(user))


FAMILIES = {a_list: 10, steps: 5, versus: 3, card: 3, code: 3, about: 3, extra: 1}


def formats(rng: Random) -> AnsweredRequest:
    """One request for a format, answered in plain sentences."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)

"""Generates requests for timers, with set_timer."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest

_SPANS = {15: ["a quarter of an hour", "15 minutes"], 30: ["half an hour", "30 minutes"], 60: ["an hour", "one hour"]}


def _minutes(rng: Random) -> int:
    return rng.choice([rng.randint(1, 60), rng.choice([5, 10, 15, 20, 30, 45, 60, 3, 8, 12, 25, 40])])


def _span(rng: Random, minutes: int) -> str:
    if minutes in _SPANS and rng.random() < 0.5:
        return rng.choice(_SPANS[minutes])
    number = rng.choice([str(minutes), lex.in_words(minutes)])
    return f"{number} minute{'s' if minutes > 1 else ''}"


_TABLES = table("timers")
_FOR_THING: list[str] = _TABLES["for_thing"]
_PLAIN: list[str] = _TABLES["plain"]


def timer(rng: Random) -> AnsweredRequest:
    """A request for a timer."""
    minutes = _minutes(rng)
    span = _span(rng, minutes)
    flat = f"{rng.choice([str(minutes), lex.in_words(minutes)])} minute"
    thing = rng.choice(lex.TIMED)
    named = rng.random() < 0.55
    user = pick(rng, _FOR_THING if named else _PLAIN, span=span, thing=thing, flat=flat)
    user = user.replace("I 'd", "I'd")
    if "hour" in span or minutes == 1:
        user = user.replace(f"{span} are ", f"{span} is ").replace(f"{span} have ", f"{span} has ")
    user = user.replace("for the homework", "for homework") if rng.random() < 0.3 else user
    asks = user.startswith(("can", "could", "would"))
    unit = "minute" if minutes == 1 else "minutes"
    number = rng.choice([str(minutes), str(minutes), lex.in_words(minutes)])
    result = f"The timer is set for {minutes} {unit}."
    if rng.random() < 0.3:
        result = rng.choice([f"Timer started: {minutes} {unit}.", f"The timer is running for {minutes} {unit}."])
    for_thing = f" for the {thing}" if named and thing in user else ""
    replies = [
        f"The timer is set for {number} {unit}.",
        f"Your timer{for_thing} is set for {number} {unit}.",
        f"Okay, {number} {unit}{for_thing}.",
        f"Done, the timer runs for {number} {unit}.",
        f"I'll let you know in {number} {unit}.",
        f"{sentence(number, '')} {unit}{for_thing}, starting now.",
    ]
    thought = pick(
        rng,
        [
            "{span} to wait{for_thing}. That needs a timer.",
            "A timer for {span}{for_thing}.",
            "This is a time span of {span}. I start a timer.",
            "I set the timer to {number} minutes.",
            "{span}: I use the timer.",
        ],
        span=span,
        for_thing=for_thing,
        number=str(minutes),
    )
    after = rng.choice(["The timer runs.", "It is set. I say so.", "Done, so I confirm it.", "The timer has started."])
    return AnsweredRequest(
        "timer",
        user,
        rng.choice(replies),
        sentence(thought),
        ("set_timer", minutes),
        result,
        after,
        asks,
        again=(
            ("how many minutes did I say", f"You said {number} {unit}."),
            ("how long did I say", f"You said {number} {unit}."),
        ),
    )

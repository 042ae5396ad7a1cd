"""Generates questions about where a thing was put, with search_memory."""

from random import Random

from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator.grammar import pick
from research.annie_smol.generator.household import Person, recall
from research.annie_smol.generator.phrases import table
from research.annie_smol.generator.request import AnsweredRequest


def _spot(rng: Random) -> str:
    if rng.random() < 0.4:
        return rng.choice(lex.SPOTS)
    room = rng.choice(lex.ROOMS)
    furniture = rng.choice(lex.FURNITURE)
    look = rng.choice(lex.LOOKS)
    inside = (
        "on" if furniture in {"shelf", "desk", "sideboard"} else rng.choice(["in", "in", "in", "behind", "on top of"])
    )
    return f"{inside} the {look} {furniture} in the {room}"


_TABLES = table("memory_where")
_WHERE: list[str] = _TABLES["where"]
_IS_IT: list[str] = _TABLES["is_it"]
_WHO_HAS: list[str] = _TABLES["who_has"]
_WHERE_SAID: list[str] = _TABLES["where_said"]
_WHERE_WHO: list[str] = _TABLES["where_who"]


def where(rng: Random) -> AnsweredRequest:
    """Where a thing was put."""
    thing = rng.choice(sorted(lex.THINGS))
    plural = lex.THINGS[thing]
    verb = "are" if plural else "is"
    spot = _spot(rng)
    if rng.random() < 0.25:
        person = Person(rng)
        user = pick(rng, _WHERE_WHO, who=person.who, of=person.of, thing=thing)
        query = f"{person.mine}{thing}" if f"{person.of} {thing}" in user else f"{person.query} {thing}"
        result = rng.choice(
            [
                f"{person.they} put the {thing} {spot}.",
                f"The {thing} {verb} {spot}.",
                f"{person.theirs} {thing} {verb} {spot}.",
            ]
        )
        replies = (
            [f"{person.they} put the {thing} {spot}."] * 2 if " put " in result else [f"The {thing} {verb} {spot}."]
        )
        if result.startswith(person.theirs):
            replies = [result]
        return recall(rng, "memory.where", user, query, f"the {thing}", result, replies, about=f"the {thing}")
    if rng.random() < 0.1:
        user = pick(
            rng,
            _IS_IT,
            thing=thing,
            verb=verb,
            somewhere=rng.choice(lex.SPOTS + [f"in the {room}" for room in lex.ROOMS]),
        )
        user = (
            user.replace("are my", f"{verb} my")
            .replace("is my", f"{verb} my")
            .replace("are the", f"{verb} the")
            .replace("is the", f"{verb} the")
        )
        result = f"The {thing} {verb} {spot}."
        return recall(
            rng,
            "memory.where",
            user,
            thing,
            f"your {thing}",
            result,
            [result, f"Your {thing} {verb} {spot}."],
            about=f"the {thing}",
        )
    if rng.random() < 0.06:
        user = pick(rng, _WHO_HAS, thing=thing)
        who = Person(rng)
        result = rng.choice(
            [f"{who.they} has the {thing}.", f"{who.they} borrowed the {thing}.", f"{who.they} needs the {thing}."]
        )
        return recall(rng, "memory.who", user, thing, f"your {thing}", result, [result], about=f"the {thing}")
    tells = rng.random() < 0.22
    patterns = _WHERE_SAID if tells else _WHERE
    if not tells:
        unfit = "{single}" if plural else "{things}"
        patterns = [pattern for pattern in patterns if unfit not in pattern]
    article = rng.choice(["my", "the"])
    user = pick(
        rng, patterns, thing=thing, things=thing, single=thing, isare_the=f"{article} {thing} {verb}", verb=verb
    )
    user = user.replace("have gone missing", f"{'have' if plural else 'has'} gone missing")
    user = user.replace("has gone missing", f"{'have' if plural else 'has'} gone missing")
    the = rng.choice(["The", "Your"])
    result = rng.choice(
        [f"The {thing} {verb} {spot}."] * 4 + [f"The {thing}: {spot}.", f"You put the {thing} {spot}."]
    )
    replies = [f"{the} {thing} {verb} {spot}."] * 4 + [f"You (left) the {thing} {spot}.".replace("(left)", "put")]
    return recall(
        rng, "memory.where", user, thing, f"your {thing}", result, replies, question=not tells, about=f"the {thing}"
    )

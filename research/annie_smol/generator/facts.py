"""Generates questions about facts that are answered without a tool, in one short sentence."""

from random import Random

from annie_data.words import STOPWORDS, words
from research.annie_smol.generator import facts_table as know
from research.annie_smol.generator import lexicon as lex
from research.annie_smol.generator import phrases
from research.annie_smol.generator.grammar import pick, sentence
from research.annie_smol.generator.request import AnsweredRequest, Family

_TABLES = phrases.table("wording_of_facts")
_CAPITAL: list[str] = _TABLES["capital"]
_CAPITAL_REPLY: list[str] = _TABLES["capital_reply"]
_COUNTRY_OF: list[str] = _TABLES["country_of"]


def capital(rng: Random, country: str | None = None, *, backwards: bool | None = None) -> AnsweredRequest:
    """A question about a capital, usually asked by country."""
    country = country or rng.choice(sorted(lex.CAPITALS))
    city = lex.CAPITALS[country]
    name = country
    if rng.random() < 0.2:
        name = {"the Netherlands": "Holland", "the United States": rng.choice(["the US", "America", "the USA"])}.get(
            country, country
        )
    countrys = f"{name}'" if name.endswith("s") else f"{name}'s"
    if backwards is None:
        backwards = rng.random() < 0.12
    backwards = backwards and city not in {"London", "Washington"}
    user = pick(rng, _COUNTRY_OF if backwards else _CAPITAL, country=name, countrys=countrys, city=city)
    user = user.replace("s's capital", "s' capital")
    reply = (
        f"{city} is the capital of {country}."
        if backwards
        else pick(
            rng,
            _CAPITAL_REPLY,
            country=country,
            countrys=f"{country}'" if country.endswith("s") else f"{country}'s",
            city=city,
        )
    )
    if country == "the United States" and rng.random() < 0.5 and not backwards:
        reply = reply.replace(city, "Washington, D.C")
        reply = reply.replace("D.C.", "D.C.") if reply.endswith(".") else reply
    thought = pick(
        rng,
        [
            "The capital of {country}. I know that one.",
            "A capital: that needs no tool.",
            "This asks for the capital of {country}.",
            "{country} and its capital. That I know.",
        ],
        country=country,
    )
    asks = not user.startswith(("I ", "tell", "name", "give", "capital", "my ", "Mum asks", "Mum wants", "Dad "))
    again = (
        ("which country did I ask about", sentence(f"you asked about {country}")),
        ("what did you say the capital was", f"I said it's {city}."),
    )
    return AnsweredRequest(
        "facts.capital", user, sentence(reply), sentence(thought), question=asks, again=again
    ).stating(country.removeprefix("the ") if backwards else city)


def table(rng: Random, entry: tuple[list[str], list[str]] | None = None) -> AnsweredRequest:
    """The calendar, animals, the body, the earth and the sky."""
    questions, answers = entry or rng.choice(know.TABLE)
    user = pick(rng, questions)
    if "does a week have" not in user:
        user = user.replace(" are there in a week have", " are there in a week")
    for mark in ("are there in", "are in"):
        if mark in user:
            user = user.removesuffix(" have")
    asks = not user.startswith(("name ", "tell me", "number of"))
    made = AnsweredRequest("facts.table", user, rng.choice(answers), _thought(rng), question=asks)
    core = _core(user, answers)
    return made.stating(*core) if core else made


def _core(question: str, answers: list[str]) -> list[str]:
    """The words that all answers have and the question does not: the required part of an answer."""
    if len(answers) < 2:
        return []
    asked = set(words(question))
    shared = set.intersection(*(set(words(answer)) for answer in answers)) - asked - STOPWORDS
    return sorted(shared) if len(shared) <= 2 else []


def _thought(rng: Random) -> str:
    return pick(
        rng,
        [
            "A simple fact. [No tool is needed.]",
            "I know this one. [It needs no search.]",
            "This is common knowledge. A short answer will do.",
            "An easy question, answered in one sentence.",
            "A little knowledge question.",
        ],
    )


def young(rng: Random, animal: str | None = None, *, backwards: bool | None = None) -> AnsweredRequest:
    """What a young animal is called."""
    animal = animal or rng.choice(sorted(know.YOUNG))
    child = know.YOUNG[animal]
    if backwards is None:
        backwards = rng.random() < 0.25
    if backwards:
        user = pick(rng, ["what does a {child} grow into", "a {child} is a young what", "what animal is a {child}",
                          "whose (baby|young) is a {child}"], child=child)  # fmt: skip
        reply = f"A {child} is a young {animal}."
    else:
        user = pick(
            rng,
            [
                "(what is|what's) a (baby|young) {animal} called",
                "what do you call a (baby|young) {animal}",
                "(what is|what's) the (name|word) for a (baby|young) {animal}",
                "what do we call the (young|baby|babies) of a {animal}",
                "a (baby|young) {animal} is called (a what|what)",
                "(tell me|do you know) what a (baby|young) {animal} is called",
                "how do you call a {animal}'s (baby|young)",
            ],
            animal=animal,
        )
        reply = rng.choice(
            [f"A young {animal} is called a {child}.", f"A baby {animal} is a {child}.", f"It's called a {child}."]
        )
    return AnsweredRequest("facts.young", user, reply, _thought(rng)).stating(
        animal if f"a young {animal}" in reply else child
    )


def colour(rng: Random, thing: str | None = None) -> AnsweredRequest:
    """What colour a thing has."""
    thing = thing or rng.choice(sorted(know.COLOURS))
    verb, value = know.COLOURS[thing]
    word = rng.choice(["colour", "colour", "color"])
    user = pick(
        rng,
        [
            "what {word} {verb} {thing}",
            "which {word} {verb} {thing}",
            "(what's|what is) the {word} of {thing}",
            "what {word} does {thing} have" if verb == "is" else "what {word} do {thing} have",
            "tell me what {word} {thing} {verb}",
            "{thing}, what {word} {verb} (it|that)" if verb == "is" else "what {word} do {thing} turn",
            "do you know what {word} {thing} {verb}",
        ],
        word=word,
        thing=thing,
        verb=verb,
    )
    reply = rng.choice(
        [
            f"{sentence(thing, '')} {verb} {value}.",
            f"{sentence(thing, '')} {verb} {value}.",
            f"{'It is' if verb == 'is' else 'They are'} {value}.",
        ]
    )
    return AnsweredRequest("facts.colour", user, reply, _thought(rng), question=not user.startswith("tell")).stating(
        *value.replace(" and ", ", ").split(", ")
    )


def opposite(rng: Random, word: str | None = None) -> AnsweredRequest:
    """Opposites."""
    word = word or rng.choice(sorted(know.OPPOSITES if rng.random() < 0.75 else know.BOTH_WAYS))
    other = (know.OPPOSITES | know.BOTH_WAYS)[word]
    user = pick(
        rng,
        [
            "(what's|what is) the opposite of {word}",
            "(which|what) word is the opposite of {word}",
            "(tell me|name|give me|do you know) the opposite of {word}",
            "the opposite of {word} is (what|which word)",
            "what('s| is) the opposite (word|) for {word}",
            "if something is not {word}, (what is it|it is what)"
            if word not in {"up", "down", "day", "night"}
            else "what is the opposite of {word}",
            "{word} and its opposite, what (is it|is that)",
            "what do you call the opposite of {word}",
            "(not {word}|{word} no longer|no more {word}), (what is the word|which word is it) then",
            "a word that means the very opposite of {word}",
        ],
        word=word,
    )
    reply = rng.choice(
        [f"The opposite of {word} is {other}.", f"The opposite of {word} is {other}.", f"It's {other}."]
    )
    return AnsweredRequest(
        "facts.opposite", user, reply, _thought(rng), question=not user.startswith(("tell", "name", "give"))
    ).stating(other)


FAMILIES: dict[Family, int] = {capital: 8, table: 12, young: 3, colour: 3, opposite: 4}


def fact(rng: Random) -> AnsweredRequest:
    """One question of fact."""
    return rng.choices(list(FAMILIES), weights=list(FAMILIES.values()))[0](rng)
